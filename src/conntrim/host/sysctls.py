"""Live sysctls, by way of /proc/sys."""

from __future__ import annotations

import errno

from conntrim.core.model.errors import HostError
from conntrim.host.netns import entered
from conntrim.host.settings import settings

ADVICE: dict[int, str] = {
    errno.EACCES: "read-only here: it is global and belongs to the initial network namespace (K25), or needs root",
    errno.EPERM: "read-only here: it is global and belongs to the initial network namespace (K25), or needs root",
    errno.EROFS: "/proc/sys is read-only here, as in a container: set it on the machine that hosts it",
    errno.EINVAL: "the kernel does not take this value",
}


class HostSysctls:
    """The sysctls of the namespace `netns`; None: ours."""

    def __init__(self, netns: str | None) -> None:
        self.netns = netns

    def read(self, key: str) -> int | None:
        """The live value, None where this kernel has no such key."""
        try:
            with entered(self.netns), open(_path(key), encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):
            return None

    def set_by(self, key: str) -> tuple[str, ...]:
        """The files that set it at boot, as `FILE:LINE = VALUE`, the last one read last."""
        return tuple(f"{s.source}:{s.line} = {s.value}" for s in settings([]) if s.key == key)

    def write(self, key: str, value: int) -> None:
        """Set it. HostError where the kernel refuses, saying why."""
        try:
            with entered(self.netns), open(_path(key), "w", encoding="ascii") as file:
                file.write(str(value))
        except OSError as error:
            advice = ADVICE.get(error.errno or 0, "")
            raise HostError(f"sysctl {key}={value}", error.strerror or str(error), advice=advice) from error


def _path(key: str) -> str:
    return f"/proc/sys/{key.replace('.', '/')}"
