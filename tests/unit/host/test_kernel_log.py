"""What the host's own readers do at their edges."""

from __future__ import annotations

from pathlib import Path

import pytest

from conntrim.core.model.errors import InputError
from conntrim.host.kernel_log import HostKernelLog


def test_a_named_log_is_read_whatever_its_encoding(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 do not stop the reader; the line behind them counts."""
    log = tmp_path / "messages"
    log.write_bytes(b"\xff\xfe\x00 nonsense\nApr 14 22:31:12 c kernel: ip_conntrack: table full, dropping packet.\n")
    extract = HostKernelLog().overflows(str(log))
    assert [line.line for line in extract.overflows] == [2]


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_log_that_cannot_be_read_is_the_operators_error(tmp_path: Path, name: str) -> None:
    """A missing file and a directory are one clear error, not a traceback."""
    with pytest.raises(InputError, match="--log"):
        HostKernelLog().overflows(str(tmp_path / name))
