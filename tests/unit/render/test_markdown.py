"""Text from outside inside Markdown."""

from conntrim.render.markdown import block, cell, code, prose


def test_a_comment_ends_no_code_span_and_no_block() -> None:
    """The fence is longer than any run of backticks in the text, and no line feed makes a line of its own."""
    assert code("-m comment --comment `a` -j ACCEPT") == "``-m comment --comment `a` -j ACCEPT``"
    assert code("`") == "`` ` ``"
    assert list(block("*filter\n# ```\n# <b>\x1b\nCOMMIT\n")) == [
        "````", "*filter", "# ```", r"# <b>\x1b", "COMMIT", "````",
    ]  # fmt: skip


def test_prose_makes_no_html_link_heading_or_cell() -> None:
    """HTML, images and links need a bracket; a heading needs the front of a line; a cell needs a bar."""
    assert prose("a <img src=x>\n# ready") == r"a \<img src=x>\n# ready"
    assert prose("![x](http://h/)") == r"!\[x\](http://h/)"
    assert prose("# all proved") == r"\# all proved"
    assert cell(code("a | b")) == r"`a \| b`"
