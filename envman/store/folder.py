"""The root folder as an object: its generations, its environments' names with their histories, its table."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from envman.errors import EnvmanError, Problem, ResolveError, StoreError, UsageError
from envman.names import nearest
from envman.store import layout
from envman.store.holds import Hold, parse_hold
from envman.store.locks import locked, try_locked
from envman.store.manifest import Manifest, parse_manifest
from envman.store.root import current_generation
from envman.store.switches import Action, Switch, parse_history, settled
from envman.system.actor import Actor
from envman.system.files import remove_tree, switch_link, sync_folder, write_atomic
from envman.system.waiting import FOR_MOMENTS, FOR_WORK

PULL = "pull"
"""The lock of the one pull that works below a root folder; no generation has such a name."""

STORE = "store"
"""The lock of the store as a whole, which is held for moments; a generation's is held while it is built."""

_HOUR = 3600
"""Seconds. The number of hours since the epoch has six digits until 2084, and a release's names no more."""


@dataclass(frozen=True)
class Store:
    """What is below a root folder, which need not be there yet; raises OSError where it can't be used."""

    root: str

    def folder(self, generation: str) -> Path:
        """A generation's folder."""
        return Path(layout.generation_path(self.root, generation))

    def locked(
        self, name: str = STORE, on_wait: Callable[[], None] | None = None
    ) -> AbstractContextManager[int]:
        """Hold the lock of a generation, or of the store as a whole; see `locks.locked`."""
        self.check_folders()
        self._make()
        patience = FOR_MOMENTS if name == STORE else FOR_WORK
        return locked(layout.lock_path(self.root, name), on_wait, patience)

    def _make(self) -> None:
        """The root's folder; a new one may lie in a project, where git would add its thousands of files."""
        root = Path(self.root)
        if not root.exists():
            root.mkdir(parents=True, exist_ok=True)
            write_atomic(root / layout.GIT_IGNORE, "*\n")

    def check_folders(self) -> None:
        """Raises StoreError where a folder of the store is a link: what it leads to is somebody else's."""
        for name in (layout.GENERATIONS, layout.OVERLAYS, layout.STATE, layout.LOCKS, layout.PULLED):
            folder = Path(self.root, name)
            if folder.is_symlink():
                remedy = "Find out who made it, and remove it: then build again."
                raise StoreError(Problem(str(folder), "is a link, and has to be a folder", remedy))

    # generations

    def generations(self) -> list[str]:
        """The identifiers of all generations, whole or not, sorted; raises StoreError."""
        self.check_folders()
        folder = Path(self.root) / layout.GENERATIONS
        if not folder.is_dir():
            return []
        return sorted(
            entry.name for entry in folder.iterdir() if not entry.name.startswith(layout.TRASH_PREFIX)
        )

    @contextlib.contextmanager
    def being_made(self, generation: str) -> Iterator[Path]:
        """A generation's folder, not there yet, while it is made; a failure leaves nothing of it behind.

        The caller holds the generation's lock: what a killed command has left is removed. Raises OSError.
        """
        with self.being_made_in(self.folder(generation)) as folder:
            yield folder

    @staticmethod
    @contextlib.contextmanager
    def being_made_in(folder: Path) -> Iterator[Path]:
        """The same for the folder of a dev overlay."""
        remove_tree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield folder
        except BaseException as error:
            with contextlib.suppress(OSError):
                remove_tree(folder)
            if isinstance(error, EnvmanError):
                error.__cause__ = None
            raise

    def is_whole(self, generation: str) -> bool:
        """Whether the generation's manifest stands; one that is damaged is told of by who reads it."""
        try:
            return self.manifest(generation) is not None
        except StoreError:
            return True

    def manifest(self, generation: str) -> Manifest | None:
        """The generation's manifest, None if it is not whole; raises StoreError for a damaged one.

        One that names another generation is none: a package may bring a file of that name, and can't know
        the generation, whose name is a digest of the package's, too.
        """
        path = Path(layout.manifest_path(self.root, generation))
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        found = parse_manifest(text, str(path))
        return found if found.generation == generation else None

    def name_for(self, identifier: str, rebuild: bool) -> str:
        """The folder's name for an identifier: itself, or with a number where it was rebuilt on demand.

        That is the next number. Where nothing of the identifier is here it is that of the hours since the
        epoch: other roots may have some, and this one can't know which numbers.
        """
        start = len(identifier) + 1
        numbers = [
            int(name[start:] or 1)
            for name in self.generations()
            if name == identifier or (name.startswith(f"{identifier}-") and name[start:].isdigit())
        ]
        if rebuild:
            return f"{identifier}-{max(numbers) + 1 if numbers else int(time.time() // _HOUR)}"
        number = max(numbers, default=1)
        return identifier if number == 1 else f"{identifier}-{number}"

    def discard(self, generation: str) -> None:
        """Take a generation out of its place, by one rename; `remove_leftovers` deletes its files, and
        `unsign` its signatures.
        """
        folder = self.folder(generation)
        folder.rename(folder.with_name(f"{layout.TRASH_PREFIX}{generation}-{os.getpid()}-{time.time_ns()}"))
        sync_folder(folder.parent)  # before any of its files goes

    def remove_leftovers(self) -> list[str]:
        """Remove what killed builds and collections left, unless somebody works there; returns the names.

        Raises StoreError.
        """
        self.check_folders()
        folder = Path(self.root) / layout.GENERATIONS
        removed: list[str] = []
        for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
            if entry.name.startswith(layout.TRASH_PREFIX):
                with contextlib.suppress(OSError):  # somebody else may be removing it at this moment
                    remove_tree(entry)
                removed.append(entry.name)
            elif not self.is_whole(entry.name):
                with try_locked(Path(layout.lock_path(self.root, entry.name))) as free:
                    if free and not self.is_whole(entry.name):
                        remove_tree(entry)
                        removed.append(entry.name)
        if self._strays():
            with self.locked():  # somebody may be writing one
                for stray in self._strays():
                    stray.unlink(missing_ok=True)
        return removed

    def overlays(self) -> dict[str, list[str]]:
        """The dev overlays by the generation that they lie over, the newest first; raises OSError."""
        folder = Path(self.root) / layout.OVERLAYS
        found: dict[str, list[str]] = {}
        if folder.is_dir() and not folder.is_symlink():
            for entry in sorted(folder.iterdir(), key=lambda one: one.lstat().st_mtime, reverse=True):
                found.setdefault(entry.name.rpartition("-")[0], []).append(entry.name)
        return found

    def is_whole_overlay(self, overlay: str) -> bool:
        """Whether a dev overlay was built to its end."""
        return Path(layout.overlay_path(self.root, overlay), layout.OVERLAY_MARK).is_file()

    def remove_overlay(self, overlay: str) -> bool:
        """Remove a dev overlay, unless it is being built; whether it is gone. Raises OSError."""
        with try_locked(Path(layout.lock_path(self.root, f"dev-{overlay}"))) as free:
            if free:
                remove_tree(Path(layout.overlay_path(self.root, overlay)))
            return free

    def remove_fetched(self) -> None:
        """Remove what a killed pull has fetched, unless another one works; raises StoreError, OSError."""
        self.check_folders()
        folder = Path(self.root, layout.PULLED)
        if folder.is_dir():
            with try_locked(Path(layout.lock_path(self.root, PULL))) as free:
                if free:
                    remove_tree(folder)

    def _strays(self) -> list[Path]:
        """New files and links that have not taken their places."""
        return [*Path(self.root).glob(".*.new"), *Path(self.root, layout.STATE).glob(".*.new")]

    # names of environments

    def environments(self) -> list[str]:
        """The names below the root that point to a generation, sorted."""
        folder = Path(self.root)
        if not folder.is_dir():
            return []
        return sorted(
            entry.name
            for entry in folder.iterdir()
            if not entry.name.startswith(".")
            and entry.is_symlink()
            and entry.readlink().parent.name == layout.GENERATIONS
        )

    def current(self, environment: str) -> str | None:
        """The environment's current generation, None if it has none."""
        link = Path(layout.link_path(self.root, environment))
        return link.readlink().name if link.is_symlink() else None

    def current_manifest(self, environment: str) -> Manifest:
        """The manifest of the environment's current generation, under this environment's name.

        Raises ResolveError where it isn't built, StoreError for a damaged manifest.
        """
        generation = current_generation(self.root, environment)
        manifest = self.manifest(generation)
        if manifest is None:
            what = f"its generation {generation} is not whole"
            remedy = f"Run: envman build {environment}"
            raise ResolveError(Problem(f"environment '{environment}'", what, remedy))
        return replace(manifest, environment=environment)

    def history(self, environment: str) -> tuple[Switch, ...]:
        """The environment's switches, those that took place, oldest first; raises StoreError."""
        path = Path(layout.history_path(self.root, environment))
        current = self.current(environment)  # before the history, which is written first
        try:
            return settled(parse_history(path.read_text(encoding="utf-8")), current)
        except FileNotFoundError:
            return ()
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            remedy = "Restore the file, or remove it: then the environment has no history."
            raise StoreError(Problem(str(path), f"is not a history: {error}", remedy)) from None

    def publish(self, environment: str, generation: str, action: Action, by: Actor) -> bool:
        """Point an environment's name to a whole generation, by one rename; False if it does already.

        The history is written first: a name never points to a generation that the history does not know. A
        switch that stands there and was not made is left out when the history is read. Raises StoreError
        where a hold keeps the environment from being built or pulled.
        """
        with self.locked():
            if self.current(environment) == generation:
                return False
            if action is not Action.ROLLBACK and (hold := self.hold(environment)):
                remedy = f"When the reason is gone: envman unhold {environment}"
                raise StoreError(Problem(f"environment '{environment}'", f"is {hold.describe()}", remedy))
            switches = [*self.history(environment), Switch(generation, time.time(), action, by)]
            path = Path(layout.history_path(self.root, environment))
            write_atomic(path, "".join(f"{switch.to_line()}\n" for switch in switches))
            switch_link(Path(layout.link_path(self.root, environment)), layout.link_target(generation))
            return True

    def hold(self, environment: str) -> Hold | None:
        """The environment's hold, None where it has none; raises StoreError for a damaged one."""
        path = Path(layout.hold_path(self.root, environment))
        try:
            return parse_hold(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            remedy = f"Find out who wrote it, and remove it: envman unhold {environment}"
            raise StoreError(Problem(str(path), f"is not a hold: {error}", remedy)) from None

    def held(self, environment: str) -> tuple[Hold, Manifest] | None:
        """The hold that keeps an environment in its current generation, and that one's manifest; None where
        nothing does. Raises StoreError.
        """
        generation, hold = self.current(environment), self.hold(environment)
        manifest = self.manifest(generation) if generation and hold else None
        return (hold, manifest) if hold and manifest else None

    def put_hold(self, environment: str, hold: Hold) -> None:
        """Keep an environment in its generation; replaces the hold that it has."""
        with self.locked():
            write_atomic(Path(layout.hold_path(self.root, environment)), hold.to_text())

    def lift_hold(self, environment: str) -> bool:
        """Remove an environment's hold, a damaged one too; False where it has none."""
        with self.locked():
            try:
                Path(layout.hold_path(self.root, environment)).unlink()
            except FileNotFoundError:
                return False
            return True

    def withdraw(self, environment: str) -> None:
        """Take away an environment's name, history and hold; its generations stay until they are collected,
        its signatures until `unsign`.
        """
        Path(layout.hold_path(self.root, environment)).unlink(missing_ok=True)
        Path(layout.link_path(self.root, environment)).unlink(missing_ok=True)
        Path(layout.history_path(self.root, environment)).unlink(missing_ok=True)

    def unsign(self, environments: Collection[str] = (), generations: Collection[str] = ()) -> None:
        """Remove the signatures of these, by one look at all: there are as many as generations."""
        if not environments and not generations:
            return
        for signature in Path(self.root, layout.STATE).glob("*@*.sig"):
            environment, _, generation = signature.stem.partition("@")
            if environment in environments or generation in generations:
                signature.unlink(missing_ok=True)

    def choose(self, names: list[str]) -> list[str]:
        """The named environments, all published ones where none is named; raises UsageError."""
        published = self.environments()
        if problems := [self.unpublished(name) for name in names if name not in published]:
            raise UsageError(problems)
        return list(dict.fromkeys(names)) or published

    def unpublished(self, environment: str) -> Problem:
        """The problem of an environment that has never been published below the root."""
        what = f"has never been published in {self.root}"
        return Problem(f"environment '{environment}'", what, nearest(environment, self.environments()))

    # the table

    def publish_table(self, text: str) -> bool:
        """Write the table whole; False if it says the same already."""
        path = Path(layout.table_path(self.root))
        try:
            if path.read_text(encoding="utf-8") == text:
                return False
        except (FileNotFoundError, UnicodeDecodeError):
            pass
        with self.locked():
            write_atomic(path, text)
        return True
