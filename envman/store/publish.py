"""What is published: the names of environments, their history and the table."""

from __future__ import annotations

import time
from pathlib import Path

from envman.errors import Problem, StoreError
from envman.files import switch_link, write_atomic
from envman.generation.history import Action, Switch, parse_history
from envman.store import layout
from envman.store.locks import locked


def current(root: str, environment: str) -> str | None:
    """The environment's current generation, None if it has none."""
    link = Path(layout.link_path(root, environment))
    return link.readlink().name if link.is_symlink() else None


def publish_generation(root: str, environment: str, generation: str, action: Action) -> bool:
    """Point an environment's name to a whole generation, by one rename; False if it does already.

    The history is written first: a name never points to a generation that the history does not know.
    """
    with locked(root, "store"):
        if current(root, environment) == generation:
            return False
        switches = [*read_history(root, environment), Switch(generation, time.time(), action)]
        path = Path(layout.history_path(root, environment))
        write_atomic(path, "".join(f"{switch.to_line()}\n" for switch in switches))
        switch_link(Path(layout.link_path(root, environment)), layout.link_target(generation))
        return True


def withdraw(root: str, environment: str) -> None:
    """Take away an environment's name and history; its generations stay until they are collected."""
    Path(layout.link_path(root, environment)).unlink(missing_ok=True)
    Path(layout.history_path(root, environment)).unlink(missing_ok=True)


def read_history(root: str, environment: str) -> tuple[Switch, ...]:
    """The environment's switches, oldest first; raises StoreError for a damaged history."""
    path = Path(layout.history_path(root, environment))
    try:
        return parse_history(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError) as error:
        remedy = "Restore the file, or remove it: then the environment has no history."
        raise StoreError(Problem(str(path), f"is not a history: {error}", remedy)) from None


def publish_table(root: str, text: str) -> bool:
    """Write the table whole; False if it says the same already."""
    path = Path(layout.table_path(root))
    try:
        if path.read_text(encoding="utf-8") == text:
            return False
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    with locked(root, "store"):
        write_atomic(path, text)
    return True


def published_environments(root: str) -> list[str]:
    """The names below the root that point to a generation, sorted."""
    folder = Path(root)
    if not folder.is_dir():
        return []
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if not entry.name.startswith(".")
        and entry.is_symlink()
        and entry.readlink().parent.name == layout.GENERATIONS
    )
