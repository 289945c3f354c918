"""Reading ab's report."""

from conntrim.lab.site import Load, read_ab

REPORT = """\
Server Hostname:        192.0.2.18
Server Port:            80
Concurrency Level:      10
Time taken for tests:   0.500 seconds
Complete requests:      90
Failed requests:        3
Non-2xx responses:      7
Requests per second:    180.00 [#/sec] (mean)
"""


def test_only_pages_count_as_answers() -> None:
    """Of 100 requests 90 came back, 3 of them cut short and 7 as errors: 20 failed, 80 answers in half a second."""
    assert Load(100, 20, 160.0) == read_ab(REPORT, 100)


def test_a_broken_off_run_has_no_report() -> None:
    """Where ab gave up it prints no table of figures."""
    assert None is read_ab("apr_pollset_poll: The timeout specified has expired (70007)\n", 100)
