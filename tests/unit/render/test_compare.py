"""How a comparison words the part of all packets that it found."""

from fractions import Fraction

import pytest

from conntrim.render.compare import share


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Fraction(1), "all"),
        (Fraction(1, 8), "12.50 % (exactly 2^-3)"),
        (Fraction(1, 1 << 24), "1 in 16,777,216 (exactly 2^-24)"),
        (Fraction(257, 1 << 32), "1 in 16,711,935 (exactly 257/4294967296)"),
        (Fraction(1, 1 << 100), "1 in 2^100.0 (exactly 2^-100)"),
        (Fraction(3, (1 << 200) + 7), "1 in 2^198.4"),
    ],
)
def test_a_share_is_readable_and_exact(part: Fraction, words: str) -> None:
    """Percent, one in how many or in a power of two; the fraction beside it, unless it would fill a line."""
    assert words == share(part)
