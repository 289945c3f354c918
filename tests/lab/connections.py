"""Connections of a service that live through a rollout: opened, used, and tried again by whoever speaks first."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost

PROMPT, PATIENT, OPENING = 1.5, 4.0, 30.0
"""Seconds in which a word arrives that nobody stops, in which one does that is sent again meanwhile, to open one."""
CLIENT, SERVER = "client", "server"
OTHER = {CLIENT: SERVER, SERVER: CLIENT}


@dataclass
class Connection:
    """Both ends of one, in our hands; `first` speaks first when it is tried, `name` tells its kind."""

    name: str
    service: str
    first: str
    ends: dict[str, socket.socket]
    heard: dict[str, int] = field(default_factory=lambda: {CLIENT: 0, SERVER: 0})

    def says(self, who: str) -> None:
        """One word to the other end; that it cannot be sent shows in its not arriving."""
        with suppress(OSError):
            self.ends[who].send(b"!")

    def talks(self, words: int = 1) -> None:
        """So many words both ways, each waited for; AssertionError."""
        for _ in range(words):
            for who in (CLIENT, SERVER):
                self.says(who)
                assert arriving([(self, who)], PATIENT), f"{self.name}: the {who}'s word did not arrive"

    def grows(self, size: int = 1 << 20) -> None:
        """Enough data both ways to leave any window of before behind."""
        for who in (CLIENT, SERVER) if self.ends[CLIENT].type == socket.SOCK_STREAM else ():
            for _ in range(size >> 15):
                self.ends[who].sendall(bytes(1 << 15))
                left = 1 << 15
                while left:
                    left -= len(self.ends[OTHER[who]].recv(left))

    def close(self) -> None:
        """Both ends."""
        for end in self.ends.values():
            end.close()


Said = tuple[Connection, str]


def arriving(said: Iterable[Said], limit: float) -> list[Said]:
    """Of what these ends of connections said, what the other ends hear within so many seconds."""
    end, waiting, found = time.monotonic() + limit, list(said), list[Said]()
    with selectors.DefaultSelector() as selector:
        for one, who in waiting:
            selector.register(one.ends[OTHER[who]], selectors.EVENT_READ, (one, who))
        while len(found) < len(waiting) and (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                with suppress(OSError):
                    one, who = key.data
                    one.ends[OTHER[who]].recv(99)  # an end of file is heard as well
                    found.append(key.data)
                selector.unregister(key.fileobj)
    return found


def fates(connections: Sequence[Connection]) -> list[str]:
    """What becomes of each when its `first` end speaks and the other then does.

    "": both are heard; "stalls": the first only now; "cut".
    """
    for one in connections:
        one.says(one.first)
    prompt = _heard([(one, one.first) for one in connections], PROMPT)
    for one in connections:
        one.says(OTHER[one.first])
    answered = _heard([(one, OTHER[one.first]) for one in connections], PROMPT)
    late = [one for one in connections if id(one) not in prompt]
    revived = prompt | _heard([(one, one.first) for one in late], PATIENT if late else 0)
    lives = {id(one) for one in connections} & answered & revived
    return ["cut" if id(one) not in lives else "" if id(one) in prompt else "stalls" for one in connections]


def _heard(said: Sequence[Said], limit: float) -> set[int]:
    return {id(one) for one, _ in arriving(said, limit)}


def closed(connections: Sequence[Connection]) -> list[bool]:
    """Whether the other end of each learns that its `first` end has closed."""
    for one in connections:
        one.ends[one.first].shutdown(socket.SHUT_WR)
    seen = _heard([(one, one.first) for one in connections], PROMPT)
    return [id(one) in seen for one in connections]


@dataclass
class Server:
    """Where a service is asked: its host and port, and who asks."""

    service: str
    host: LabHost
    client: LabHost
    address: str
    port: int
    datagrams: bool = False
    listening: socket.socket | None = None

    def listen(self, stack: ExitStack) -> None:
        """Begin to serve; until the stack is closed."""
        with entered(self.host.name):
            if self.datagrams or self.listening is not None:
                return
            self.listening = stack.enter_context(socket.create_server((self.address, self.port), backlog=64))

    def open(self, name: str, first: str) -> Connection:
        """A connection over which a word went both ways."""
        near, far = self._datagrams() if self.datagrams else self._stream()
        for end in (near, far):
            end.settimeout(PATIENT)
        made = Connection(f"{self.service}, {name}, {first} first", self.service, first, {CLIENT: near, SERVER: far})
        made.talks()
        return made

    def _stream(self) -> tuple[socket.socket, socket.socket]:
        with entered(self.client.name):
            near = socket.create_connection((self.address, self.port), OPENING)
        assert self.listening is not None
        self.listening.settimeout(OPENING)
        return near, self.listening.accept()[0]

    def _datagrams(self) -> tuple[socket.socket, socket.socket]:
        with entered(self.client.name):
            near = socket.socket(type=socket.SOCK_DGRAM)
            near.connect((self.address, self.port))
        with entered(self.host.name):
            far = socket.socket(type=socket.SOCK_DGRAM)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            far.bind((self.address, self.port))
            far.connect(near.getsockname())
        return near, far
