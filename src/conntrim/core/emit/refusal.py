"""What a dialect cannot say."""

from __future__ import annotations


class NotExpressible(ValueError):  # noqa: N818 - it names what is so, not an error of the caller's
    """No rule of that dialect says this."""
