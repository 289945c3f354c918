"""Hash chains: how long they are, and how often an insertion is refused because of one (K28).

Every entry sits in the hash twice, once by its original and once by its reply tuple. The hash is keyed at random, so
the length of a chain is Poisson distributed around the mean.
"""

from __future__ import annotations

from math import exp

CHAIN_LIMITS: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = (((6, 3), (50, 80)), ((5, 15), (8, 32)))
"""Kernel release from which on, and the limits it draws at random (both were ported back to stable kernels)."""


def mean_chain(entries: int, buckets: int) -> float:
    """Mean number of tuples in a bucket."""
    return 2 * entries / buckets if buckets else 0.0


def chain_limits(kernel: str) -> tuple[int, int] | None:
    """The limits of a kernel release; None before 5.15, which refuses nothing. Vendors port back: only a guess."""
    ours = release(kernel)
    return next((limits for since, limits in CHAIN_LIMITS if ours >= since), None)


def release(kernel: str) -> tuple[int, int]:
    """`6.18.44-generic` to (6, 18); (0, 0) where it is no such number."""
    parts = kernel.split("-", maxsplit=1)[0].split(".")[:2]
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(part.isdigit() for part in parts) else (0, 0)


def refused_share(mean: float, limits: tuple[int, int]) -> float:
    """The share of insertions that find one of their two chains too long, 0 to 1.

    The limit is drawn evenly from low..high for each insertion; either tuple's chain may be the long one.
    """
    low, high = limits
    if mean <= 0:
        return 0.0
    term = within = exp(-mean)
    longer: list[float] = []
    for length in range(1, high + 1):
        term *= mean / length
        within += term
        if length >= low:
            longer.append(max(0.0, 1.0 - within))
    one = sum(longer) / len(longer)
    return 1 - (1 - one) ** 2
