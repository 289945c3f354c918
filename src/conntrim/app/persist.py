"""Making confirmed rules last: which files, with what in them; each tried in an empty namespace before it counts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from conntrim.app.ports.persistence import Persistence, Rehearsal
from conntrim.core.model.ct_timeout import TimeoutPolicy
from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import POLICIES, FileChange, Plan
from conntrim.core.parse.ct_timeout import policies_of
from conntrim.core.rollout.claim import Claim
from conntrim.core.rollout.firewalld import (
    NEEDED,
    START,
    UNIT,
    all_in_firewalld,
    beside_firewalld,
    firewalld_alone,
    firewalld_files,
)
from conntrim.core.rollout.persist import (
    NoPlaceError,
    Ours,
    Placed,
    chains_xt,
    new_table,
    ours_xt,
    skeleton_xt,
    with_ours_xt,
)
from conntrim.core.rollout.persist_nft import chains_nft, is_own, ours_nft, own_file, own_table, with_ours_nft
from conntrim.core.rollout.stores import OWN_FILES, Store, UnitLoad, family_of, unit_files

RAW = "raw"
"""The one table of iptables that a service which fills single tables leaves alone: a unit of ours loads it whole."""
UNSAVED = (
    "a boot loads none of a file whose rules name time-out policies that are not there: save the running rules in none"
)
"""Ours are told by hand or loaded by a unit, and an iptables-save would put them into the operator's file."""


@dataclass(slots=True)
class Lasting:
    """What a confirm writes so that its rules last, who loads it, and what it leaves to the operator."""

    files: list[FileChange] = field(default_factory=list)
    loads: list[UnitLoad] = field(default_factory=list)
    brought_back: list[str] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)


def lasting(host: Persistence, plan: Plan, root: str, claim: Claim) -> Lasting:
    """Look at the kernel's listing and at the files, and decide. Writes nothing."""
    made = Lasting()
    try:
        stores = host.stores(root)
    except HostError as error:
        return Lasting(by_hand=[str(error)])
    for program in dict.fromkeys(batch.program for batch in plan.confirm):
        persisted = _Persisting(host, plan, root, program, host.listing(program), claim)
        try:
            persisted.into(made, stores)
        except (NoPlaceError, HostError) as error:
            made.by_hand += [f"{program}: {error}", *persisted.lines()]
    made.files += unit_files(made.loads, host.paths())
    return made


@dataclass(frozen=True, slots=True)
class _Persisting:
    """One program's rules on their way into files."""

    host: Persistence
    plan: Plan
    root: str
    program: str
    live: str
    claim: Claim

    def into(self, made: Lasting, stores: Sequence[Store]) -> None:
        """NoPlaceError where no file is known, or where it would not do what the kernel does now."""
        store = self._store(stores)
        if self.program == "nft":
            self._nft(made, store)
        else:
            self._xt(made, store)

    def _store(self, stores: Sequence[Store]) -> Store | None:
        family = family_of(self.program)
        found = next((s for s in stores if s.kind.family == family), None)
        if found and family != "nft" and (loader := self.host.loaded_by(family)) != self.program:
            raise NoPlaceError(f"{found.kind.path} is loaded by {loader}, the rules belong to {self.program}")
        return found

    def _xt(self, made: Lasting, store: Store | None) -> None:
        ours, policies = ours_xt(self.program, self.live, self.claim), tuple(self._policies())
        if store is None:
            raise NoPlaceError("no service is known here that loads iptables rules at boot")
        if not store.kind.whole and any(o.chains and o.table != RAW for o in ours):
            raise NoPlaceError(f"{store.kind.service} fills the filter table, where limits have chains of their own")
        apart = [o for o in ours if o.table == RAW and o.chains] if policies or not store.kind.whole else []
        if policies and POLICIES not in self.host.paths():
            raise NoPlaceError(f"{UNSAVED}; with nfct here (Debian's package nfct) a unit of ours makes both")
        if filed := [o for o in ours if not (policies and o in apart)]:
            self._xt_file(made, store, filed)
        if apart:
            self._xt_unit(made, apart, policies)

    def _xt_file(self, made: Lasting, store: Store, ours: Sequence[Ours]) -> None:
        text, partly = with_ours_xt(store.text, ours, whole=store.kind.whole), not store.kind.whole
        scratch = self._rehearsed(text, skeleton_xt(self.live) if partly else "")
        self._same(scratch, self._running({o.table for o in ours}), partly=partly)
        made.files.append(FileChange(store.kind.path, text))
        made.brought_back.append(f"{store.kind.path}, loaded by {store.kind.service}")

    def _xt_unit(self, made: Lasting, own: Sequence[Ours], policies: tuple[TimeoutPolicy, ...]) -> None:
        """The raw table, which has no rules but ours: `--noflush` puts them behind those that are there."""
        by_hand = f"; {UNSAVED}" if policies else ""
        if not self.host.takes_units(self.root):
            raise NoPlaceError(f"the raw table is a unit's to load, and no systemd runs here{by_hand}")
        live = self._running({RAW})
        known = {text for o in own for text in (*o.own, *(p.text for p in o.placed))}
        if policies and (others := [rule for rules in live.values() for rule in rules if rule not in known]):
            raise NoPlaceError(f"the raw table has rules besides, the first: {others[0]}{by_hand}")
        text = "".join(map(new_table, own))
        self._same(self._rehearsed(text, "", policies), live, partly=True)
        undo = next(b.text for b in self.plan.rollback_confirmed if b.program == self.program and b.text[:4] == "*raw")
        made.loads.append(UnitLoad(self.program, text, undo, policies))
        named = f", and the time-out policies that it names; {UNSAVED}" if policies else ""
        made.brought_back.append(f"{made.loads[-1].path}, loaded by conntrim.service{named}")

    def _running(self, tables: Collection[str]) -> dict[str, tuple[str, ...]]:
        return {name: rules for name, rules in chains_xt(self.live).items() if name.split()[0] in tables}

    def _nft(self, made: Lasting, store: Store | None) -> None:
        ours, own = ours_nft(self.live, self.claim), own_table(self.live)
        if all_in_firewalld(ours):
            self._firewalld(made)
            return
        if store is not None:
            text, path, service = with_ours_nft(store.text, ours, own), store.kind.path, store.kind.service
            self._same(self._rehearsed(text, ""), chains_nft(self.live), partly=False)
            made.files.append(FileChange(path, text))
        else:
            if ours:
                raise NoPlaceError(f"no file is known here from which {', '.join(ours)} is loaded at boot")
            if not self.host.takes_units(self.root):
                raise NoPlaceError("nftables.service is not enabled, and no systemd runs here")
            load = UnitLoad("nft", own_file(self.live))
            path, service = load.path, "conntrim.service"
            self._same(self._rehearsed(load.text, ""), chains_nft(self.live), partly=False)
            made.loads.append(load)
        made.brought_back.append(f"{path}, loaded by {service}")

    def _firewalld(self, made: Lasting) -> None:
        found = self.host.paths()
        if lacking := [name for name in NEEDED if name not in found]:
            raise NoPlaceError(f"firewalld's table is in no file, and {', '.join(lacking)} is not here to fill it")
        if not self.host.takes_units(self.root):
            raise NoPlaceError("firewalld's table is in no file, and no systemd runs here")
        ours = ours_nft(self.live, self.claim)
        text = beside_firewalld(self.live, ours)
        self._same(self._rehearsed(text, firewalld_alone(self.live, ours)), chains_nft(self.live), partly=False)
        made.files += firewalld_files(text, ours, found)
        reload = f"after each reload of firewalld too; before the next boot, start it: {START}"
        made.brought_back.append(f"{OWN_FILES['nft']}, loaded by {UNIT}, {reload}")

    def _rehearsed(self, text: str, over: str, policies: tuple[TimeoutPolicy, ...] = ()) -> dict[str, tuple[str, ...]]:
        """The chains of an empty namespace after the text was loaded there."""
        with self.host.rehearsal() as empty:
            if policies:
                empty.load(POLICIES, "".join(f"{each}\n" for each in policies), onto=True)
            if over:
                empty.load(self.program, over, onto=False)
            empty.load(self.program, text, onto=bool(over))
            return self._chains(empty)

    def _chains(self, empty: Rehearsal) -> dict[str, tuple[str, ...]]:
        listing = empty.listing(self.program)
        return chains_nft(listing) if self.program == "nft" else chains_xt(listing)

    def _same(self, scratch: dict[str, tuple[str, ...]], live: dict[str, tuple[str, ...]], *, partly: bool) -> None:
        """NoPlaceError where a chain with rules of ours would not be what it is in the kernel now.

        `partly`: rules that the file does not know come from elsewhere; the order of those that it knows must agree.
        """
        for name in filter(live.__contains__, self._touched(live)):
            there = scratch.get(name, ())
            here = tuple(rule for rule in live[name] if not partly or rule in there)
            if there != here and not (partly and not there):
                at = next((n for n, pair in enumerate(zip(there, here, strict=False)) if pair[0] != pair[1]), -1)
                why = f"{there[at]!r}, not {here[at]!r}" if at >= 0 else f"{len(there)} rules, not {len(here)}"
                raise NoPlaceError(f"loaded by itself it would differ from the kernel in {name}: {why}")

    def _touched(self, live: dict[str, tuple[str, ...]]) -> list[str]:
        if self.program == "nft":
            return [*ours_nft(self.live, self.claim), *filter(is_own, live)]
        ours = ours_xt(self.program, self.live, self.claim)
        return [f"{o.table} {chain}" for o in ours for chain in (*o.chains, *dict.fromkeys(p.chain for p in o.placed))]

    def _policies(self) -> Iterator[TimeoutPolicy]:
        """What makes the time-out policies that rules of this program name."""
        named = {word for o in ours_xt(self.program, self.live, self.claim) for line in o.own for word in line.split()}
        made = "".join(batch.text for batch in self.plan.trial if batch.program == POLICIES)
        yield from (each for each in policies_of(made) if each.name in named)

    def lines(self) -> Iterator[str]:
        """Our rules, for the operator to put where they belong."""
        if self.program == "nft":
            for name, placed in ours_nft(self.live, self.claim).items():
                yield from (_line(name, p) for p in placed)
            yield f"to be loaded after them: {' '.join(own_table(self.live).split())}"
            return
        yield from map(str, self._policies())
        for ours in ours_xt(self.program, self.live, self.claim):
            yield from (_line(f"{ours.table} {p.chain}", p) for p in ours.placed)
            yield from (
                f"table {ours.table}: {text}" for text in (*(f"-N {chain}" for chain in ours.chains), *ours.own)
            )


def _line(chain: str, placed: Placed) -> str:
    return f"{chain}, behind the first {placed.behind} rules: {placed.text}"
