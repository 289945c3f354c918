"""Programs run as on a machine of which only the system's own directories are trusted."""

from __future__ import annotations

import pytest

from conntrim.host.programs import PATH, run


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
