"""The devices of ingress and egress chains: nft 1.0.6 tells them in its text alone (K137)."""

from __future__ import annotations

import json
import re

ARGV = ("nft", "list", "chains")
"""What lists them as text."""

_TABLE = re.compile(r"^table (\S+) (\S+) \{")
_CHAIN = re.compile(r"^\s+chain (\S+) \{")
_HOOK = re.compile(r"^\s+type \S+ hook (?:ingress|egress) devices? (?:= )?(?P<names>\{[^}]*\}|\S+) priority ")
_NAME = re.compile(r"[^\s{},\"]+")


def lacks_devices(listing: str) -> bool:
    """Whether a listing has chains that hang at devices, and names none."""
    return ('"hook": "ingress"' in listing or '"hook": "egress"' in listing) and '"dev":' not in listing


def with_devices(listing: str, chains: str) -> str:
    """The listing, an object a line, with the devices that the text of `nft list chains` tells."""
    told = _told(chains)
    document = json.loads(listing)
    for item in document["nftables"]:
        chain = item.get("chain")
        if chain and (names := told.get((chain["family"], chain["table"], chain["name"]))):
            chain["dev"] = names
    return '{"nftables": [\n' + ",\n".join(map(json.dumps, document["nftables"])) + "\n]}\n"


def _told(text: str) -> dict[tuple[str, str, str], list[str]]:
    """Family, table and chain to devices."""
    found: dict[tuple[str, str, str], list[str]] = {}
    family = table = chain = ""
    for line in text.split("\n"):
        if head := _TABLE.match(line):
            family, table = head[1], head[2]
        elif named := _CHAIN.match(line):
            chain = named[1]
        elif hung := _HOOK.match(line):
            found[family, table, chain] = _NAME.findall(hung["names"])
    return found
