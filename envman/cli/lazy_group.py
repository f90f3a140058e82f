"""A group of commands that are imported when one of them is run, completed or asked for its help."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from envman.cli.registry import CommandEntry


class _LoadedCommand(TyperCommand):
    """A command as typer makes it of a function."""

    def get_params(self, *arguments: Any) -> Any:
        """The options and arguments."""
        return _as_typed(super().get_params(*arguments), *arguments)

    def parse_args(self, context: Any, words: list[str]) -> list[str]:
        """Read the words of the command line; raises typer.BadParameter for an option with an empty value."""
        for word, following in pairwise([*words, "-"]):
            if word == "--" or context.resilient_parsing:
                break
            if word.startswith("-") and (following == "" or word.partition("=")[1:] == ("=", "")):
                message = f"an empty word stands behind '{word}': is a variable not set?"
                raise typer.BadParameter(message, context)
        return super().parse_args(context, words)


class _ListedCommand(TyperCommand):
    """A command of which only its line is known: enough for the group's --help and completion."""

    def __init__(self, entry: CommandEntry) -> None:
        super().__init__(entry.name, help=entry.line, rich_markup_mode=None)
        self._entry = entry

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """The context of the command itself, which is what is run or completed from then on."""
        alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        alone.command(self._entry.name, cls=_LoadedCommand)(self._entry.load())
        return get_command(alone).make_context(*arguments, **options)


class LazyGroup(TyperGroup):
    """A group whose subclasses name their commands as entries of the registry."""

    entries: ClassVar[Iterable[CommandEntry]] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {**{entry.name: _ListedCommand(entry) for entry in self.entries}, **self.commands}

    def get_params(self, *arguments: Any) -> Any:
        """The options."""
        return _as_typed(super().get_params(*arguments), *arguments)


def _as_typed(parameters: Iterable[Any], context: Any) -> Iterable[Any]:
    """The parameters; for a press of Tab they take values as they are typed, and check none.

    typer checks them by pydantic, whose import takes longer than all the rest of a completion.
    """
    if context.resilient_parsing:
        for parameter in parameters:
            parameter.process_value = lambda _context, value: value
    return parameters
