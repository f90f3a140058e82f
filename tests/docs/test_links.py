"""Every relative link and anchor in docs/ and README.md leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [PROJECT / "README.md", PROJECT / "SECURITY.md", *sorted((PROJECT / "docs").rglob("*.md"))]

_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+(?:\([^()\s]*\))?)\)")
_HEADING = re.compile(r"#{1,6} +(.+?) *#*")
_FENCE = re.compile(r"(`{3,}|~{3,})")


def prose(text: str) -> Iterator[str]:
    """The lines outside of fenced blocks."""
    inside = False
    for line in text.splitlines():
        if _FENCE.match(line.lstrip()):
            inside = not inside
        elif not inside:
            yield line


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    found: list[str] = []
    for line in prose(text):
        if match := _HEADING.fullmatch(line):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match[1]).replace("`", "")
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            found.append(slug if slug not in found else f"{slug}-{found.count(slug)}")
    return set(found)


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    text = page.read_text(encoding="utf-8")
    broken: list[str] = []
    for line in prose(text):
        for target in _LINK.findall(re.sub(r"`[^`]*`", "code", line)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists():
                broken.append(f"{target}: there is no such file")
            elif anchor and (file.suffix != ".md" or anchor not in anchors(file.read_text(encoding="utf-8"))):
                broken.append(f"{target}: there is no such heading")
    return broken


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(PROJECT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_every_page_is_on_the_map() -> None:
    index = PROJECT / "docs/index.md"
    linked = set(_LINK.findall(index.read_text(encoding="utf-8")))
    pages = {str(page.relative_to(index.parent)) for page in (PROJECT / "docs").rglob("*.md")} - {"index.md"}
    assert pages - {target.partition("#")[0] for target in linked} == set()


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A `heading`, and more\n\n## Twice\n\n## Twice\n", encoding="utf-8")
    page = tmp_path / "page.md"
    good = "[a](other.md) [b](other.md#a-heading-and-more) [c](other.md#twice-1) [d](#here) [e](https://x.example)"
    bad = "[f](missing.md) [g](other.md#nowhere) [h](#nowhere) ![i](missing.png) [`j`](missing.txt)"
    page.write_text(f"# Here\n\n{good}\n{bad}\n\n```\n[not a link](nowhere.md)\n```\n", encoding="utf-8")
    assert [problem.partition(":")[0] for problem in broken_links(page)] == [
        "missing.md",
        "other.md#nowhere",
        "#nowhere",
        "missing.png",
        "missing.txt",
    ]
