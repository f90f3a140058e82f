"""Real ssh keys, signatures and policies."""

from __future__ import annotations

import subprocess
from pathlib import Path

from envman.store import layout
from envman.store.signed import digest, generation_statement, table_statement


def make_key(folder: Path, name: str, *options: str) -> Path:
    """A key without a passphrase; its public part stands beside it."""
    file = folder / name
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, *options, "-f", str(file)]
    subprocess.run(command, check=True, timeout=60)
    return file


def fingerprint(key: Path) -> str:
    command = ["ssh-keygen", "-l", "-f", f"{key}.pub"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()[1]


def line(key: Path, principals: str = "*", options: str = 'namespaces="envman-*"') -> str:
    return " ".join(filter(None, (principals, options, Path(f"{key}.pub").read_text(encoding="utf-8"))))


def write_policy(file: Path, *lines: str) -> Path:
    file.write_text("".join(lines), encoding="utf-8")
    file.chmod(0o644)
    return file


def signature(key: Path, namespace: str, text: bytes) -> bytes:
    command = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", namespace]
    return subprocess.run(command, input=text, check=True, capture_output=True, timeout=60).stdout


def sign_generation(key: Path, root: str, environment: str, generation: str) -> None:
    """As the run that has made it does."""
    manifest = Path(layout.manifest_path(root, generation)).read_bytes()
    statement = generation_statement(root, environment, generation, manifest)
    signed = signature(key, statement.namespace, statement.text)
    Path(layout.signature_path(root, environment, generation)).write_bytes(signed)


def sign_table(key: Path, root: str) -> None:
    """As the run that has published it does."""
    content = Path(layout.table_path(root)).read_bytes()
    statement = table_statement(root, content)
    file = Path(layout.table_signature_path(root, digest(content)))
    file.write_bytes(signature(key, statement.namespace, statement.text))
