"""What envman says of its commands without importing them is what they say of themselves."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import envman.cli
from envman.cli.registry import ADOPT_COMMANDS, COMMANDS, IMAGE_COMMANDS, CommandEntry

EVERY = [*COMMANDS, *ADOPT_COMMANDS, *IMAGE_COMMANDS]


@pytest.mark.parametrize("entry", EVERY, ids=[entry.words for entry in EVERY])
def test_the_line_of_a_command_is_the_first_one_of_its_text(entry: CommandEntry) -> None:
    paragraph = (inspect.getdoc(entry.load()) or "").partition("\n\n")[0]
    assert paragraph == entry.line


def test_every_command_that_is_written_is_in_the_registry() -> None:
    written = {path.stem for path in Path(envman.cli.__file__).parent.glob("*_command.py")}
    assert {entry.function for entry in EVERY} == written
