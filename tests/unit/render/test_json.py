"""JSON that any reader takes and any terminal shows."""

import json

from conntrim.render.json import json_text

HOSTILE = "a\x1b[2J\x9b\x7f\u202e\n\udce9\U000e0041 ü"


def test_json_is_valid_prints_and_comes_back() -> None:
    """Only printing characters and line feeds between the fields; the value read back is the one that was written."""
    text = json_text({"comment": HOSTILE, "n": 1})
    assert text.replace("\n", "").isprintable()
    assert text.encode()
    assert json.loads(text) == {"comment": HOSTILE, "n": 1}
    assert "ü" in text


def test_json_without_surrogates_is_laid_out_alike() -> None:
    """A name that is no UTF-8 changes nothing else of the layout."""
    value: dict[str, object] = {"a": [1, 2.5, None, True, []], "b": {}}
    assert json_text(value | {"c": "\udce9"}).replace("udce9", "u00e9") == json_text(value | {"c": "é"}).replace(
        "é", "\\u00e9"
    )
