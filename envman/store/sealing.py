"""Sign what is published: generations and the table, each before a name leads to it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from envman.errors import PolicyError, Problem, ResolveError, StoreError
from envman.signing.keys import sign
from envman.signing.signers import Statement, check_signed
from envman.store import layout
from envman.store.folder import Store
from envman.store.listed_files import first_difference
from envman.store.signed import check_generation, digest, generation_statement, table_statement
from envman.system.files import write_atomic

_TABLES_SIGNATURE = re.compile(r"table\.[0-9a-f]{64}\.sig")
KEPT = 86_400.0
"""Seconds for which signatures of other tables are kept: who has just read one looks for its signature."""


@dataclass(frozen=True)
class Seal:
    """Whether what is published gets signed, with a `key`, and has to be, by a `policy`.

    A signature that the policy does not allow takes no signature's place, and nothing is published.
    """

    key: str | None = None
    policy: str | None = None

    def check_key(self, environment: str) -> None:
        """Raises PolicyError where what is about to be built could not be published, for want of a key."""
        if self.policy and not self.key:
            what = "what is built has to be signed before it is published, by the policy"
            remedy = f"Say with which key: envman build --sign KEY. Who may sign stands in {self.policy}."
            raise PolicyError(Problem(f"environment '{environment}'", what, remedy))

    def generation(self, store: Store, environment: str, generation: str) -> None:
        """Sign a generation as one of an environment's, once its files are found to be as listed.

        Raises PolicyError where it can't be signed, or where none has signed it and the policy stands;
        StoreError where a file was changed.
        """
        if self.key:
            file = Path(layout.manifest_path(store.root, generation))
            manifest = _read(file)
            _check_files(store, environment, generation, manifest)
            statement = generation_statement(store.root, environment, generation, manifest)
            self._write(statement, layout.signature_path(store.root, environment, generation))
        elif self.policy:
            with Path(layout.manifest_path(store.root, generation)).open("rb") as held:
                check_generation(self.policy, store.root, environment, generation, held.fileno())

    def table(self, store: Store, text: str) -> None:
        """Sign a table that is about to be published. Raises PolicyError as `generation` does."""
        content = text.encode()
        file = layout.table_signature_path(store.root, digest(content))
        statement = table_statement(store.root, content)
        if self.key:
            store.check_folders()
            self._write(statement, file)
            _forget_tables(store, Path(file))
        elif self.policy:
            signature = Path(file).read_bytes() if Path(file).is_file() else None
            check_signed(self.policy, statement, signature)

    def _write(self, statement: Statement, file: str) -> None:
        (signature,) = sign(self.key or "", [statement])
        if self.policy:
            check_signed(self.policy, statement, signature)
        write_atomic(Path(file), signature.decode())


NO_SEAL = Seal()


def seal_published(store: Store, names: Iterable[str], seal: Seal) -> list[tuple[str, str]]:
    """Sign the published table, and the current generations of environments; of all where none is named.

    Returns what was signed: the environments with their generations. Raises ResolveError where nothing is
    published, UsageError, PolicyError, StoreError.
    """
    chosen = store.choose(list(names))
    done: list[tuple[str, str]] = []
    for name in chosen:
        generation = store.current(name)
        if generation is None or not store.is_whole(generation):
            what = "its current generation is not whole"
            raise ResolveError(Problem(f"environment '{name}'", what, f"Run: envman build {name}"))
        seal.generation(store, name, generation)
        done.append((name, generation))
    file = Path(layout.table_path(store.root))
    try:
        seal.table(store, file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResolveError(
            Problem(store.root, "no table is published there", "Run: envman publish")
        ) from None
    return done


def refusals(store: Store, generations: Iterable[tuple[str, str]], policy: str) -> list[Problem]:
    """What the policy has against these generations of environments; not whether their files were changed."""
    found: list[Problem] = []
    for environment, generation in generations:
        try:
            Seal(policy=policy).generation(store, environment, generation)
        except PolicyError as error:
            found += error.problems
    return list(dict.fromkeys(found))


def _check_files(store: Store, environment: str, generation: str, manifest: bytes) -> None:
    """Nothing is signed that is not as it was built; raises StoreError."""
    folder = store.folder(generation)
    try:
        listing = (folder / layout.FILES).read_bytes()
        listed = json.loads(manifest)["files"] == f"sha256:{digest(listing)}"
        difference = (
            first_difference(str(folder), listing.decode()) if listed else f"{layout.FILES} was changed"
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        difference = f"its files can't be compared with their list: {error}"
    if difference:
        remedy = f"Find out who wrote there; build it again: envman build {environment} --rebuild"
        raise StoreError(
            Problem(f"environment '{environment}': {folder}", f"is not signed: {difference}", remedy)
        )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise StoreError(Problem(str(file), "it is not there", "Build it again: envman build")) from None


def _forget_tables(store: Store, new: Path) -> None:
    """Remove the signatures of tables that nobody reads any more."""
    kept = {new}
    with suppress(FileNotFoundError):
        standing = Path(layout.table_path(store.root)).read_bytes()
        kept.add(Path(layout.table_signature_path(store.root, digest(standing))))
    for file in new.parent.iterdir():
        if file not in kept and _TABLES_SIGNATURE.fullmatch(file.name):
            with suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime > KEPT:
                    file.unlink()
