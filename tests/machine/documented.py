"""What the docs tell their readers to write: systemd units and the variables that they read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Unit:
    """A systemd unit of a page, as it stands there."""

    page: str
    text: str

    @property
    def name(self) -> str:
        """A name for its file, from the page and its description."""
        (description,) = re.findall(r"^Description=(.*)$", self.text, re.MULTILINE)
        return re.sub(r"\W+", "-", description.lower()) + ".service"

    def has(self, line: str) -> bool:
        """Whether a line stands in it."""
        return line in self.text.splitlines()


def documented_units() -> dict[str, Unit]:
    """All units of the docs by their names."""
    units = [
        Unit(str(page.relative_to(DOCS)), text)
        for page in sorted(DOCS.rglob("*.md"))
        for language, text in _FENCE.findall(page.read_text(encoding="utf-8"))
        if language == "ini" and "[Service]" in text
    ]
    return {unit.name: unit for unit in units}


def documented_block(page: str, language: str, beginning: str) -> str:
    """The one block of a page that is in a language and begins with some words."""
    text = (DOCS / page).read_text(encoding="utf-8")
    (found,) = (
        block for spoken, block in _FENCE.findall(text) if spoken == language and block.startswith(beginning)
    )
    return str(found)


def documented_variables() -> str:
    """The content of /etc/airflow/airflow.env."""
    return documented_block("how-to/run-the-components.md", "text", "ENVMAN_ROOT=")
