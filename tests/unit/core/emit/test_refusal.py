"""Queues and rejects, from one dialect's words to the other's."""

import json

import pytest

from conntrim.core.emit.nft import statement_text
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.emit.xt_target import target_words
from conntrim.core.model.refusal import Answered, Queue, Reject
from conntrim.core.model.ruleset import End, Statement, TableFamily, Verdict
from conntrim.core.parse.nft.statements import statement
from conntrim.core.parse.xt.rule import body

QUEUES: tuple[tuple[str, dict[str, object], str, Queue], ...] = (
    ("--queue-num 0", {}, "queue to 0", Queue()),
    ("--queue-num 5 --queue-bypass", {"num": 5, "flags": "bypass"}, "queue flags bypass to 5", Queue(5, 5, True)),
    (
        "--queue-balance 1:5 --queue-bypass --queue-cpu-fanout",
        {"num": {"range": [1, 5]}, "flags": ["bypass", "fanout"]}, "queue flags bypass,fanout to 1-5",
        Queue(1, 5, bypass=True, fanout=True),
    ),
)  # fmt: skip


def by_iptables(words: str) -> Statement:
    """The one statement of a rule with this target."""
    (found,) = body(["-j", *words.split()], False, ()).statements
    return found


@pytest.mark.parametrize(("options", "listed", "said", "queue"), QUEUES, ids=[said for *_, said, _ in QUEUES])
def test_queues_are_read_and_said_by_both(options: str, listed: dict[str, object], said: str, queue: Queue) -> None:
    """A queue is the same value whichever dialect named it, and both say it."""
    expected = End(Verdict.QUEUE, queue)
    read = by_iptables(f"NFQUEUE {options}"), statement(json.loads(json.dumps({"queue": listed})), TableFamily.INET)
    assert (expected, expected) == read
    assert (said, [f"-j NFQUEUE {options}"]) == (
        statement_text(expected, TableFamily.INET),
        list(target_words((expected,))),
    )


def test_a_computed_queue_stays_in_nft_words() -> None:
    """What nft computes the queue from is said again as it was; iptables has no such thing."""
    found = statement({"queue": {"num": {"symhash": {"mod": 2}}}}, TableFamily.INET)
    assert "queue to symhash mod 2" == statement_text(found, TableFamily.INET)
    with pytest.raises(NotExpressible):
        list(target_words((found,)))


def test_a_reject_is_said_by_the_other_dialect() -> None:
    """`--reject-with icmp-admin-prohibited` is nft's `icmp admin-prohibited`; iptables has no `icmpx`."""
    refused = by_iptables("REJECT --reject-with admin-prohib")
    assert "reject with icmp type admin-prohibited" == statement_text(refused, TableFamily.INET)
    with pytest.raises(NotExpressible):
        list(target_words((End(Verdict.REJECT, Reject(Answered.ICMPX, 1)),)))
