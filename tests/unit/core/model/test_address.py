"""Addresses as numbers."""

import pytest

from conntrim.core.model.address import Family, family_of, format_address, format_range, parse_address, parse_prefix


@pytest.mark.parametrize("text", ["0.0.0.0", "192.168.0.17", "255.255.255.255", "::", "::1", "2001:db8::17"])
def test_spelling_survives(text: str) -> None:
    """An address read and written is the same text."""
    assert text == format_address(parse_address(text))


def test_families_are_told_apart() -> None:
    """IPv4 lives in ::ffff:0:0/96, everything else is IPv6."""
    assert Family.IPV4 is family_of(parse_address("10.0.0.1"))
    assert Family.IPV6 is family_of(parse_address("fe80::1"))


@pytest.mark.parametrize("text", ["10.0.0.0/8", "0.0.0.0/0", "192.168.0.17", "2001:db8::/32", "::/0"])
def test_prefixes_survive(text: str) -> None:
    """A prefix becomes a range and the range is written as that prefix again."""
    assert text == format_range(*parse_prefix(text))


def test_range_that_is_no_prefix() -> None:
    """Three addresses are written with both ends."""
    assert format_range(parse_address("10.0.0.1"), parse_address("10.0.0.3")) == "10.0.0.1-10.0.0.3"
