"""The composition root: which adapter stands behind which port. Imports wait until a verb needs them."""

from __future__ import annotations
