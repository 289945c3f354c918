"""Comments that ask to leave findings out, in both dialects."""

import json

import pytest

from conntrim.core.diagnose.rulesets.registry import Checked, check_ruleset
from conntrim.core.parse.ruleset import read
from tests.unit.core.diagnose.written import IN_80, TIGHT, checked, codes


def xt(comment: str) -> Checked:
    """A one-sided NOTRACK rule of iptables with a comment."""
    return checked((IN_80.replace("-j CT", f'-m comment --comment "{comment}" -j CT'),), TIGHT)


def nft(*comments: str) -> Checked:
    """One-sided NOTRACK rules of nft, one a comment."""
    base = {"family": "ip", "table": "raw", "chain": "pre"}
    rules = [
        {"rule": base | {"handle": 3 + n, "comment": comment, "expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80 + n}},
            {"notrack": None},
        ]}}
        for n, comment in enumerate(comments)
    ]  # fmt: skip
    listed = [
        {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
        {"table": {"family": "ip", "name": "raw", "handle": 1}},
        {"chain": {"family": "ip", "table": "raw", "name": "pre", "handle": 1, "type": "filter", "hook": "prerouting",
                   "prio": -300, "policy": "accept"}},
        *rules,
    ]  # fmt: skip
    return check_ruleset(read(json.dumps({"nftables": listed}), "rules"), None)


@pytest.mark.parametrize("made", [xt, nft])
def test_a_reason_leaves_the_finding_out(made: object) -> None:
    """The finding goes, is counted, and keeps its reason."""
    assert callable(made)
    found = made("check: ignore CT103 answers go another way")
    assert ([], [("CT103", "answers go another way")]) == (
        codes(found), [(i.finding.code, i.reason) for i in found.ignored],
    )  # fmt: skip


def test_the_words_of_earlier_releases_are_read_as_well() -> None:
    """`conntrim: ignore` is a wish, and nothing else; other people's words about checks are none."""
    assert ["CT103"] == [i.finding.code for i in xt("conntrim: ignore CT103 answers go another way").ignored]
    found = xt("cross-check: ignore CT103 answers go another way")
    assert (1, ()) == (len(found.findings), found.remarks)


def test_one_nft_rule_s_comment_is_about_that_rule() -> None:
    """nft's listing has no lines: the handle tells which rule's finding goes."""
    found = nft("conntrim: ignore CT103 answers go another way", "the other one")
    assert ["rules ip raw pre handle 4"] == [str(f.place) for f in found.findings]


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("conntrim: ignore CT103", "no reason behind the code"),
        ("conntrim: ignore please", "names no finding"),
        ("conntrim: ignore CT199 because", "no finding CT199"),
        ("conntrim: ignore CT101 because", "there is no CT101 here"),
    ],
)
def test_a_wish_that_is_not_granted_is_said(comment: str, said: str) -> None:
    """Without a reason, a code or a finding nothing is left out, and a note says why."""
    found = xt(comment)
    assert ["CT103"] == [f.code for f in found.findings]
    (remark,) = found.remarks
    assert "rules:4" in remark
    assert said.removeprefix("no ") in remark


def test_several_codes_share_a_reason() -> None:
    """Codes are joined by commas; one that is not there is said."""
    found = xt("conntrim: ignore CT103, CT104 answers go another way")
    assert (0, 1, 1) == (len(found.findings), len(found.ignored), len(found.remarks))
