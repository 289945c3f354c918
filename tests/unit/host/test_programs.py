"""Programs run as on a machine of which only the system's own directories are trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from conntrim.core.model.errors import HostError
from conntrim.host.programs import PATH, find, preferring, run


def test_what_a_program_starts_is_found_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """cron's or a service's short path, or a strange one, is not handed on to children; the rest is."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("CONNTRIM_TOLD", "kept")
    assert [":".join(PATH), "kept"] == run(["sh", "-c", "echo $PATH; echo $CONNTRIM_TOLD"]).split()


def test_iptables_own_variables_are_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other extensions would give the rules another meaning than the one that was read."""
    for name in ("XTABLES_LIBDIR", "XTABLES_LOCKFILE", "IPTABLES_LIB_DIR", "IP6TABLES_LIB_DIR"):
        monkeypatch.setenv(name, "/nowhere")
    assert "" == run(["sh", "-c", "env | grep TABLES_ || true"])


def test_another_release_s_programs_come_first_only_where_they_were_asked_for(tmp_path: Path) -> None:
    """The directory is looked into first, its programs start each other, and afterwards nobody knows of it."""
    before = find("sh")
    for name, text in (("sh", 'exec /bin/sh "$@"'), ("nft", "echo of the tree")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    with preferring(str(tmp_path)):
        assert (str(tmp_path / "sh"), "of the tree\n") == (find("sh"), run(["sh", "-c", "nft"]))
    assert before == find("sh")


def test_a_program_that_was_killed_says_by_what(tmp_path: Path) -> None:
    """nft 1.0.6 dies of some rules without a word (K169): the signal is named, and what is known of it."""
    (tmp_path / "nft").write_text("#!/bin/sh\nkill -SEGV $$\n")
    (tmp_path / "nft").chmod(0o755)
    with preferring(str(tmp_path)), pytest.raises(HostError) as raised:
        run(["nft", "list", "ruleset"])
    assert "killed by SIGSEGV" in str(raised.value)
    assert "K169" in raised.value.advice
