"""The lab's gateway, by the name that the tests know it by."""

from conntrim.lab.gateway import LAN, NFT, RULES, SERVER, SERVER6, XT, Gateway, echo_server, gateway

__all__ = ["LAN", "NFT", "RULES", "SERVER", "SERVER6", "XT", "Gateway", "echo_server", "gateway"]
