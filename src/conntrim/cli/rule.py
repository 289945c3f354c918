"""The verb `rule`."""

from __future__ import annotations

import click

from conntrim import wiring
from conntrim.cli.output import say
from conntrim.core.diagnose.facts import fact_page
from conntrim.core.diagnose.manual import PAGES, page_of
from conntrim.core.model.errors import InputError
from conntrim.render.manual import fact_text, findings_list, manual_text


@click.command(name="rule")
@click.argument("code", required=False)
def command(*, code: str | None) -> None:
    """The manual page of a finding: what it says, why it matters, what to do, caveats; or a fact about the kernel.

    CODE: as a report shows it (CT010, K8), or its name (short-lived); without it all findings are listed.
    """
    if code is None:
        say(findings_list(PAGES))
        return
    page = page_of(code) or fact_page(code, wiring.kernel_facts())
    if page is None:
        raise InputError("CODE", f"there is no finding {code}", advice="conntrim rule lists them")
    say(fact_text(page) if page.code.startswith("K") else manual_text(page))
