"""Under a policy: whether a root's table, and the generations that run, are signed by whom it allows.

A signature is made over a few lines that name the root, what is signed, and its digest: so it counts nowhere
else, and for no other environment. It says nothing of when: who may write the root can put back what was
signed once, as a rollback does.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from envman.errors import PolicyError, Problem
from envman.signing.signers import GENERATION, TABLE, TABLES, Statement, check_signed, read_signature
from envman.store import layout
from envman.store.listed_files import first_difference

LARGEST_MANIFEST = 2**26


def table_statement(root: str, content: bytes) -> Statement:
    """What is signed of a table: for which root it is, and its digest."""
    text = f"envman table\nroot: {root}\nsha256: {digest(content)}\n"
    return Statement(layout.table_path(root), TABLE, TABLES, _encoded(text))


def generation_statement(root: str, environment: str, generation: str, manifest: bytes) -> Statement:
    """What is signed of a generation: whose it is, and the digest of its manifest, which has its files'."""
    text = (
        f"envman generation\nroot: {root}\nenvironment: {environment}\ngeneration: {generation}\n"
        f"manifest: {digest(manifest)}\n"
    )
    where = f"environment '{environment}': {layout.generation_path(root, generation)}"
    return Statement(where, GENERATION, environment, _encoded(text))


def check_table(policy: str, root: str, content: bytes) -> None:
    """Raises PolicyError unless a table is signed for this root."""
    signature = read_signature(layout.table_signature_path(root, digest(content)))
    check_signed(policy, table_statement(root, content), signature)


def check_generation(policy: str, root: str, environment: str, generation: str, held: int) -> None:
    """Raises PolicyError unless a generation is signed for this environment; `held` is its manifest."""
    _checked_manifest(policy, root, environment, generation, held)


def check_files(policy: str, root: str, environment: str, generation: str, held: int) -> None:
    """The same, and every file has to be as it was listed when the generation was signed."""
    manifest = _checked_manifest(policy, root, environment, generation, held)
    compare_files(root, environment, generation, manifest)


def compare_files(root: str, environment: str, generation: str, manifest: bytes) -> None:
    """Raises PolicyError unless a generation's files are those of a manifest, which is signed."""
    import json

    _check_place(root, environment, generation)
    folder = layout.generation_path(root, generation)
    remedy = f"Find out who wrote there; build it again: envman build {environment} --rebuild --sign KEY"
    try:
        listing = _read(f"{folder}/{layout.FILES}")
        if json.loads(manifest)["files"] != f"sha256:{digest(listing)}":
            difference = f"{layout.FILES} was changed"
        else:
            difference = first_difference(folder, listing.decode())
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        difference = f"its files can't be compared with their list: {error}"
    if difference:
        what = f"refused by the policy, as its files are not those that were signed: {difference}"
        raise PolicyError(Problem(f"environment '{environment}': {folder}", what, remedy))


def _read(path: str) -> bytes:
    """What a file holds; raises OSError, and for a pipe at once."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no file", path)
        return stream.read()


def _checked_manifest(policy: str, root: str, environment: str, generation: str, held: int) -> bytes:
    _check_place(root, environment, generation)
    manifest = os.pread(held, LARGEST_MANIFEST, 0)
    signature = read_signature(layout.signature_path(root, environment, generation))
    check_signed(policy, generation_statement(root, environment, generation, manifest), signature)
    return manifest


def _check_place(root: str, environment: str, generation: str) -> None:
    """What stands elsewhere is not of this root, whoever has signed a folder of its name."""
    for folder in (f"{root}/{layout.GENERATIONS}", layout.generation_path(root, generation)):
        if os.path.islink(folder):
            what = f"refused by the policy, as {folder} is a link"
            remedy = "Find out who made it, and remove it; build again: envman build --sign KEY"
            raise PolicyError(Problem(f"environment '{environment}'", what, remedy))


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
