"""Sign with somebody's key: a file, or a public key whose private one an ssh-agent holds."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from envman.errors import PolicyError, Problem
from envman.signing.keygen import PROGRAM
from envman.signing.signers import Statement
from envman.system.children import CHILDREN

_LOOK = 0.1


def sign(key: str, statements: Sequence[Statement]) -> list[bytes]:
    """The signatures of statements of one namespace, in their order.

    ssh-keygen asks for a passphrase on the terminal, once. Raises PolicyError where it can't sign,
    InterruptedByUserError.
    """
    with TemporaryDirectory(prefix="envman-sign-") as folder:
        files = [Path(folder, str(number)) for number in range(len(statements))]
        for file, statement in zip(files, statements, strict=True):
            file.write_bytes(statement.text)
        words = ["-Y", "sign", "-f", key, "-n", statements[0].namespace, *map(str, files)]
        try:
            status, said = _run([PROGRAM, *words])
        except FileNotFoundError as error:
            status, said = 127, f"{PROGRAM}: {error.strerror}"
        signatures = [path.read_bytes() for path in map(_signature_of, files) if path.is_file()]
    if status or len(signatures) < len(statements):
        remedy = "Give the file of a private key, or of a public one whose private one ssh-agent holds."
        raise PolicyError(Problem(key, f"can't be signed with: {said}", remedy))
    return signatures


def fingerprint(key: str) -> str:
    """The fingerprint of a key's public part, 'SHA256:...'. Raises PolicyError where it can't be told."""
    try:
        status, said = _run([PROGRAM, "-l", "-f", key])
    except FileNotFoundError as error:
        status, said = 127, f"{PROGRAM}: {error.strerror}"
    found = said.split()
    if status or len(found) < 2:
        remedy = f"Give a key's file, with its public part beside it: ssh-keygen -y -f {key} > {key}.pub"
        raise PolicyError(
            Problem(key, f"can't be signed with: its fingerprint can't be told: {said}", remedy)
        )
    return found[1]


def _signature_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.sig")


def _run(command: list[str]) -> tuple[int, str]:
    """Run ssh-keygen with the caller's terminal, in its session: that's where it asks for a passphrase."""
    with TemporaryFile() as said:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={**os.environ, "LC_ALL": "C"}
        )
        try:
            while child.poll() is None:
                CHILDREN.look()
                with suppress(subprocess.TimeoutExpired):
                    child.wait(_LOOK)
        finally:
            child.kill()
            child.wait()
        CHILDREN.look()
        said.seek(0)
        lines = [
            line
            for line in said.read().decode(errors="replace").splitlines()
            if not line.startswith(("Signing file", "Write signature"))
        ]
        return child.returncode, "; ".join(lines)
