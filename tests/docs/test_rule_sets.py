"""The page about rule sets as files names every form, and its bounds are the code's."""

from pathlib import Path

import pytest

from conntrim.core.parse import rule_forms
from conntrim.core.parse.nft import document
from conntrim.core.parse.rule_forms import Form
from conntrim.host import nft_text, rulesets

PAGE = (Path(__file__).parents[2] / "docs/rule-sets.md").read_text()


@pytest.mark.parametrize("form", Form)
def test_every_form_has_its_line(form: Form) -> None:
    """The table of forms names each by the command that prints it."""
    assert f"\n| `{form}` | " in PAGE


def test_the_bounds_are_those_that_hold() -> None:
    """What the page says a file may hold, and what nft may take."""
    said = " ".join(PAGE.split())
    for bound in (
        f"{rulesets.LARGEST >> 20} MiB and {rule_forms.MOST_LINES:,} lines",
        f"JSON {document.MOST_OBJECTS:,} objects and {document.MOST_VALUES:,} values",
        f"({nft_text.SECONDS:g}, and {nft_text.SECONDS_A_MIB:g} for each MiB of text), in {nft_text.MEMORY >> 20} MiB",
    ):
        assert bound in said
