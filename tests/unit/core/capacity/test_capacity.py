"""Sizing, chains, memory, rates and predictions, on numbers worked out by hand."""

from __future__ import annotations

import pytest

from conntrim.core.capacity.chains import chain_limits, mean_chain, refused_share
from conntrim.core.capacity.forecast import Forecast, forecast, rate
from conntrim.core.capacity.memory import entry_bytes, table_bytes
from conntrim.core.capacity.sizing import Size, crowded, max_after_load, size_for, steady_entries
from conntrim.core.capacity.timeouts import Prediction, gone, predict, predictions, sysctl_key
from conntrim.core.capacity.untrack import entries_without
from conntrim.core.model.census import IDLE_STEPS, Breakdown, Census, Sample, ServiceCount, StateCount
from conntrim.core.model.facts import Counters, Era, Reading
from conntrim.core.model.service import Direction, Service

WEB = Service(Direction.INBOUND, 6, 80)
CACHE = Service(Direction.OUTBOUND, 6, 11211)


def idle(**classes: int) -> tuple[int, ...]:
    """Idle classes by their upper edge: `to_30=7` holds 7 entries idle for 20..30 s; `rest` those past the end."""
    counts = [0] * (len(IDLE_STEPS) + 1)
    for name, entries in classes.items():
        counts[len(IDLE_STEPS) if name == "rest" else IDLE_STEPS.index(int(name[3:]))] = entries
    return tuple(counts)


def one(service: Service, *states: StateCount) -> ServiceCount:
    """A service that holds these states."""
    return ServiceCount(service, sum(s.entries for s in states), 0, 0, 0, states, 1, 1)


def census(*services: ServiceCount, others: int = 0, sample: Sample | None = None) -> Census:
    """A census of these services."""
    total = sum(s.entries for s in services) + others
    empty = Breakdown((), 0, total)
    return Census("test", total, services, 1 if others else 0, others, empty, empty, empty, (), False, 0, sample)


DOCUMENT = census(
    one(CACHE, StateCount("tcp time_wait", 607, idle(to_20=107, to_30=101, to_60=199, to_120=200))),
    one(
        WEB,
        StateCount("tcp time_wait", 300, idle(to_20=100, to_120=200)),
        StateCount("tcp established", 83, idle(to_1=80, rest=3)),
    ),
    others=10,
)  # fmt: skip
"""1,000 entries as in the source document: TIME_WAIT everywhere, hardly any idle ESTABLISHED."""


def test_every_entry_stands_in_two_chains() -> None:
    """K28: 65,536 entries in as many buckets make a mean chain of two."""
    assert mean_chain(65_536, 65_536) == 2.0


def test_chain_of_no_buckets_is_no_error() -> None:
    """A kernel that tells no buckets gives no chain instead of a division by zero."""
    assert mean_chain(5, 0) == 0.0


@pytest.mark.parametrize(
    ("kernel", "limits"),
    [("6.18.44-fc", (50, 80)), ("5.15.0-91", (8, 32)), ("5.14.0-362.el9", None), ("2.6.18-8", None), ("?", None)],
)  # fmt: skip
def test_chain_limits_follow_the_release(kernel: str, limits: tuple[int, int] | None) -> None:
    """K28: no limit before 5.15, then 8..32, later 50..80; an unreadable release promises nothing."""
    assert limits == chain_limits(kernel)


def test_short_chains_refuse_nothing_and_long_ones_nearly_all() -> None:
    """At a mean of 2 an insertion is refused about never; at 200, far above every limit, always."""
    assert refused_share(2.0, (50, 80)) < 1e-9
    assert refused_share(200.0, (50, 80)) > 0.999999
    assert 0.0 < refused_share(2.0, (8, 32)) < 1e-4


def test_refusals_by_hand() -> None:
    """With the one limit 1 and mean 1: a chain is longer with 1 - 2/e, an insertion looks at two."""
    assert refused_share(1.0, (1, 1)) == pytest.approx(1 - (2 / 2.718281828459045) ** 2)


def test_memory_by_hand() -> None:
    """K29: 256 bytes of slab and 64 of extensions an entry, 8 a bucket."""
    assert table_bytes(65_536, 65_536) == 65_536 * 320 + 65_536 * 8
    assert entry_bytes(320) == 384


def test_time_wait_arithmetic() -> None:
    """K32: 1,092 new connections a second, each 120 s in the table, all but fill 131,072 entries."""
    assert steady_entries(1092, 120) == 131_040


def test_size_is_a_power_of_two_with_headroom_and_as_many_buckets() -> None:
    """100,000 entries: twice that, rounded up, in max and buckets."""
    assert Size(100_000, 262_144, 262_144, 262_144 * 328) == size_for(100_000)
    assert size_for(7).max == 65_536
    assert size_for(10**10).max == 1 << 30


def test_factor_eight_trap() -> None:
    """K27: `hashsize=855360` at module load makes max 6,842,880."""
    assert max_after_load(855_360) == 6_842_880


def test_entries_left_after_untracking() -> None:
    """Both services of the document gone: ten of a thousand entries are left."""
    assert [entries_without(DOCUMENT, {CACHE}), entries_without(DOCUMENT, {CACHE, WEB})] == [393, 10]


def test_a_sample_stands_for_its_population() -> None:
    """Half of the sampled rows gone is half of the table gone."""
    half = census(one(WEB, StateCount("tcp time_wait", 50, idle(to_1=50))), others=50, sample=Sample(100, 10_000, 0.01))
    assert entries_without(half, [WEB]) == 5_000


def test_a_timeout_at_a_class_edge_is_exact() -> None:
    """TIME_WAIT of 30 s: 107 + 101 + 100 stay, 599 go; nothing is uncertain."""
    assert Prediction("nf_conntrack_tcp_timeout_time_wait", 120, 30, 401, 401) == predict(
        DOCUMENT, "nf_conntrack_tcp_timeout_time_wait", 30, {}
    )


def test_a_timeout_inside_a_class_has_bounds() -> None:
    """25 s lies inside the class 20..30: its 101 entries may or may not go."""
    state = StateCount("tcp time_wait", 700, idle(to_30=101, to_60=599))
    assert gone(state, 25) == (599, 700)


def test_entries_in_no_class_may_go_or_stay() -> None:
    """Nine of sixteen entries whose idle time is not known: at least none of them goes, at most all."""
    assert gone(StateCount("sctp established", 16, idle(to_60=7)), 30) == (7, 16)


def test_the_document_found_that_established_does_not_matter() -> None:
    """tcp_timeout_established at 1,000 s takes 3 of 1,000 entries: what its author measured, said beforehand."""
    assert predict(DOCUMENT, "nf_conntrack_tcp_timeout_established", 1_000, {}).entries_after == 997


def test_predictions_start_with_the_one_that_matters() -> None:
    """TIME_WAIT comes first; a time-out that is already as short is not offered."""
    assert next(predictions(DOCUMENT, {})).key == "nf_conntrack_tcp_timeout_time_wait"
    keys = {p.key for p in predictions(DOCUMENT, {"nf_conntrack_tcp_timeout_time_wait": 30})}
    assert "nf_conntrack_tcp_timeout_time_wait" not in keys


def test_sysctl_names_of_both_eras() -> None:
    """The 2.6 era: max below net.ipv4, time-outs below net.ipv4.netfilter."""
    names = [sysctl_key(k, e) for e in Era for k in ("nf_conntrack_max", "nf_conntrack_tcp_timeout_time_wait")]
    assert names == [
        "net.netfilter.nf_conntrack_max",
        "net.netfilter.nf_conntrack_tcp_timeout_time_wait",
        "net.ipv4.ip_conntrack_max",
        "net.ipv4.netfilter.ip_conntrack_tcp_timeout_time_wait",
    ]


def reading(seconds: float, count: int | None, **counters: int) -> Reading:
    """A reading with these counters."""
    return Reading(seconds, count, Counters(counters))


def test_time_to_full() -> None:
    """100 entries more in 2 s: 50 a second, 18 s for the 900 that are left."""
    assert Forecast(50.0, 2.0, 18.0) == forecast(reading(10, 0), reading(12, 100), 1_000)


def test_chance_and_shrinking_give_no_time_to_full() -> None:
    """Eight entries more are chance; fewer entries never fill a table; max 0 means unlimited."""
    assert forecast(reading(0, 100), reading(1, 108), 1_000) == Forecast(8.0, 1.0, None)
    assert forecast(reading(0, 100), reading(1, 90), 1_000) == Forecast(-10.0, 1.0, None)
    assert forecast(reading(0, 100), reading(1, 200), 0) == Forecast(100.0, 1.0, None)
    assert forecast(reading(0, None), reading(1, 200), 1_000) is None


def test_rates_need_the_counter_in_both_readings() -> None:
    """61 drops in half a second are 122 a second; a missing counter or one set back gives no rate."""
    assert rate(reading(1, 0, drop=3), reading(1.5, 0, drop=64), "drop") == 122.0
    assert rate(reading(1, 0), reading(2, 0, drop=64), "drop") is None
    assert rate(reading(1, 0, drop=9), reading(2, 0, drop=1), "drop") is None


def test_a_table_is_never_lowered_to_nothing() -> None:
    """A max of 1 fits a table that is empty just now, and no host; twice the entries fit, a larger max always does."""
    lowered = [crowded(maximum, 262_144, entries) for maximum, entries in ((1, 0), (1023, 0), (1024, 0), (1024, 513))]
    assert [True, True, False, True] == lowered
    assert [False, False] == [crowded(300_000, 262_144, 299_999), crowded(0, 262_144, 9)]
