"""Sign what is published: generations that this run has made, and the table, before a name leads there."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from envman.errors import PolicyError, Problem
from envman.signing.keys import fingerprint, sign
from envman.signing.signers import Statement, check_signed, read_signature, signed_with
from envman.store import layout
from envman.store.folder import Store
from envman.store.manifest import Manifest
from envman.store.signed import (
    check_generation,
    compare_files,
    digest,
    generation_statement,
    table_statement,
)
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

    def generation(self, store: Store, environment: str, made: Manifest) -> None:
        """Sign a generation that this run has made, by the manifest that it has written.

        The file is not read again: whoever may write the root may have put another one there since. Raises
        PolicyError where it can't be signed.
        """
        if self.key:
            content = made.to_json().encode()
            statement = generation_statement(store.root, environment, made.generation, content)
            self._write(statement, layout.signature_path(store.root, environment, made.generation))

    def stands(self, store: Store, environment: str, generation: str) -> bool:
        """Whether a generation that this run has not made may be published as one of an environment's.

        With a key: whether it is signed, by whom the policy allows, or without a policy with this very key,
        and its files are as they were signed. If not, it has to be made again: signing what is found there
        would vouch for whoever wrote it; raises PolicyError for a key without a fingerprint. Without a key:
        raises PolicyError where the policy refuses it.
        """
        if not self.key:
            check_published(store, environment, generation, self.policy)
            return True
        own = None if self.policy else self._fingerprint
        try:
            manifest = Path(layout.manifest_path(store.root, generation)).read_bytes()
            statement = generation_statement(store.root, environment, generation, manifest)
            signature = read_signature(layout.signature_path(store.root, environment, generation))
            if self.policy:
                check_signed(self.policy, statement, signature)
            elif signature is None or signed_with(statement, signature)[0].rpartition(" ")[2] != own:
                return False
            compare_files(store.root, environment, generation, manifest)
        except (OSError, PolicyError):
            return False
        return True

    @functools.cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.key or "")

    def table(self, store: Store, text: str) -> None:
        """Sign a table that is about to be published. Raises PolicyError as `generation` does."""
        content = text.encode()
        file = layout.table_signature_path(store.root, digest(content))
        statement = table_statement(store.root, content)
        if self.key:
            store.check_folders()
            self._write(statement, file)
            forget_tables(store, Path(file))
        elif self.policy:
            signature = Path(file).read_bytes() if Path(file).is_file() else None
            check_signed(self.policy, statement, signature)

    def _write(self, statement: Statement, file: str) -> None:
        (signature,) = sign(self.key or "", [statement])
        if self.policy:
            check_signed(self.policy, statement, signature)
        write_atomic(Path(file), signature.decode())


NO_SEAL = Seal()


def check_published(store: Store, environment: str, generation: str, policy: str | None) -> None:
    """Raises PolicyError where a policy stands and refuses a generation; not whether files were changed."""
    if policy:
        with Path(layout.manifest_path(store.root, generation)).open("rb") as held:
            check_generation(policy, store.root, environment, generation, held.fileno())


def refusals(store: Store, generations: Iterable[tuple[str, str]], policy: str) -> list[Problem]:
    """What the policy has against these generations of environments; not whether their files were changed."""
    found: list[Problem] = []
    for environment, generation in generations:
        try:
            check_published(store, environment, generation, policy)
        except PolicyError as error:
            found += error.problems
    return list(dict.fromkeys(found))


def forget_tables(store: Store, new: Path) -> None:
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
