"""Case files, and how a rule set is taken apart."""

import pytest

from conntrim.core.model.errors import InputError
from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import Batch
from conntrim.lab.case import Case, format_case, parse_case
from conntrim.lab.dialogue import parse_packets
from conntrim.lab.script import Block, Line, Script, Sheet
from conntrim.lab.shrink import shrink

PACKETS = parse_packets("eth0> tcp 192.0.2.9 4000 > 192.0.2.1 80 S\n>eth0 tcp 192.0.2.1 80 > 192.0.2.9 4000 SA\n")
NOTRACK, DROP = Line(("-p tcp", "--dport 80"), "-j CT --notrack"), Line(("-p udp",), "-j DROP")
SCRIPT = Script("iptables-restore", (Sheet("ip", "raw", (Block("PREROUTING", "ACCEPT", (NOTRACK, DROP)),)),))
RAW = """\
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp --dport 80 -j CT --notrack
-A PREROUTING -p udp -j DROP
COMMIT
"""


def test_a_script_prints_as_its_program_reads_it() -> None:
    """The tables of one family are one text; a family without tables has none."""
    assert (Batch("iptables-restore", RAW),) == SCRIPT.batches()


def test_nft_statements_end_with_a_line_feed() -> None:
    """K18: `notrack }` on one line is refused by nft 1.0.6."""
    sheet = Sheet("inet", "t", (Block("c", "type filter hook input priority 0;", (Line((), "notrack"),)),))
    (batch,) = Script("nft", (sheet,)).batches()
    assert "table inet t {\n chain c {\n  type filter hook input priority 0;\n  notrack\n }\n}\n" == batch.text


def test_a_case_comes_back() -> None:
    """Why, rules, packets and stories survive writing and reading, an unseen packet's story as well."""
    case = Case("because\nof this", SCRIPT.batches(), "", PACKETS, ("prerouting new, input new", ""))
    assert case == parse_case(format_case(case), "case")


def test_a_case_without_packets_is_refused() -> None:
    """The error names the file and says what is missing."""
    with pytest.raises(InputError, match=r"half\.case: no packets in it"):
        parse_case("# half of it\n", "half.case")


def test_shrinking_keeps_only_what_matters() -> None:
    """Of two rules, two matches and two packets the one rule, match and packet that make the difference are left."""

    def differs(script: Script, packets: tuple[Packet, ...]) -> bool:
        lines = [line for sheet in script.sheets for block in sheet.blocks for line in block.lines]
        return any("--dport 80" in line.matches for line in lines) and PACKETS[0] in packets

    script, packets = shrink(SCRIPT, PACKETS, differs)
    (sheet,) = script.sheets
    assert (PACKETS[0],) == packets
    assert (Line(("--dport 80",), "-j CT --notrack"),) == sheet.blocks[0].lines
