"""Big tables fast: one entry as template, its columns overwritten for hundreds of thousands at once (K35)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from conntrim.core.model.conntrack import TcpState
from conntrim.core.parse.ctnetlink import BYTEORDER
from conntrim.core.parse.ctnetlink_layout import Form, layout_of
from conntrim.host.flows import NETLINK_NETFILTER
from conntrim.host.netlink import HEADER, NLM_F_ACK, NLM_F_REQUEST, Netlink
from conntrim.lab.fill import BATCH, CT_NEW, NLM_F_CREATE_EXCL, Entry, message_body

MIRROR = {"src": "reply_dst", "dst": "reply_src", "sport": "reply_dport", "dport": "reply_sport"}
"""What the reply's tuple has of the original one."""

WRITTEN = {Form.U8: "u1", Form.U16: ">u2", Form.U32: ">u4", Form.V4: ">u4", Form.V6: ">u8"}
"""How a column is written; of an IPv6 address its lower half."""

Columns = Mapping[str, npt.NDArray[Any]]


def messages_of(template: Entry, columns: Columns, seq: int, flags: int = NLM_F_CREATE_EXCL) -> npt.NDArray[np.uint8]:
    """One message a row, uint8[n, length]: the template with its columns (`src`, `dst`, `sport`, `dport`, `timeout`,
    `state`) replaced; addresses as the lower 32 (IPv4) or 64 bits (IPv6).
    """
    body = message_body(template)
    whole = HEADER.pack(HEADER.size + len(body), CT_NEW, NLM_F_REQUEST | flags, seq, 0) + body
    rows = np.tile(np.frombuffer(whole, np.uint8), (len(next(iter(columns.values()))), 1))
    wanted = {**columns, **{MIRROR[name]: values for name, values in columns.items() if name in MIRROR}}
    for field in layout_of(whole, BYTEORDER).fields:
        if field.column in wanted:
            at = field.at + (8 if field.form is Form.V6 else 0)
            target = np.ndarray((len(rows),), WRITTEN[field.form], rows, at, (rows.shape[1],))
            target[:] = wanted[field.column]
    return rows


def fill_columns(netns: str, template: Entry, columns: Columns) -> int:
    """Make one entry for each row of the columns; how many. HostError with the kernel's word on the first refused."""
    with Netlink(NETLINK_NETFILTER, "filling the table", netns) as link:
        return send_columns(link, template, columns)


def send_columns(link: Netlink, template: Entry, columns: Columns, flags: int = NLM_F_CREATE_EXCL) -> int:
    """The same over a link that is open; without flags entries that are there are changed."""
    rows = messages_of(template, columns, link.seq, flags)
    # The last of a batch asks for an answer; `nlmsg_flags` is at byte 6.
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        batch[-1, 6:8].view(np.uint16)[0] |= NLM_F_ACK
        link.send_raw(batch.tobytes())
        for _ in link.answers():
            pass
    return len(rows)


def busy_site(netns: str, entries: int, seed: int = 1) -> int:
    """A web host's table as the incident has it, of about so many entries, exactly the number returned.

    7 of 10 are connections to caches in TIME_WAIT, 2 of 10 come from 20,000 web clients in several states, the
    rest are DNS queries, IPv6 clients and unanswered handshakes.
    """
    chance, made = np.random.default_rng(seed), 0
    every = np.arange(entries, dtype=np.uint64)
    cache = every[: entries * 7 // 10]
    made += fill_columns(
        netns,
        Entry(6, "192.168.0.18", "192.168.0.17", 1, 11211, TcpState.TIME_WAIT, 86_400),
        {"sport": 1024 + cache % 64_000, "dst": 0xC0A80020 + cache // 64_000},
    )  # fmt: skip
    web = every[: entries * 2 // 10]
    made += fill_columns(
        netns,
        Entry(6, "203.0.113.1", "192.168.0.18", 1, 80, TcpState.ESTABLISHED, 86_400),
        {"src": 0xCB007100 + web % 20_000, "sport": 1024 + web // 20_000,
         "state": chance.choice([3, 3, 4, 5, 6, 7, 7, 7], len(web)),
         "timeout": chance.integers(80_000, 86_400, len(web))},
    )  # fmt: skip
    rest = every[: (entries - made) // 3]
    made += fill_columns(
        netns, Entry(17, "192.168.0.18", "192.0.2.53", 1, 53, timeout=86_400),
        {"sport": 1024 + rest % 60_000, "dst": 0xC0000235 + rest // 60_000},
    )  # fmt: skip
    made += fill_columns(
        netns, Entry(6, "2001:db8::1", "2001:db8::18", 1, 443, TcpState.ESTABLISHED, 86_400),
        {"src": (0x1_0000_0000 + rest % 5_000).astype(np.uint64), "sport": 1024 + rest // 5_000},
    )  # fmt: skip
    flood = every[: entries - made]
    return made + fill_columns(
        netns, Entry(6, "198.18.0.1", "192.168.0.18", 1, 80, TcpState.SYN_SENT, 86_400, replied=False),
        {"src": 0xC6120000 + flood, "sport": chance.integers(1024, 65_535, len(flood))},
    )  # fmt: skip
