"""Pseudonyms: prefixes are kept, ranges with a meaning too, and nothing else tells who was who."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from conntrim.core.model.address import MAPPED, parse_address
from conntrim.core.model.pseudonym import KEPT, Pseudonyms

V4 = st.integers(MAPPED, MAPPED | 0xFFFF_FFFF)
V6 = st.integers(0, (1 << 128) - 1)
SOME = Pseudonyms(b"k" * 16)


def shared(one: int, other: int) -> int:
    """How many leading bits two addresses have in common."""
    return 128 - (one ^ other).bit_length()


@given(st.one_of(st.tuples(V4, V4), st.tuples(V6, V6)))
def test_two_addresses_share_as_many_bits_afterwards_as_before(pair: tuple[int, int]) -> None:
    """The property that keeps networks together, exactly; so no two addresses become one."""
    one, other = pair
    assume((one >> 32 == MAPPED >> 32) == (other >> 32 == MAPPED >> 32))
    assert shared(SOME.address(one), SOME.address(other)) == shared(one, other)


@given(st.one_of(V4, V6))
def test_an_address_stays_in_its_range(number: int) -> None:
    """Private stays private, multicast multicast, loopback loopback; and nothing public becomes one of them."""
    for low, high in KEPT:
        assert (low <= number <= high) == (low <= SOME.address(number) <= high)


def test_a_hundred_neighbours_are_scattered_and_another_key_scatters_otherwise() -> None:
    """Addresses of one /24: almost none stays as it is, and two keys agree in none but by chance."""
    block = [parse_address("203.0.113.0") + i for i in range(256)]
    ours, theirs = [SOME.address(n) for n in block], [Pseudonyms(b"other key, 16 by").address(n) for n in block]
    assert sum(a == b for a, b in zip(block, ours, strict=True)) <= 16
    assert sum(a == b for a, b in zip(ours, theirs, strict=True)) <= 16
    assert len(set(ours)) == 256


def test_a_column_is_replaced_like_its_addresses() -> None:
    """IPv4 and IPv6, repeated ones too."""
    numbers = [parse_address(text) for text in ("192.0.2.1", "2001:db8::1", "192.0.2.1", "10.1.2.3")]
    column = np.array([divmod(number, 1 << 64) for number in numbers], np.uint64)
    told = [high << 64 | low for high, low in SOME.addresses(column).tolist()]
    assert told == [SOME.address(number) for number in numbers]


def test_a_prefix_becomes_a_prefix() -> None:
    """192.0.2.0/24 becomes the /24 in which its addresses are found again."""
    low, high = SOME.range(parse_address("192.0.2.0"), parse_address("192.0.2.255"))
    assert (low & 0xFF, high - low) == (0, 255)
    assert low <= SOME.address(parse_address("192.0.2.77")) <= high


def test_names_are_hidden_alike() -> None:
    """The same name is the same pseudonym, another one is another; nothing stays nothing."""
    assert SOME.name("web-17") == SOME.name("web-17") != SOME.name("web-18")
    assert SOME.name("") == ""
