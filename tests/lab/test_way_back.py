"""Rules that ask for the way back to a packet's source, on a live host: what `explain` says is what its routes have."""

import pytest

from conntrim.cli.main import run
from conntrim.lab.netns import LabHost

SETUP = """\
link add wan0 type veth peer name lan0
link set wan0 up
link set lan0 up
address add 192.0.2.1/24 dev wan0
address add 10.20.0.1/16 dev lan0
route add default via 192.0.2.254
"""


@pytest.mark.parametrize(("source", "device", "said"), [
    ("10.20.7.7", "lan0", "accepted"), ("10.20.7.7", "wan0", "dropped"), ("203.0.113.8", "wan0", "accepted"),
    ("203.0.113.8", "lan0", "dropped"),
])  # fmt: skip
def test_the_live_host_s_routes_decide(
    host: LabHost, source: str, device: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """K116: the kernel is asked by which interface it reaches the source."""
    host.run("ip", "-batch", "-", text=SETUP)
    host.run("nft", "-f", "-", text="table inet t { chain c { type filter hook prerouting priority -150;\n"
             " fib saddr . iif oif missing drop\n }\n}\n")  # fmt: skip
    packet = ["-p", "tcp", "-s", source, "-d", "192.0.2.1", "--dport", "22", "-i", device]
    run(["explain", "--netns", host.name, *packet])
    told = capsys.readouterr().out
    assert told.startswith(said)
    assert "first attempt" not in told
