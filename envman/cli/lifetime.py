"""A command from its first line to its last."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from envman.cli.output import OutputError, unwritten, write
from envman.errors import InterruptedByUserError
from envman.system.children import CHILDREN


class _Callers:
    """What was the caller's before this command changed it."""

    umask = 0o022


CALLERS = _Callers()


def take_umask() -> None:
    """Give others no right to write to what is made, whatever the caller's umask says."""
    CALLERS.umask = os.umask(0o022)
    os.umask(CALLERS.umask | 0o022)


@contextmanager
def whole_command() -> Iterator[None]:
    """Whatever ends it, its children end, and its output: quietly where nobody reads that any more."""
    try:
        with CHILDREN.owned():
            yield
    except InterruptedByUserError as error:
        sys.exit(error.exit_code)
    except OutputError as error:
        end(error)
    except OSError as error:  # what a command meets it shows itself: this is typer's own output
        end(unwritten(error))
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(BrokenPipeError, OutputError):
                write(stream, "")


def end(error: OutputError) -> NoReturn:
    """Say that standard output can't be written, and end."""
    for problem in error.problems:
        write(sys.stderr, f"error: {problem}\n")
    sys.exit(error.exit_code)
