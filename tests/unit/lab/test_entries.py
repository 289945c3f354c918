"""Entries of the kernel and of the model side by side: what counts as the same, and how they read."""

from conntrim.core.model.address import parse_address
from conntrim.core.model.conntrack import TcpState
from conntrim.core.model.protocol import Protocol
from conntrim.core.netfilter.memory import ANY_PORT, Entry, Tuple, Zone
from conntrim.lab.entries import alike, listed, remembered

WAY = Tuple(Protocol.TCP, parse_address("192.0.2.9"), parse_address("192.0.2.1"), 4000, 80)
BACK = Tuple(Protocol.TCP, WAY.dst, WAY.src, 80, 4000)


def test_an_entry_reads_as_a_line() -> None:
    """Both tuples, the state, and what is not the default."""
    entry = Entry(WAY, BACK, Zone(6, "original"), tcp=TcpState.SYN_RECV, seen_reply=True, mark=3)
    assert (
        "tcp 192.0.2.9 4000 > 192.0.2.1 80, back 192.0.2.1 80 > 192.0.2.9 4000, syn_recv, zones 6/0, mark 0x3, replied"
    ) == str(remembered(entry))


def test_a_difference_in_anything_is_one() -> None:
    """Mark, state, tuple: entries are alike only where all agree, and none is missing."""
    one = remembered(Entry(WAY, BACK, tcp=TcpState.SYN_SENT))
    assert alike([one], [one])
    assert not alike([one], [])
    assert not alike([], [one])
    assert not alike([one], [one._replace(mark=1)])
    assert not alike([one], [one._replace(reply=BACK._replace(dport=4001))])


def test_a_port_that_the_kernel_picks_may_be_any() -> None:
    """Where the model says that the kernel picks the port, whichever it picked is right, and told as `any`."""
    believed = remembered(Entry(WAY, BACK._replace(dport=ANY_PORT), snat=True, tcp=TcpState.SYN_SENT))
    found = believed._replace(reply=BACK._replace(dport=13346))
    assert alike([believed], [found])
    assert (str(believed),) == listed([believed], [found])
    assert "> 192.0.2.9 any, " in str(believed)
