"""Markdown for comments of pull requests (GFM, as GitHub, GitLab and Gitea read it).

What strangers wrote is shown as code, where neither a mention nor a link, nor any other mark means anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from envman.errors import printable

_LONGEST = 300
_PLAIN = frozenset("-_.+!,:;=()/<>[]{}@#&~^%$'\"? *")
"""Besides letters and digits: what means nothing between backticks, in a cell of a table, too."""


def code(text: str) -> str:
    """A text as code, in a line; what would end the code, or the cell that it stands in, is HTML."""
    shown = " ".join(printable(text).replace("\t", " ").split())
    if not shown:
        return "–"
    if len(shown) > _LONGEST:
        shown = f"{shown[:_LONGEST]}…"
    if all(one.isalnum() or one in _PLAIN for one in shown):
        return f"`{shown}`"
    return f"<code>{''.join(_as_html(one) for one in shown)}</code>"


def _as_html(character: str) -> str:
    """A character that is no mark; behind an @ stands one without a width, so that nobody is called."""
    if character.isalnum() or character == " ":
        return character
    return f"&#{ord(character)};" + ("&#8203;" if character == "@" else "")


def codes(texts: Iterable[str]) -> str:
    """Texts as code, separated by commas."""
    return ", ".join(map(code, texts)) or "–"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> str:
    """A table; cells are Markdown already, `right` names the columns of numbers."""
    lines = [columns, ["--:" if column in right else "---" for column in columns], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
