"""Made-up hosts whose rules untrack: what people write, right and wrong, in both dialects and families.

Unlike `lab/generate.py`, which is after odd corners of single rules, these rule sets mostly work while everything is
tracked: services, state accepts, refusals, NAT, marks, helpers, SYNPROXY; untracked on both sides, on one, on the wrong
one, by interface, peer, set, flags, in a chain of their own. The same seed makes the same rule set.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from conntrim.lab import generate
from conntrim.lab.held.rules_nft import nft
from conntrim.lab.held.rules_xt import xt
from conntrim.lab.held.talks import Dialogue, unended
from conntrim.lab.script import Script


def ruleset(random: Random) -> Script:
    """One host; now and then one of the odd rule sets of `lab truth`."""
    if random.random() < ODD:
        return generate.ruleset(random)
    script = random.choice((xt, nft))(random)
    return mutated(random, script) if random.random() < MUTATED else script


ODD, MUTATED = 0.08, 0.15
"""The parts of rule sets that are odd ones, and that had a rule broken afterwards."""


def strict(random: Random, script: Script) -> bool:
    """Whether `nf_conntrack_tcp_loose` is 0: where SYNPROXY is in use nearly always, else seldom."""
    proxied = any("synproxy" in str(line).lower() for s in script.sheets for b in s.blocks for line in b.lines)
    return random.random() < (0.8 if proxied else 0.1)


def mutated(random: Random, script: Script) -> Script:
    """The rule set with one thing less."""
    return random.choice(list(script.smaller()))


COUNTING = ("connlimit", "ct count")
"""Rules that count connections; connlimit drops the last ACK of one by chance (K170)."""


def fitting(script: Script, dialogues: Sequence[Dialogue]) -> list[Dialogue]:
    """The dialogues as they are played with these rules."""
    counting = any(word in batch.text for batch in script.batches() for word in COUNTING)
    return [unended(each) if counting else each for each in dialogues]
