"""A host of the lab with a layout's rules loaded: its interfaces lead nowhere, its addresses are its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from conntrim.core.model.ruleset import Dialect
from conntrim.lab.layouts.layout import HOST4, HOST6, Layout
from conntrim.lab.netns import LabHost, lab_host

RESTORE = {Dialect.IPTABLES_NFT: "nft-restore", Dialect.IPTABLES_LEGACY: "legacy-restore"}


@contextmanager
def laid_out(layout: Layout, back_end: Dialect = Dialect.IPTABLES_NFT) -> Iterator[LabHost]:
    """A fresh host with these rules; `back_end` is iptables'. HostError where the kernel refuses them."""
    with lab_host("layout") as host:
        devices = (("eth0", f"{HOST4}/24"), ("eth0", f"{HOST6}/64"), *layout.devices)
        for name in dict.fromkeys(name for name, _ in devices):
            host.run("ip", "tuntap", "add", "dev", name, "mode", "tun")
            host.run("ip", "link", "set", name, "up")
        for name, address in devices:
            host.run("ip", "address", "add", address, "dev", name)
        load(host, layout, back_end)
        yield host


def load(host: LabHost, layout: Layout, back_end: Dialect = Dialect.IPTABLES_NFT) -> None:
    """Load a layout's rules; they replace nothing."""
    for program, text in (("iptables", layout.ip), ("ip6tables", layout.ip6)):
        if text:
            host.run(f"{program}-{RESTORE[back_end]}", text=text)
    if layout.nft:
        host.run("nft", "-f", "-", text=layout.nft)
