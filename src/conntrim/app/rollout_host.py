"""What of a confirm goes beyond the rules: stale entries, sysctls and files; and how they come back."""

from __future__ import annotations

from dataclasses import replace

from conntrim.app.persist import lasting
from conntrim.app.ports.files import Files
from conntrim.app.rollout_run import RefusedError, Run
from conntrim.core.capacity.sizing import crowded, size_for
from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import FileChange
from conntrim.core.model.policy import Untrack
from conntrim.core.model.raw_text import bytes_of
from conntrim.core.plan.obligations.room import NAME as ROOM
from conntrim.core.rollout.record import Lasting, SavedFile
from conntrim.core.rollout.report import Tuned

FALLS_BACK = "falls-back"
"""The obligation that kept entries are for."""
BUCKETS, MAX = "net.netfilter.nf_conntrack_buckets", "net.netfilter.nf_conntrack_max"
COUNT = "net.netfilter.nf_conntrack_count"


def in_order(settings: dict[str, int]) -> list[tuple[str, int]]:
    """The settings in the order to set them: buckets before max, so that chains stay short throughout (K28)."""
    rank = {BUCKETS: 0, MAX: 1}
    return sorted(settings.items(), key=lambda item: rank.get(item[0], 2))


class Surroundings:
    """The table's entries, the sysctls and the files of the host that a run changes."""

    def __init__(self, run: Run) -> None:
        self.run, self.ports = run, run.ports
        self.put_back: list[Tuned] = []

    def purge(self) -> None:
        """Delete the entries of the services that are untracked now."""
        purged = self.ports.purge.purge(self.run.plan.services())
        self.run.journal = replace(self.run.journal, purged=(self.run.journal.purged or 0) + purged)

    def keep_alive(self) -> None:
        """Let what is open now go on when the trial falls back; RefusedError where that cannot be had."""
        services, seconds = self.run.plan.services(), self.run.request.seconds if self.run.request else 0.0
        try:
            if services:
                self.ports.entries.keep_alive(services, seconds)
        except HostError as error:
            why = f"connections that are open now may not survive falling back: {error}"
            if FALLS_BACK not in self.run.journal.accepted:
                raise RefusedError(f"{why}; --accept {FALLS_BACK} does without") from error
            self.run.remark(why)

    def carry_on(self, services: tuple[Untrack, ...]) -> None:
        """Before untracking ends: windows are seen anew, and what was opened meanwhile has an entry (K95, K98)."""
        try:
            left = self.ports.entries.renew(services) if services else 0
        except HostError as error:
            self.run.remark(f"entries keep the flag that lets packets outside their window pass: {error}")
            left = 0
        if left:
            self.run.remark(f"{left} entries keep the flag that lets packets outside their window pass: no room")
        self.adopt(services)

    def adopt(self, services: tuple[Untrack, ...]) -> None:
        """Entries for this host's connections that have none; that it fails must not keep the rules in."""
        try:
            if services:
                self.ports.entries.adopt(services)
        except HostError as error:
            self.run.remark(f"connections opened while untracked may be lost: {error}")

    def tune(self) -> None:
        """Set the sysctls that are not yet what the plan wants."""
        for key, value in in_order(self.run.plan.settings):
            before = self.ports.sysctls.read(key)
            if before is None:
                self.run.remark(f"{key} was not set: this kernel has no such key")
            elif before != value and key == MAX and (why := self.too_narrow()):
                if self.run.plan.only_settings:
                    raise RefusedError(f"{key}: {why}")
                self.run.remark(f"{key} stays {before}: {why}")
            elif before != value:
                self._set(key, before, value)

    def too_narrow(self) -> str:
        """Why the table would be too small for the entries that are there now; the operator may accept that."""
        value, count = self.run.plan.settings.get(MAX), self.ports.sysctls.read(COUNT)
        if value is None or count is None or ROOM in self.run.journal.accepted:
            return ""
        if not crowded(value, self.ports.sysctls.read(MAX), count):
            return ""
        return f"{value:,} is too small for {count:,} entries: {size_for(count).max:,} leaves them room"

    def to_set(self) -> tuple[Tuned, ...]:
        """What a confirm would set now."""
        wanted = self.run.journal.plan.settings if self.run.journal.plan else {}
        now = [Tuned(key, self.ports.sysctls.read(key), value) for key, value in in_order(wanted)]
        return tuple(each for each in now if each.before != each.after)

    def were_set(self) -> tuple[Tuned, ...]:
        """What the confirm has set."""
        return tuple(Tuned(k, before, self.run.plan.settings[k]) for k, before in self.run.journal.settings.items())

    def _set(self, key: str, before: int, value: int) -> None:
        """A refused sysctl is told, not fatal: the rules are in, and a container can never set the global ones."""
        earlier = self.run.journal.settings
        self.run.keep(replace(self.run.journal, settings={key: before} | earlier))
        try:
            self.ports.sysctls.write(key, value)
        except HostError as error:
            self.run.journal = replace(self.run.journal, settings=earlier)
            self.run.remark(f"{key} stays {before}, not {value}: {error.detail} ({error.advice})")

    @property
    def root(self) -> str:
        """The directory that files are written below, "" where none may be written."""
        return self.ports.root or self.run.journal.root or self.ports.default_root

    @property
    def files(self) -> Files:
        """The files below it."""
        return self.ports.files.below(self.root)

    def changes(self) -> tuple[FileChange, ...]:
        """The files that this confirm writes: the plan's, and those that make its rules last."""
        made = self.run.journal.lasting
        return (*self.run.plan.files, *(made.files if made else ()))

    def _decide_lasting(self) -> None:
        """Once, and written down: a confirm that is taken up again must not see its own files as the host's."""
        if self.root:
            made = lasting(self.ports.persistence, self.run.plan, self.root, self.run.claim)
            decided = Lasting(tuple(made.files), tuple(made.brought_back), tuple(made.by_hand))
        else:
            decided = Lasting((), (), ("no file was written: the host's own are not this namespace's (--root DIR)",))
        self.run.keep(replace(self.run.journal, root=self.root, lasting=decided))

    def write_files(self) -> None:
        """Each file whole, with a dated copy of what was there."""
        if self.run.journal.lasting is None:
            self._decide_lasting()
        if not self.root:
            return
        stamp = self.run.stamp("%Y%m%dT%H%M%SZ")
        for change in self.changes():
            saved = self._saved(change.path)
            if saved is None:
                saved = self.files.look(change.path, stamp)
                self.run.keep(replace(self.run.journal, files=(*self.run.journal.files, saved)))
            self.files.write(change, saved)

    def _saved(self, path: str) -> SavedFile | None:
        return next((saved for saved in self.run.journal.files if saved.path == path), None)

    def restore(self) -> None:
        """Sysctls and files as they were, but for what somebody else has changed since."""
        if self.run.journal.plan is None:
            return
        for key, before in reversed(in_order(self.run.journal.settings)):
            now = self.ports.sysctls.read(key)
            if now is not None and now == self.run.plan.settings.get(key):
                self.ports.sysctls.write(key, before)
                self.put_back.append(Tuned(key, now, before))
            elif now != before:
                self.run.remark(f"{key} was changed to {now} since; left as it is (before: {before})")
        for change in self.changes():
            saved = self._saved(change.path)
            if saved and (said := self.files.restore(change, saved)):
                self.run.remark(said)

    def changed(self) -> tuple[str, ...]:
        """What of the confirm's sysctls and files is no longer as it left them."""
        return (*self._changed_settings(), *self._changed_files())

    def _changed_settings(self) -> list[str]:
        said = []
        for key, value in self.run.plan.settings.items():
            now = self.ports.sysctls.read(key)
            if key in self.run.journal.settings and now != value:
                files = ", ".join(self.ports.sysctls.set_by(key))
                said.append(f"{key} is {now}, not {value}; {f'set by {files}' if files else 'no file sets it'}")
        return said

    def _changed_files(self) -> list[str]:
        said, written = [], {saved.path for saved in self.run.journal.files}
        for change in self.changes():
            kept = bytes_of(change.text)
            now_there = self.files.look(change.path, "").content if change.path in written else kept
            if now_there != kept:
                said.append(f"{change.path} is gone" if now_there is None else f"{change.path} was changed")
        return said
