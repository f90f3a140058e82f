"""File operations that fail below the root folder: an error with an exit code of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from envman.errors import StoreError
from envman.system.files import file_problem, is_below


@contextmanager
def files_of_root(root: str, where: str) -> Iterator[None]:
    """While inside, an OSError of a file below the root is a StoreError; `where` is what is worked on."""
    try:
        yield
    except OSError as error:
        if is_below(error, root):
            raise StoreError(file_problem(where, error)) from error
        raise
