"""nft in this process: the library behind the program, which loads a rule set in a twentieth of the program's time.

libnftables(3). One context belongs to the network namespace in which it was made, whichever it is used from.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
from typing import Any

from conntrim.core.model.errors import HostError

JSON_OUTPUT = 1 << 4
"""`NFT_CTX_OUTPUT_JSON` of nftables/libnftables.h."""


class NftLibrary:
    """One context of libnftables."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("nftables")
        if name is None:
            raise HostError("libnftables", "this library is not installed", advice="Debian's package nftables has it")
        self._library = _declared(ctypes.CDLL(name))
        self._context = self._library.nft_ctx_new(0)
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def close(self) -> None:
        """Give the context back."""
        self._library.nft_ctx_free(self._context)
        self._context = None

    def run(self, text: str) -> str:
        """Carry out commands as `nft -f -` does; their output. HostError with nft's own message."""
        if self._context is None:
            raise HostError("nft", "this context is closed")
        failed = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
        output: bytes = self._library.nft_ctx_get_output_buffer(self._context) or b""
        errors: bytes = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if failed:
            raise HostError("nft", errors.decode(errors="replace").strip() or "refused without a word")
        return output.decode(errors="replace")

    def listing(self) -> list[dict[str, dict[str, Any]]]:
        """The objects of `nft -j list ruleset`."""
        self._library.nft_ctx_output_set_flags(self._context, JSON_OUTPUT)
        try:
            objects: list[dict[str, dict[str, Any]]] = json.loads(self.run("list ruleset"))["nftables"]
        finally:
            self._library.nft_ctx_output_set_flags(self._context, 0)
        return objects


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """The library with its functions' types: pointers do not fit into ctypes' usual int."""
    context, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("nft_ctx_new", context, [ctypes.c_uint32]),
        ("nft_ctx_free", None, [context]),
        ("nft_ctx_buffer_output", ctypes.c_int, [context]),
        ("nft_ctx_buffer_error", ctypes.c_int, [context]),
        ("nft_ctx_get_output_buffer", text, [context]),
        ("nft_ctx_get_error_buffer", text, [context]),
        ("nft_ctx_output_set_flags", None, [context, ctypes.c_uint]),
        ("nft_run_cmd_from_buffer", ctypes.c_int, [context, text]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
