"""What strangers wrote stays text in the Markdown of a comment, whatever it holds."""

from __future__ import annotations

import re
from html import unescape

import pytest
from markdown_it import MarkdownIt

from envman.cli.markdown import code, markdown_table

HOSTILE = [
    "a|b",
    "`code` and ``more``",
    r"back\slash \| and \`",
    "<img src=x onerror=alert(1)>",
    "<!-- comment --> & &amp; </td></table>",
    "@everyone @org/team",
    "a|@everyone`",
    "![x](javascript:1) [y](https://evil.example) https://evil.example",
    "#1 !2 $3 %4 ~5 **bold** _it_ ~~no~~",
    "line\nbreak\r\n| --- |",
    "\u202eturned\x1b[31m",
    "",
]


def cells(text: str) -> list[str]:
    """The cells of the one row of a table with this cell between two others, as HTML."""
    table = markdown_table(("A", "B", "C"), [("first", code(text), "last")])
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(table)
    assert html.count("<tr>") == 2
    return re.findall("<td>(.*?)</td>", html, re.DOTALL)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_one_cell_of_code(text: str) -> None:
    first, cell, last = cells(text)
    assert (first, last) == ("first", "last")
    if not text:
        return
    inner = re.fullmatch("<code>([^<>]*)</code>", cell)  # no element of the text's own
    assert inner is not None, cell
    shown = unescape(inner[1]).replace("\u200b", "")
    wanted = " ".join(
        "".join(one if one.isprintable() else "\ufffd" for one in text.replace("\r", "")).split()
    )
    assert shown.replace("\ufffd", " ").split() == wanted.replace("\ufffd", " ").split()


def test_nobody_is_mentioned() -> None:
    """GitHub and GitLab look for mentions outside of code; and behind the @ stands no name at once."""
    assert code("a|@everyone") == "<code>a&#124;&#64;&#8203;everyone</code>"
    assert code("@everyone") == "`@everyone`"


def test_a_text_without_end_is_cut() -> None:
    assert len(code("x" * 10_000)) < 400
