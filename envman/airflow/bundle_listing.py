"""Listing a bundle's files outside the Dag processor: in a process with its environment's rights."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from selectors import EVENT_READ, BaseSelector
from signal import SIGKILL
from socket import socket, socketpair

import psutil
from airflow.sdk.execution_time.supervisor import ProcessTracker

from envman.airflow.bundle_interpreter import of_bundle
from envman.airflow.child_start import Start, begin, call_file
from envman.airflow.ends import describe_end
from envman.door.breach import BreachError
from envman.door.listing import LARGEST_LISTING, Listing, listing
from envman.errors import EnvmanError, Problem

LIST_LIMIT = 300.0
"""Seconds that listing a bundle may take. Nobody else waits for it."""

END_LIMIT = 5.0
"""Seconds between the end of what such a process says and its own; then it is killed."""

GONE_LIMIT = 60.0
"""Seconds after which a process that was killed is no longer looked for."""

REMEDY = "The files and Dags that were known stay as they are; it is tried again."


class ListingError(EnvmanError):
    """A bundle whose files can't be listed."""


class BundleListing:
    """The list of a bundle's files, while a process makes it. Nothing here waits for that process.

    It writes into a file of a fixed size; the end of its socket says that all is there.
    """

    def __init__(self, bundle: str, folder: str, selector: BaseSelector) -> None:
        """`selector` calls what is registered in it, as Airflow's manager has its own do."""
        self._bundle = bundle
        self._until = time.monotonic() + LIST_LIMIT
        self._selector = selector
        self._problem = ""
        self._status: int | None = None
        self._process: ProcessTracker | None = None
        self._socket: socket | None = None
        self._file = -1
        try:
            self._file = _file_of_fixed_size()
            self._start(folder)
        except (EnvmanError, OSError) as error:
            self._problem = str(error)

    def _start(self, folder: str) -> None:
        call = json.dumps({"folder": folder, "bundle": self._bundle}).encode()
        ours, theirs = socketpair()
        with theirs, open(os.devnull, "r+b") as nothing, call_file(call) as file:
            try:
                start = Start("list", self._bundle, of_bundle, file)
                descriptors = [self._file, nothing.fileno(), nothing.fileno(), theirs.fileno()]
                self._process = begin(of_bundle(self._bundle), start, descriptors)
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        self._socket = ours
        self._selector.register(ours, EVENT_READ, (self._hear, self._hang_up))

    def _hear(self, pipe: socket) -> bool:
        """Take the end of the socket, or what should not be in it; there is never more to come."""
        with contextlib.suppress(OSError):
            if pipe.recv(1):
                self._problem = "the process that lists its files says something else"
        return False

    def _hang_up(self, pipe: socket) -> None:
        self._selector.unregister(pipe)
        self._socket = None
        self._until = time.monotonic() + END_LIMIT

    def is_over(self) -> bool:
        """Whether there is a list, or none will come. Then it has to be closed."""
        self._look()
        if self._problem or self._process is None or self._status is not None:
            return True
        if time.monotonic() <= self._until:
            return False
        if self._socket:
            self._problem = f"its files were not listed within {LIST_LIMIT:.0f} s"
        return True

    def _look(self) -> None:
        """See whether the process has ended; it is also how one that its server has just forked is found."""
        if self._process and self._status is None:
            with contextlib.suppress(self._process.TimeoutExpired, psutil.Error, OSError):
                self._status = int(self._process.wait(0))

    def result(self) -> Listing:
        """The list. Raises ListingError."""
        try:
            if self._problem:
                raise BreachError(self._problem)
            said = os.pread(self._file, LARGEST_LISTING, 0).partition(b"\0")[0]
            if not said and self._status is not None:
                raise BreachError(f"the process that lists its files {describe_end(self._status)}")
            return listing(said)
        except BreachError as breach:
            raise ListingError(Problem(f"bundle '{self._bundle}'", str(breach), REMEDY)) from None

    def close(self) -> None:
        """End the process, if it has not ended; `is_gone` is to be asked until it has."""
        if pipe := self._socket:
            self._hang_up(pipe)
            pipe.close()
        if self._file >= 0:
            os.close(self._file)
        self._until = time.monotonic() + GONE_LIMIT
        if self._process and self._status is None:
            with contextlib.suppress(psutil.Error, OSError):
                self._process.send_signal(SIGKILL)

    def is_gone(self) -> bool:
        """Whether nothing is left of the process, or it is given up."""
        self._look()
        if self._process is None or self._status is not None:
            return True
        if time.monotonic() <= self._until:
            return False
        if hasattr(self._process, "close"):
            self._process.close()
        return True


def _file_of_fixed_size() -> int:
    """A file in memory that holds the largest listing, and can't grow."""
    file = os.memfd_create("listing", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(file, LARGEST_LISTING)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return file
