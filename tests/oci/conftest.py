"""Small programs on PATH that stand in for the tools: each notes its words, and says what it is told to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PROGRAM = """\
#!/bin/sh
printf '%s\\n' "$0 $*" >> {log}
case "$*" in
{cases}
esac
"""


class Tools:
    """A folder of programs, the only one on PATH besides the system's shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"

    def add(self, name: str, **answers: str) -> None:
        """A program; an answer is what it runs where its words begin with the name."""
        cases = "\n".join(f"  {first}*) {script};;" for first, script in answers.items())
        path = self.folder / name
        path.write_text(PROGRAM.format(log=json.dumps(str(self.log)), cases=cases), encoding="utf-8")
        path.chmod(0o755)

    def calls(self) -> list[str]:
        """The command lines so far, without the folder."""
        if not self.log.exists():
            return []
        return [line.removeprefix(f"{self.folder}/") for line in self.log.read_text("utf-8").splitlines()]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return Tools(folder)
