"""The module option that sizes the hash, and the line that loads the module before sysctl runs."""

from __future__ import annotations

from conntrim.core.model.facts import Era

TRAP = """\
# Written by conntrim.
# Beware: hashsize given here makes {max_key} {factor} x hashsize = {trap:,} when the
# module loads, until a sysctl sets it. The sysctl file of this plan sets it to {max:,}.
# A machine that loses that file would allow {trap:,} entries.
"""
LOAD = """\
# Written by conntrim. Loaded early, or the sysctl keys do not exist yet when sysctl.d is read.
{module}
"""


def modprobe_file(era: Era, buckets: int, maximum: int, factor: int) -> str:
    """`options nf_conntrack hashsize=N` with the factor trap (K27) explained; ip_conntrack in the old era."""
    trap = TRAP.format(max_key=f"{era}_max", factor=factor, trap=factor * buckets, max=maximum)
    return f"{trap}options {era} hashsize={buckets}\n"


def modules_load_file(era: Era) -> str:
    """The module's name for modules-load.d."""
    return LOAD.format(module=era.value)
