"""What a program of this host marks for a masquerade, and sends round lo to a service of this host."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from conntrim.host.netns import entered
from conntrim.lab.layouts.host import laid_out
from conntrim.lab.layouts.registry import drawn

MARK, PORT, PATIENCE = 0x40000, 22, 10.0
NOTRACK = f"""*raw
-A OUTPUT -o lo -p tcp -m tcp --dport {PORT} -j CT --notrack
-A OUTPUT -o lo -p tcp -m tcp --sport {PORT} ! --syn -j CT --notrack
COMMIT
"""


@pytest.mark.parametrize("untracked", [False, True], ids=["tracked", "untracked"])
def test_a_marked_connection_round_lo_is_served_under_one_address_or_the_other(untracked: bool) -> None:
    """tailscale masquerades what has its mark: on lo a service sees another address of the host's own. Untracked it
    sees the client's, and serves it all the same."""
    with laid_out(drawn("tailscale", 1)) as host:
        if untracked:
            host.run("iptables-nft-restore", "--noflush", text=NOTRACK)
        with entered(host.name):
            server = socket.create_server(("127.0.0.1", PORT))
            client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        with closing(server), closing(client):
            for each in (server, client):
                each.settimeout(PATIENCE)
            client.connect(("127.0.0.1", PORT))
            served, (address, _) = server.accept()
            with closing(served):
                served.sendall(b"served")
                assert client.recv(16) == b"served"
        assert untracked is (address == "127.0.0.1")
