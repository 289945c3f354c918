"""What stands for a rule of a kernel's listing that was not understood."""

from __future__ import annotations

from conntrim.core.model.finding import Place
from conntrim.core.model.ruleset import UNREAD, OpaqueMatch, OpaqueStatement, Rule


def opaque_rule(text: str, place: Place) -> Rule:
    """A rule of which nothing is known: it may match any packet, in any state, and do anything with it."""
    return Rule((OpaqueMatch(UNREAD, text),), (OpaqueStatement(UNREAD, text),), place, text)
