"""Whether what is signed is signed by whom the policy allows: allowed_signers as ssh-keygen(1) has it.

A line of the policy says for which environments a key may sign (its principals), what (its namespaces), and
how long (valid-before). Nothing of this is judged here: ssh-keygen does.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time

from envman.errors import PolicyError, Problem
from envman.signing.keygen import SIGNATURE, SIGNERS, ssh_keygen

LARGEST_POLICY = 2**20
LARGEST_SIGNATURE = 2**16
REMEMBERED = 600.0
"""Seconds for which a signature that was good is not checked again by this process."""

_good: dict[bytes, float] = {}


class Statement:
    """What is signed: its `text`, for what it counts (a namespace of ssh-keygen), and of whom it is
    (`identity`: an environment, PROJECTS or TABLES). `file` is where it stands, for messages.
    """

    __slots__ = ("file", "identity", "namespace", "text")

    def __init__(self, file: str, namespace: str, identity: str, text: bytes) -> None:
        self.file = file
        self.namespace = namespace
        self.identity = identity
        self.text = text


LOCK, GENERATION, TABLE = "envman-lock", "envman-generation", "envman-table"
"""The namespaces."""

_SIGN = {
    LOCK: "envman sign {}--key KEY",
    GENERATION: "envman build {}--sign KEY",
    TABLE: "envman publish --sign KEY",
}

PROJECTS, TABLES = "@project", "@table"
"""The identities for which envman.toml and a table are signed; no environment can have such a name."""


def check_signed(policy: str, statement: Statement, signature: bytes | None) -> None:
    """Raises PolicyError unless the statement is signed by a key that the policy allows for it.

    `signature` is None where there is none. A signature is checked once in some minutes: shared components
    ask for each workload.
    """
    signers = read_policy(policy)
    if signature is None:
        raise _refused(policy, statement, "it is not signed")
    parts = (signers, statement.namespace.encode(), statement.identity.encode(), statement.text, signature)
    known = b"".join(hashlib.sha256(part).digest() for part in parts)
    if time.monotonic() < _good.get(known, 0.0):
        return
    words = ["-Y", "verify", "-f", SIGNERS, "-I", statement.identity, "-n", statement.namespace]
    status, said = ssh_keygen([*words, "-s", SIGNATURE], statement.text, signers, signature)
    if status != 0 or not said.startswith(f'Good "{statement.namespace}" signature for '):
        raise _refused(policy, statement, _why(statement, signature, said))
    if len(_good) > 1000:
        _good.clear()
    _good[known] = time.monotonic() + REMEMBERED


def _why(statement: Statement, signature: bytes, said: str) -> str:
    """What is wrong with a signature: whose it is, if it is one of this statement."""
    key, whose = signed_with(statement, signature)
    if key:
        return f"it is signed with {key}, which may not sign it: {_line(said)}"
    what = "it"
    if statement.namespace == LOCK:
        what = "it, or uv's configuration," if statement.identity == PROJECTS else "it, or its spec,"
    return f"{what} is not as it was signed: {_line(whose)}"


def signed_with(statement: Statement, signature: bytes) -> tuple[str, str]:
    """The key that has signed a statement, 'ED25519 key SHA256:...', whoever may; empty where none has. And
    what ssh-keygen says.
    """
    words = ["-Y", "check-novalidate", "-n", statement.namespace, "-s", SIGNATURE]
    status, said = ssh_keygen(words, statement.text, b"", signature)
    good = status == 0 and said.startswith(f'Good "{statement.namespace}" signature with ')
    return (said.rpartition(" with ")[2] if good else ""), said


def _line(said: str) -> str:
    return "; ".join(said.splitlines())


def _refused(policy: str, statement: Statement, what: str) -> PolicyError:
    remedy = f"Who may sign it stands in {policy}. If it is right, have one of them sign it: "
    name = "" if statement.identity.startswith("@") else f"{statement.identity} "
    remedy += _SIGN[statement.namespace].format(name)
    return PolicyError(Problem(statement.file, f"refused by the policy, as {what}", remedy))


def read_policy(path: str) -> bytes:
    """The policy's text; raises PolicyError where it can't be read, or where somebody else may write it.

    It has to be a file of root's or of this user's, which others can't write, and so do the folders above it.
    None of them is a link: where it stands, others might write, and lead it elsewhere.
    """
    if not path.startswith("/"):
        raise _unusable(path, "is named by a path that begins in the current folder, whichever that is")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if why := _untrusted(status, stat.S_ISREG(status.st_mode)):
                raise _unusable(path, why)
            content = _read(descriptor, LARGEST_POLICY)
        finally:
            os.close(descriptor)
        for folder in _above(path):
            status = os.lstat(folder)
            if stat.S_ISLNK(status.st_mode):
                raise _unusable(path, f"its folder {folder} is a link: name it {os.path.realpath(path)}")
            if why := _untrusted(status, is_file=True):
                raise _unusable(path, f"its folder {folder} {why}")
    except OSError as error:
        raise _unusable(path, f"can't be read: {error.strerror}") from None
    if not any(line.strip() and not line.startswith(b"#") for line in content.splitlines()):
        raise _unusable(path, "allows no key")
    return content


def _untrusted(status: os.stat_result, is_file: bool) -> str:
    """Why a file or folder may be another one's by now; empty where it can't."""
    if not is_file:
        return "is no file"
    if status.st_uid not in {0, os.geteuid()}:
        return f"belongs to the user {status.st_uid}, and neither to root nor to this user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not (
        stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    ):
        return "may be written by others than its owner"
    if stat.S_ISREG(status.st_mode) and status.st_size > LARGEST_POLICY:
        return f"has more than {LARGEST_POLICY} bytes"
    return ""


def _above(path: str) -> list[str]:
    """The folders above a path, by its name, from the root down."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) or "/" for end in range(1, len(parts) + 1)]


def _unusable(path: str, why: str) -> PolicyError:
    remedy = "Nothing is built or started until it is right: root's, and writable by root alone (chmod 644)."
    return PolicyError(Problem(path, f"the policy {why}", remedy))


def read_signature(path: str) -> bytes | None:
    """A signature's text, None where there is none; raises PolicyError for what is no file of that size."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _no_signature(path, f"can't be read: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _no_signature(path, "is no file")
        content = _read(descriptor, LARGEST_SIGNATURE)
    except OSError as error:
        raise _no_signature(path, f"can't be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(content) > LARGEST_SIGNATURE:
        raise _no_signature(path, f"has more than {LARGEST_SIGNATURE} bytes")
    return content


def _no_signature(path: str, why: str) -> PolicyError:
    return PolicyError(Problem(path, f"the signature {why}", "Sign again: envman sign"))


def _read(descriptor: int, most: int) -> bytes:
    """What a file holds, and one byte more than `most` at most."""
    parts: list[bytes] = []
    left = most + 1
    while left and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
