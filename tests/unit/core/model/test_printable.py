"""Text from outside as it may be shown."""

import pytest

from conntrim.core.model.printable import one_line, shortened, shown

SPELT = {
    "an ESC": ("a\x1b]0;x\x07b", r"a\x1b]0;x\x07b"), "a C1 CSI": ("\x9b2J", r"\x9b2J"), "DEL": ("a\x7f", r"a\x7f"),
    "a line feed": ("a\nREADY", r"a\nREADY"), "a bidi override": ("a\u202eb", r"a\u202eb"),
    "a line separator": ("a\u2028b", r"a\u2028b"), "a byte that is no UTF-8": ("caf\udce9", r"caf\xe9"),
    "a lone surrogate": ("\ud800", r"\ud800"), "a tag character": ("\U000e0041", r"\U000e0041"),
    "a zero-width space": ("a\u200bb", r"a\u200bb"), "text": ("Grüße, 東京 \\", "Grüße, 東京 \\"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "said"), SPELT.values(), ids=SPELT)
def test_what_does_not_print_is_spelt_out(raw: str, said: str) -> None:
    """Whatever steers a terminal, hides or turns text shows as its escape; text of any script stays as it is."""
    assert shown(raw) == said
    assert shown(said) == said


def test_a_message_is_one_bounded_line() -> None:
    """2 MB over many lines become 300 characters: the beginning, and the end with the advice."""
    said = one_line("rules.v4:1: no such thing: " + "x\x1b\n" * 700_000 + " (give me iptables-save)", 300)
    assert len(said) == 300
    assert said.isprintable()
    assert said.startswith("rules.v4:1: no such thing: x\\x1b; x")
    assert said.endswith(" (give me iptables-save)")
    assert shortened("short", 300) == "short"
