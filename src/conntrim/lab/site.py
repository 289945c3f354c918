"""The source document's site on real programs: a client (ab), a web host (nginx) and its cache (memcached)."""

from __future__ import annotations

import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conntrim.core.model.errors import HostError
from conntrim.host import programs
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, bridged

WEB, CACHE, CLIENT = "192.168.0.18", "192.168.0.17", "192.168.0.100"
"""The web and the cache host have the document's own addresses."""

DATABASE, LATER = 3306, 12_000
"""Two ports of the web host that its filter closes: the database, and an application started later, above 10240."""

PATIENCE = 8
"""Seconds that one load may take: a stopped site answers its errors slowly."""

CONCURRENCY = 10
"""Connections that ab keeps open at a time."""

PAGE = b"<html>live</html>"

# In a user namespace of one user there is no other to become: both daemons stay who they are.
NGINX = """
user root; daemon off; master_process off; pid {place}/nginx.pid; error_log {place}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  log_format status '$server_port $status'; access_log {place}/access.log status; keepalive_timeout 0;
  client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place};
  uwsgi_temp_path {place}; scgi_temp_path {place};
  server {{
    listen {web}:80 backlog=4096;
    location / {{
      set $memcached_key $uri; memcached_pass {cache}:11211; default_type text/html;
      memcached_connect_timeout 1s; memcached_read_timeout 1s; memcached_next_upstream off;
    }}
  }}
  server {{ listen {web}:{database}; listen {web}:{later}; access_log off; return 200 "open"; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load: requests asked for, those not answered with the page, and pages a second."""

    requests: int
    failed: int
    requests_per_second: float


@dataclass(frozen=True, slots=True)
class Site:
    """The three hosts, up and serving, and others on the same wire."""

    client: LabHost
    web: LabHost
    cache: LabHost
    log: Path
    others: dict[str, LabHost]

    def load(self, requests: int) -> Load:
        """Ask the site for its page with ab, without keep-alive, for `PATIENCE` seconds at most.

        The web server's log tells how many were answered: ab prints no report where it gives up (after two seconds
        without any answer), and counts an error page twice, as non-2xx and as of the wrong length.
        """
        command = f"ab -t {PATIENCE} -n {requests} -c {CONCURRENCY} -s 2 -r http://{WEB}/live".split()
        start, before = time.monotonic(), self.answered()
        programs.attempt(command, netns=self.client.name)
        answered, seconds = self.answered() - before, time.monotonic() - start
        return Load(requests, requests - min(answered, requests), answered / seconds)

    def answered(self) -> int:
        """How many requests the web server has answered with the page so far."""
        return self.log.read_text().count("80 200\n") if self.log.exists() else 0

    def unsolicited(self, source_port: int, port: int) -> bool:
        """Whether the client, connecting from that source port, reaches a port of the web host within a second."""
        with entered(self.client.name), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Closing sends RST: the source port is free again at once.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            probe.settimeout(1)
            probe.bind((CLIENT, source_port))
            return probe.connect_ex((WEB, port)) == 0


@contextmanager
def site(*others: str) -> Iterator[Site]:
    """The site, serving, and other hosts (`name=last octet`) beside it; everything ends with the context."""
    with (
        tempfile.TemporaryDirectory(prefix="conntrim-lab-") as place,
        bridged([f"client={CLIENT.rpartition('.')[2]}", "web=18", "cache=17", *others]) as hosts,
    ):
        made = Site(hosts["client"], hosts["web"], hosts["cache"], Path(place, "access.log"), hosts)
        # Every page leaves the web host with a port in TIME_WAIT. When half of its ports are (the half that connect(2)
        # tries first), each further connection searches all of them, and a minute of load slows down tenfold.
        made.web.sysctl("net.ipv4.tcp_tw_reuse", 1)
        made.cache.start("memcached", "-l", CACHE, "-p", "11211", "-U", "0", "-u", "root", "-m", "16", "-c", "4096")
        store_page(made.cache)
        config = Path(place, "nginx.conf")
        config.write_text(NGINX.format(place=place, web=WEB, cache=CACHE, database=DATABASE, later=LATER))
        made.web.start("nginx", "-c", str(config), "-e", f"{place}/error.log")
        connect(made.web, WEB, 80).close()
        yield made


def store_page(cache: LabHost) -> None:
    """Put the page into memcached, as soon as it answers."""
    with connect(cache, CACHE, 11211) as line:
        line.sendall(b"set /live 0 0 %d\r\n%s\r\n" % (len(PAGE), PAGE))
        if line.recv(64) != b"STORED\r\n":
            raise HostError("memcached", "did not store the page of the lab's site")


def connect(host: LabHost, address: str, port: int, seconds: float = 10) -> socket.socket:
    """Connect from a host to a daemon that may still be starting; HostError after `seconds`."""
    deadline = time.monotonic() + seconds
    with entered(host.name):
        while True:
            try:
                return socket.create_connection((address, port), timeout=1)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise HostError(f"connect {address}:{port}", f"no answer within {seconds:g} s: {error}") from error
                time.sleep(0.02)
