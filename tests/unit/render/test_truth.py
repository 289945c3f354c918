"""The answer of the model against the kernel as text."""

from conntrim.core.model.truth import Truth
from conntrim.render.truth import truth_text


def test_agreement_is_two_lines() -> None:
    """The answer comes first, then what was not compared and how fast it went."""
    text = truth_text(Truth(30_000, 120, 21, 2, 0, 361, None, 15.0))
    assert (
        "no disagreement: 30,000 packets, 120 rule sets\n"
        "361 packets not decided by the model, 15.0 s, 2,000 packets/s\n"
    ) == text


def test_a_disagreement_says_where_and_shows_the_case() -> None:
    """The seed and the place make it come again; the case stands below."""
    text = truth_text(Truth(100, 1, 3, 1, 1, 0, 42, 1.0, ("== packets\n",)))
    assert (
        "1 disagreements: 100 packets, 1 rule sets\n"
        "0 packets not decided by the model, 1.0 s, 100 packets/s\n"
        "the first came after 42 packets; seed 3\n"
        "\n"
        "--- case 1\n"
        "== packets\n"
    ) == text
