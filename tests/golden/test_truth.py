"""The cases in which model and kernel once disagreed: the model now says what the kernel said."""

from pathlib import Path

import pytest

from conntrim.lab.case import format_case, parse_case
from conntrim.lab.expect import expected, observed, ruleset_of
from conntrim.lab.oracle import story

CASES = sorted((Path(__file__).parent / "truth").glob("*.case"))


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_the_model_says_what_the_kernel_said(path: Path) -> None:
    """Each packet of a kept case has the kernel's story, answers of REJECT included; the entries are the kernel's."""
    case = parse_case(path.read_text(), path.name)
    believed = expected(observed(ruleset_of(case.batches, case.listing)), case.packets)
    assert (list(case.stories), "") == ([story(trace) for trace in believed.traces], believed.doubt)
    assert list(case.entries) == sorted(map(str, believed.entries or ()))


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_a_case_is_written_as_it_is_read(path: Path) -> None:
    """A case file parses to the case that prints as that file."""
    assert path.read_text() == format_case(parse_case(path.read_text(), path.name))
