"""The manual pages of all findings: the docstrings of the checks of hosts and of rule sets."""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.diagnose import registry as hosts
from conntrim.core.diagnose.causes import registry as causes
from conntrim.core.diagnose.rulesets import registry as rulesets


@dataclass(frozen=True, slots=True)
class Page:
    """One finding's page: its code, its name and the text."""

    code: str
    name: str
    text: str


OF_HOSTS = (
    *(Page(module.CODE, module.NAME, module.__doc__ or "") for module in hosts.MODULES),
    *(Page(module.CODE, module.NAME, module.__doc__ or "") for module in causes.MODULES),
)

PAGES: tuple[Page, ...] = (
    *sorted(OF_HOSTS, key=lambda page: page.code),
    *(Page(module.CODE, module.NAME, module.__doc__ or "") for module in rulesets.PAGES),
)
"""In the order of the codes."""


def page_of(code: str) -> Page | None:
    """The page of a finding, by its code or its name; None where there is none."""
    return next((page for page in PAGES if code.upper() == page.code or code.lower() == page.name), None)
