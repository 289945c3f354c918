"""What rules write down: a field of the packet's header, an element of a named set."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as default

from conntrim.core.model.fields import Field

ADDRESSING = frozenset({Field.SRC, Field.DST, Field.SPORT, Field.DPORT})
"""Fields that tell a packet's connection: written without an entry, nobody turns the answers back."""


@dataclass(frozen=True, slots=True)
class SetField:
    """The header's field is `value` from here on (`ip dscp set cs1`, `tcp dport set 8080`); `text` in nft's words."""

    field: Field
    value: int
    text: str = default(compare=False)

    @property
    def readdresses(self) -> bool:
        """Whether it is another packet to conntrack, the routing and the other end."""
        return self.field in ADDRESSING


@dataclass(frozen=True, slots=True)
class AddToSet:
    """The packet's `fields` become an element of a named set, or stay one (`add @s { ip saddr }`, `update`, iptables'
    `SET --add-set`); `text` in the dialect's words. A field given as text is none that the model knows.

    nft ends the rule where the set has no room left (K135), iptables' goes on.
    """

    set_name: str
    fields: tuple[Field | str, ...]
    text: str = default(compare=False)
