"""nft's own text where nft may not be asked, or could not tell."""

from __future__ import annotations

import pytest

from conntrim.core.model.errors import InputError
from conntrim.host.nft_text import refuse_without, refuse_xt

COMMAND = "(give me `nft -j list ruleset` of its host)"


def test_without_root_or_nft_the_command_that_does_it_is_named() -> None:
    """One line says what to run instead."""
    for program, user, why in (("/usr/sbin/nft", 1000, "needs root for it"), (None, 0, "is not installed")):
        with pytest.raises(InputError) as caught:
            refuse_without(program, user, "f")
        assert str(caught.value) == f"f: this is nft's own text, which only nft reads, and nft {why} {COMMAND}"


def test_rules_of_iptables_lose_their_arguments_in_nfts_text() -> None:
    """`xt match "recent"` does not say what is asked (K36): taken for the rule it would be another one."""
    text = 'table inet own {\n}\ntable ip filter {\n\tchain INPUT {\n\t\txt match "recent" counter drop\n\t}\n}\n'
    with pytest.raises(InputError, match=r"^f:5: table ip filter holds rules of iptables"):
        refuse_xt(text, "f")
    refuse_xt("# xt match\ntable ip t {\n}\n", "f")
