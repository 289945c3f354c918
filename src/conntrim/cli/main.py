"""The command `conntrim`: its verbs, imported only when called, and what an error looks like."""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence

import click

from conntrim import __version__
from conntrim.cli.lazy import LazyGroup
from conntrim.cli.output import complain, speak_always, terminal_columns
from conntrim.core.model.errors import ConntrimError
from conntrim.render.page import as_wide_as

VERBS: dict[str, str] = {
    "census": "who fills the table",
    "record": "one file with everything that the other verbs read, once or for a while",
    "collect": "a line of shell that gathers the same on hosts without Python",
    "diagnose": "the doctor's report: is it full, why, what to do",
    "rule": "the manual page of a finding",
    "plan": "which services to leave untracked, the rules for it, and the proof",
    "explain": "what the rules do with one packet or connection, and why",
    "apply": "load a plan on trial: it expires in the kernel by itself",
    "confirm": "keep what is on trial",
    "rollback": "undo the trial or the confirmed plan",
    "status": "where the rollout stands, and what has changed since",
    "history": "what was tried, kept and undone here, when and by whom",
    "check": "findings in a rule set: holes, one-sided and useless NOTRACK",
    "compare": "what one rule set newly admits and drops, against another",
    "lab": "the incident, and the model against the kernel, in namespaces",
}
"""Verb to its one line of help; each lives in `conntrim.cli.VERB` as `command`."""

YOUNG = 1_000_000
"""New objects between two looks for garbage: rule sets are hundreds of thousands of objects, and none of them is. With
a tenth of it a tenth of the time in which a large one is read went into looking."""

FAILED: dict[str, int] = {"diagnose": 3}
"""Exit code of a verb that could not do its work, where it is not 2: Nagios calls that UNKNOWN."""


@click.group(
    cls=LazyGroup, verbs=VERBS, prefix="conntrim.cli.", context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, message="%(prog)s %(version)s", prog_name="conntrim")
def conntrim() -> None:
    """Find what fills the connection-tracking table, and cure it safely."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; errors go to stderr, one line, saying whose fault it is."""
    gc.set_threshold(YOUNG, 50, 50)
    failed = FAILED.get(next((a for a in arguments if a in VERBS), ""), 2)
    speak_always()
    try:
        with as_wide_as(terminal_columns()):
            return conntrim.main(list(arguments), prog_name="conntrim", standalone_mode=False) or 0
    except ConntrimError as error:
        complain(str(error))
        return failed
    except click.ClickException as error:
        complain(error.format_message() + _help_of(error))
        return failed
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        return 130
    except BrokenPipeError:
        # The reader of our pipe left (`| head`): not an error, and nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        return unforeseen(error, failed)


def _help_of(error: click.ClickException) -> str:
    """Where the right use of a verb is told."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f" ({context.command_path} --help)" if context else ""


def unforeseen(error: Exception, failed: int) -> int:
    """Say that the disk is full, or that we have a bug; with CONNTRIM_DEBUG set, where it happened."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        complain("standard output: no space left on device")
        return failed
    if isinstance(error, MemoryError):
        complain("not enough memory for this")
        return failed
    if "CONNTRIM_DEBUG" in os.environ:
        raise error
    said = f"{type(error).__name__}: {error}"
    complain(f"a bug of ours, please report it: {said} (CONNTRIM_DEBUG=1 shows where)")
    return failed
