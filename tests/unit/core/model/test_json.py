"""The door for JSON."""

from dataclasses import dataclass

import pytest

from conntrim.core.model.json import read_json


@dataclass(frozen=True, slots=True)
class Named:
    name: str


BAD = {
    "deep lists": b"[" * 200_000, "deep objects": b'{"name":' * 200_000,
    "deep text": '{"name":"\udce9","x":' + "[" * 200_000,
    "not JSON": b"hello", "half": b'{"name": "a', "no UTF-8": b'{"name": "\xff"}', "another type": b'{"name": 1}',
    "a long number": b'{"name": ' + b"1" * 5_000 + b"}", "nothing": b"", "only a surrogate": b'"\\ud800',
}  # fmt: skip


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_bad_json_is_a_value_error(data: bytes | str) -> None:
    """Whatever is wrong with it, depth included, one kind of error says so in a few words."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # its kind is the promise
        read_json(data, Named)
    assert 0 < len(str(raised.value)) < 200


@pytest.mark.parametrize("data", ['{"name": "caf\udce9"}', b'{"name": "caf\\udce9"}'])
def test_a_byte_that_was_no_utf8_is_read(data: bytes | str) -> None:
    """As a program prints it, and as a plan or journal holds it."""
    assert read_json(data, Named) == Named("caf\udce9")
