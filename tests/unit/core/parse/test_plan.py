"""plan.json, read back."""

import pytest

from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import Era
from conntrim.core.model.plan import AddedRule, Batch, FileChange, Obligation, ObligationStatus, Plan
from conntrim.core.model.ruleset import Dialect
from conntrim.core.parse.plan import parse_plan
from conntrim.core.parse.policy import parse_policy
from conntrim.render.json import to_json

POLICY = b'[[untrack]]\ndirection = "outbound"\nprotocol = "udp"\nports = [53]\nto = ["2001:db8::53"]\n'
PLAN = Plan(
    "p", Dialect.NFTABLES, Era.NF, parse_policy(POLICY, "policy.toml"), (Batch("nft", "add table inet conntrim\n"),),
    (), (), (), (FileChange("/etc/sysctl.d/90-conntrim.conf", "x = 1\n"),),
    (Obligation("loads", ObligationStatus.NOT_DECIDED, "no kernel was asked"),), {"net.netfilter.nf_conntrack_max": 5},
    "abc", 10, 0, ("residual",), ("remark",), (AddedRule("ip filter INPUT", "accept", "why", "drop"),),
)  # fmt: skip


def test_a_written_plan_reads_back() -> None:
    """Every field survives, 128-bit addresses among them."""
    assert parse_plan(to_json("plan", PLAN).encode(), "plan.json") == PLAN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind": "census", "schema": 1}', "this is no plan.json"),
        ('{"kind": "plan", "schema": 7}', "a plan of schema 7, not 1"),
        ('{"kind": "plan", "schema": 1, "name": 5}', "not a valid plan"),
        ("{", "not a valid plan"),
        ("\xff", "not a valid plan"),
    ],
)
def test_what_is_no_plan_is_refused(text: str, message: str) -> None:
    """Another kind, another schema, a wrong type, half a file and binary are input errors."""
    with pytest.raises(InputError) as caught:
        parse_plan(text.encode("latin-1"), "plan.json")
    assert message in caught.value.message
