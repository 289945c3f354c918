"""The layouts of the lab are rule sets that a kernel takes."""

from __future__ import annotations

import pytest

from conntrim.core.model.ruleset import Dialect
from conntrim.host.listing import KernelListing
from conntrim.lab.layouts.host import laid_out
from conntrim.lab.layouts.registry import LAYOUTS, drawn


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_loads_and_is_read_whole(name: str) -> None:
    """Every layout loads in the back ends that it has rules for, and nothing of it is left unread."""
    for seed, back_end in enumerate((Dialect.IPTABLES_NFT, Dialect.IPTABLES_LEGACY)):
        layout = drawn(name, seed)
        with laid_out(layout, back_end) as host:
            ruleset = KernelListing().read(host.name).ruleset
            rules = sum(len(chain.rules) for table in ruleset.tables for chain in table.chains)
            written = sum(text.count("\n-A ") for text in (layout.ip, layout.ip6))
            assert not ruleset.unread
            assert rules > max(written - 1, 4)
