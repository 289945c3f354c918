"""How iptables says each field: one row an option, which the parser reads and the emitter writes.

Of a field's rows the emitter takes the first that can say the values; so the order is what iptables-save prefers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as default
from enum import Enum

from conntrim.core.dialect import names
from conntrim.core.model.address import Family
from conntrim.core.model.address_types import AddressType
from conntrim.core.model.fields import Field, TcpFlag
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.tcp_flags import SYN_MASK


class Says(Enum):
    """How the values of an option say a set of numbers; `!` before it says all others."""

    ADDRESS = "an address, a prefix, an address under a mask"
    ADDRESSES = "two addresses with a dash"
    PORT = "one port, or two with a colon"
    PORTS = "a list of up to fifteen of them"
    FLAGS = "the flags that are looked at, and those of them that are set"
    BITS = "no value: the option itself stands for bits"
    TYPE = "an ICMP type, or type and code"
    MARK = "a number, or a number under a mask"
    NUMBER = "one number; names are read"
    NAME = "one name"
    NAMES = "a list of names"
    SPAN = "one number, or two with a colon"
    HOPS = "three options: equal, less than, greater than"
    PROTOCOL = "a protocol by number or name"
    DEVICE = "an interface, `+` at its end for any rest"
    YES = "no value: the field is 1"


@dataclass(frozen=True, slots=True)
class XtOption:
    """One option. `module` is what `-m` loads, "" for the options that need none; `option` is how iptables-save writes
    it, without its dashes, `also` are other names under which it is read.

    `names` stand for numbers; `bits` are the mask and value of an option without a value; `family`: only its tables
    have it.
    """

    field: Field
    module: str
    option: str
    says: Says
    also: tuple[str, ...] = ()
    names: Mapping[str, int] = default(default_factory=dict)
    bits: tuple[int, int] = (0, 0)
    family: Family | None = None


PORT_MODULES: dict[str, Protocol] = {protocol.name.lower(): protocol for protocol in sorted(WITH_PORTS)}
"""The matches on one protocol's ports."""

NEEDS_PROTOCOL: dict[str, frozenset[Protocol]] = {
    **{module: frozenset({protocol}) for module, protocol in PORT_MODULES.items()},
    "icmp": frozenset({Protocol.ICMP}),
    "icmp6": frozenset({Protocol.ICMPV6}),
    "multiport": WITH_PORTS,
}
"""What `-p` must say, not negated, before the kernel takes such a match."""

MODULE_ALIASES: dict[str, str] = {"ipv6-icmp": "icmp6", "icmpv6": "icmp6"}

PROTOCOL_NAMES: dict[int, str] = {
    Protocol.ICMP: "icmp", Protocol.TCP: "tcp", Protocol.UDP: "udp", Protocol.ICMPV6: "ipv6-icmp",
}  # fmt: skip
"""The protocols that `-p` is written with by name: every host knows them."""

ADDRESS_TYPES: dict[str, int] = {kind.name: int(kind) for kind in AddressType}

_SRC, _DST, _SPORT, _DPORT, _FLAGS = Field.SRC, Field.DST, Field.SPORT, Field.DPORT, Field.TCP_FLAGS

OPTIONS: tuple[XtOption, ...] = (
    XtOption(_SRC, "", "s", Says.ADDRESS),
    XtOption(_DST, "", "d", Says.ADDRESS),
    XtOption(Field.IIF, "", "i", Says.DEVICE),
    XtOption(Field.OIF, "", "o", Says.DEVICE),
    XtOption(Field.PROTOCOL, "", "p", Says.PROTOCOL),
    XtOption(Field.FRAGMENT, "", "f", Says.YES, family=Family.IPV4),
    XtOption(_SRC, "iprange", "src-range", Says.ADDRESSES),
    XtOption(_DST, "iprange", "dst-range", Says.ADDRESSES),
    *(
        row
        for module in PORT_MODULES
        for row in (
            XtOption(_SPORT, module, "sport", Says.PORT, ("source-port",)),
            XtOption(_DPORT, module, "dport", Says.PORT, ("destination-port",)),
        )
    ),
    XtOption(_SPORT, "multiport", "sports", Says.PORTS, ("source-ports",)),
    XtOption(_DPORT, "multiport", "dports", Says.PORTS, ("destination-ports",)),
    XtOption(_FLAGS, "tcp", "tcp-flags", Says.FLAGS, names=names.FLAGS),
    XtOption(_FLAGS, "tcp", "syn", Says.BITS, bits=(int(SYN_MASK), int(TcpFlag.SYN))),
    XtOption(Field.ICMP, "icmp", "icmp-type", Says.TYPE),
    XtOption(Field.ICMPV6, "icmp6", "icmpv6-type", Says.TYPE),
    XtOption(Field.MARK, "mark", "mark", Says.MARK),
    XtOption(Field.PACKET_TYPE, "pkttype", "pkt-type", Says.NAME, names=names.PACKET_TYPES),
    XtOption(Field.SRC_TYPE, "addrtype", "src-type", Says.NAMES, names=ADDRESS_TYPES),
    XtOption(Field.DST_TYPE, "addrtype", "dst-type", Says.NAMES, names=ADDRESS_TYPES),
    XtOption(Field.LENGTH, "length", "length", Says.SPAN),
    XtOption(Field.TTL, "ttl", "ttl-eq", Says.HOPS, ("ttl-lt", "ttl-gt", "ttl"), family=Family.IPV4),
    XtOption(Field.TTL, "hl", "hl-eq", Says.HOPS, ("hl-lt", "hl-gt"), family=Family.IPV6),
    XtOption(Field.DSCP, "dscp", "dscp", Says.NUMBER, ("dscp-class",), names.DSCP_CLASSES),
    XtOption(_FLAGS, "ecn", "ecn-tcp-cwr", Says.BITS, bits=(int(TcpFlag.CWR), int(TcpFlag.CWR))),
    XtOption(_FLAGS, "ecn", "ecn-tcp-ece", Says.BITS, bits=(int(TcpFlag.ECE), int(TcpFlag.ECE))),
    XtOption(Field.ECN, "ecn", "ecn-ip-ect", Says.NUMBER),
)
"""Every option that says one field."""

ELSEWHERE: dict[Field, str] = {
    Field.FAMILY: "the table is of one family",
    Field.CT_STATE: "-m conntrack and -m state ask more than the state: `XtConntrack`",
}
"""Fields that no option says alone, and what says them."""

SET_PARTS: dict[tuple[str, str], tuple[Field | str, ...]] = {
    ("ip", "src"): (_SRC,),
    ("ip", "dst"): (_DST,),
    ("net", "src"): (_SRC,),
    ("net", "dst"): (_DST,),
    ("port", "src"): (Field.PROTOCOL, _SPORT),
    ("port", "dst"): (Field.PROTOCOL, _DPORT),
    ("mark", "src"): (Field.MARK,),
    ("mark", "dst"): (Field.MARK,),
    ("mac", "src"): ("ether saddr",),
    ("mac", "dst"): ("ether daddr",),
    ("iface", "src"): (Field.IIF,),
    ("iface", "dst"): (Field.OIF,),
}
"""Part of an ipset's type and the direction that `--match-set` names, to what is compared."""
