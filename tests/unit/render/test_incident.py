"""The incident's text."""

from conntrim.core.model.incident import Incident, Stage
from conntrim.render import incident as text

SERVED = Stage("healthy", 3000, 0, 0, 5432.1, "served", as_told=True)
KNOCK = Stage("stranger", None, None, None, None, "is refused", as_told=False)


def test_a_stage_is_its_figures_and_its_lesson() -> None:
    """A stage without load has dashes; what went otherwise than told says so."""
    assert "healthy                 3,000        0        0       5,432\n    served" == text.line(SERVED)
    assert "stranger                    -        -        -           -\n    NOT AS TOLD: is refused" == text.line(
        KNOCK
    )


def test_the_ending_names_what_went_wrong() -> None:
    """The last line is the answer, with the stages that went otherwise and what was left out."""
    assert "all 1 stages as told" == text.ending(Incident(1, 1, (SERVED,)))
    assert "not as told: stranger\nleft out: x" == text.ending(Incident(1, 1, (SERVED, KNOCK), ("x",)))
