"""Every layout, and a host drawn from one of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from conntrim.lab.layouts import native, nodes, servers
from conntrim.lab.layouts.layout import Draw, Layout

LAYOUTS: dict[str, Callable[[Draw], Layout]] = {
    "by hand": servers.by_hand, "limited": servers.limited, "ufw": servers.ufw, "csf": servers.csf,
    "fail2ban": servers.banned, "several uplinks": servers.several_uplinks, "docker": nodes.docker,
    "kube-proxy": nodes.kube_proxy, "calico": nodes.calico, "cilium": nodes.cilium, "tailscale": nodes.tailscale,
    "gateway": nodes.gateway, "nft by hand": native.by_hand, "nft metered": native.metered,
    "firewalld": native.firewalld, "vyos": native.vyos, "openwrt": native.fw4,
    "nft and iptables": native.beside_iptables,
}  # fmt: skip


def drawn(name: str, seed: int) -> Layout:
    """A host of that layout; the same seed draws the same one."""
    return LAYOUTS[name](Draw(Random(f"{name} {seed}")))  # noqa: S311 - a lab
