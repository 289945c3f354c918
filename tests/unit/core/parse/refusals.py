"""How a policy with a mistake is refused."""

from __future__ import annotations

import pytest

from conntrim.core.model.errors import InputError
from conntrim.core.parse.policy import parse_policy


def refusal(text: str) -> InputError:
    """What is said of this policy, which is not taken."""
    with pytest.raises(InputError) as caught:
        parse_policy(text.encode(), "p")
    return caught.value
