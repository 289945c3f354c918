"""What people paste is told apart by content, alone or together, and keeps its line numbers."""

from __future__ import annotations

import pytest

from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import Dialect, TableFamily
from conntrim.core.parse import rule_forms
from conntrim.core.parse.rule_forms import Form, parts
from conntrim.core.parse.ruleset import read, read_all

SAVE = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p udp --dport 53 -j CT --notrack\nCOMMIT\n"
LISTED = "-P INPUT DROP\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-N web\n-A INPUT -p tcp -j web\n-A web -j ACCEPT\n"
NAT = "-P PREROUTING ACCEPT\n-P INPUT ACCEPT\n-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n-A POSTROUTING -j MASQUERADE\n"
JSON = '{"nftables": [{"table": {"family": "inet", "name": "t"}}]}'
NFT = 'table inet t {\n  chain c {\n    comment "a } b"; # }\n    accept\n  }\n}\n'
SETS = "create bad hash:ip family inet\nadd bad 192.0.2.66\n"
SETS_LISTED = """\
Name: bad
Type: hash:ip
Revision: 6
Header: family inet hashsize 1024 maxelem 65536
Size in memory: 200
References: 1
Number of entries: 2
Members:
192.0.2.66
192.0.2.67 comment "nomatch"
"""


def forms(text: str) -> list[tuple[Form, int]]:
    """The forms in a text, and at which line each begins."""
    return [(part.form, len(part.text) - len(part.text.lstrip("\n")) + 1) for part in parts(text, "f")]


ALONE = {
    SAVE: Form.SAVE, LISTED: Form.LIST_RULES, JSON: Form.NFT_JSON, NFT: Form.NFT_TEXT, SETS: Form.IPSET_SAVE,
    SETS_LISTED: Form.IPSET_LIST, "flush ruleset\n": Form.NFT_TEXT, "define x = 5\n": Form.NFT_TEXT,
    'include "a.nft"\n': Form.NFT_TEXT, "add rule ip a b accept\n": Form.NFT_TEXT, "table t\n{\n}\n": Form.NFT_TEXT,
    "#!/usr/sbin/nft -f\n# mine\n\nadd table t\n": Form.NFT_TEXT, "add bad 192.0.2.1\n": Form.IPSET_SAVE,
    "  \n" + JSON: Form.NFT_JSON,
}  # fmt: skip


@pytest.mark.parametrize("text", ALONE)
def test_each_form_is_told_by_its_content(text: str) -> None:
    """No option says what a file is; a byte order mark, DOS line ends and a shell's prompt change nothing."""
    for given in (text, f"\ufeff{text}", text.replace("\n", "\r\n"), f"root@fw:~# cat rules\n{text}root@fw:~#\n"):
        assert [ALONE[text]] == [form for form, _ in forms(given)]


def test_several_pasted_together_are_several() -> None:
    """A session's output: each listing is read as what it is, at its own lines; prompts are nobody's."""
    text = f"$ sudo iptables-save\n{SAVE}[root@fw ~]# ipset list\n{SETS_LISTED}\n# nft -j list ruleset\n{JSON}\n{NFT}"
    assert forms(text) == [(Form.NFT_JSON, 1), (Form.SAVE, 2), (Form.IPSET_LIST, 7), (Form.NFT_TEXT, 20)]


def test_documents_of_json_may_follow_each_other() -> None:
    """Two listings in one file are two; what is wrong in the second is named by its line in the file."""
    both = f"{JSON}\n{JSON.replace('inet', 'ip')}\n"
    assert [t.family for t in read(both, "f").tables] == [TableFamily.INET, TableFamily.IP]
    with pytest.raises(InputError, match=r"^f:3: no JSON"):
        read(f"{both}{{{{", "f")


def test_iptables_s_tells_its_table_by_its_chains() -> None:
    """`iptables -S` names no table; which built-in chains have policies does. Several follow one another."""
    ruleset = read(f"{LISTED}{NAT}", "f")
    assert [(t.name, t.family, t.dialect) for t in ruleset.tables] == [
        ("filter", TableFamily.IP, Dialect.IPTABLES_NFT), ("nat", TableFamily.IP, Dialect.IPTABLES_NFT),
    ]  # fmt: skip
    saved = read("*filter\n:INPUT DROP [0:0]\n:web - [0:0]\n-A INPUT -p tcp -j web\n-A web -j ACCEPT\nCOMMIT\n", "f")
    assert ruleset.tables[0] == saved.tables[0]
    assert str(ruleset.tables[1].chains[3].rules[0].place) == "f:11"


def test_iptables_s_counts_with_v() -> None:
    """`-v` adds counters, which say nothing of the rules."""
    counted = LISTED.replace("DROP\n", "DROP -c 5 300\n").replace("-p tcp -j", "-p tcp -c 7 420 -j")
    assert read(counted, "f").tables == read(LISTED, "f").tables


def test_the_command_above_tells_table_and_family() -> None:
    """Where the session shows which command listed the rules, that is what they are."""
    text = f"~ # ip6tables -t security -S\n{LISTED}# iptables -S -t nat\n{NAT}"
    assert [(t.family, t.name) for t in read(text, "f").tables] == [
        (TableFamily.IP6, "security"), (TableFamily.IP, "nat"),
    ]  # fmt: skip


def test_ipset_list_is_what_ipset_save_says() -> None:
    """Both listings of a set give the same content; a comment that says `nomatch` is a comment."""
    rules = "*filter\n-A INPUT -m set --match-set bad src -j DROP\nCOMMIT\n"
    saved = f'{SETS}add bad 192.0.2.67 comment "nomatch"\n'
    listed, other = (read_all([("rules", rules), ("sets", text)]) for text in (SETS_LISTED, saved))
    assert listed.tables == other.tables
    assert [len(each.elements) for each in listed.ipsets] == [2]


REFUSED = {
    "conntrack": "ipv4 2 tcp 6 431999 ESTABLISHED src=192.0.2.1 dst=192.0.2.2 sport=1 dport=2\n",
    "ufw status": "Status: active\n",
    "no rules for IP": "# Generated by ebtables-save v1.8.9\n*filter\nCOMMIT\n",
    "a command that changes rules": f"{SAVE}root@fw:~# iptables -F\n",
    "nothing of a rule set": "hello\n",
    "'hello' behind a listing": f"{JSON}\nhello\n",
    "not all of table filter": "# iptables -S INPUT -t filter\n-P INPUT DROP\n",
    "chains INPUT are not all": "-P INPUT DROP\n-A INPUT -j ACCEPT\n",
    "1 of its 2 members": SETS_LISTED.replace("192.0.2.66\n", ""),
    "none of its members": SETS_LISTED.partition("Members")[0],
    "no rules in it": "\n# iptables -A INPUT -j DROP\n",
    "rules in it": "iptables -A INPUT -j DROP\n",
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_whole_rule_set_is_refused_with_its_line(message: str) -> None:
    """A listing without its rest, or something else altogether, would be a wrong answer."""
    with pytest.raises(InputError, match=f"^f(:[1-9][0-9]*)?: .*{message}"):
        read(REFUSED[message], "f")


def test_utf_16_says_how_to_make_text_of_it() -> None:
    """PowerShell's redirection writes UTF-16."""
    with pytest.raises(InputError, match=r"this is UTF-16 .iconv"):
        read(SAVE.encode("utf-16"), "f")


def test_a_file_without_end_is_refused_early() -> None:
    """Lines and their length are bounded before anything is read of them."""
    for text in ("x" * (rule_forms.LONGEST + 1), "\n" * (rule_forms.MOST_LINES + 1), '{"a":[' + "[]," * 1_300_000):
        with pytest.raises(InputError, match=r"characters|lines|objects"):
            read(text, "f")
