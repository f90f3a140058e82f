"""Listing a bundle's files outside the Dag processor: in a process with its environment's rights."""

from __future__ import annotations

import contextlib
import json
import os
import time
from selectors import EVENT_READ, BaseSelector
from signal import SIGKILL
from socket import socket, socketpair

from airflow.sdk.execution_time.supervisor import ProcessTracker

from envman.airflow.bundle_interpreter import of_bundle
from envman.airflow.child_start import Start, begin, call_file
from envman.airflow.ends import describe_end
from envman.door.breach import BreachError
from envman.door.listing import LARGEST_LISTING, Listing, listing
from envman.door.rules import READ_LIMIT
from envman.errors import EnvmanError, Problem

LIST_LIMIT = 300.0
"""Seconds that listing a bundle may take. Nobody else waits for it."""

END_LIMIT = 1.0
"""Seconds that the end of such a process is waited for, once it has said all or was killed."""

REMEDY = "The files and Dags that were known stay as they are; it is tried again."


class ListingError(EnvmanError):
    """A bundle whose files can't be listed."""


class BundleListing:
    """The list of a bundle's files, while a process makes it."""

    def __init__(self, bundle: str, folder: str, selector: BaseSelector) -> None:
        """`selector` calls what is registered in it, as Airflow's manager has its own do."""
        self._bundle = bundle
        self._until = time.monotonic() + LIST_LIMIT
        self._selector = selector
        self._said = bytearray()
        self._problem = ""
        self._process: ProcessTracker | None = None
        self._socket: socket | None = None
        try:
            self._start(folder)
        except (EnvmanError, OSError) as error:
            self._problem = str(error)

    def _start(self, folder: str) -> None:
        call = json.dumps({"folder": folder, "bundle": self._bundle}).encode()
        ours, theirs = socketpair()
        with theirs, open(os.devnull, "r+b") as nothing, call_file(call) as file:
            try:
                start = Start("list", self._bundle, of_bundle, file)
                descriptors = [theirs.fileno(), *[nothing.fileno()] * 3]
                self._process = begin(of_bundle(self._bundle), start, descriptors)
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        self._socket = ours
        self._selector.register(ours, EVENT_READ, (self._read, self._forget))

    def _read(self, pipe: socket) -> bool:
        """Take what has come; false where there will be no more."""
        data = pipe.recv(READ_LIMIT)
        self._said += data
        if len(self._said) > LARGEST_LISTING:
            self._problem = f"the list of its files is larger than {LARGEST_LISTING // 2**20} MiB"
        return bool(data) and not self._problem

    def _forget(self, pipe: socket) -> None:
        self._selector.unregister(pipe)
        self._socket = None

    def is_over(self) -> bool:
        """Whether there is a list, or none will come."""
        if self._process and self._socket:
            with contextlib.suppress(self._process.TimeoutExpired):
                self._process.wait(0)  # it is how a child that its server has just forked is found
            if time.monotonic() > self._until:
                self._problem = f"its files were not listed within {LIST_LIMIT:.0f} s"
        return bool(self._problem) or self._socket is None

    def result(self) -> Listing:
        """The list; the process is ended. Raises ListingError."""
        status = self.close()
        try:
            if self._problem:
                raise BreachError(self._problem)
            if not self._said:
                raise BreachError(f"the process that lists its files {describe_end(status)}")
            return listing(bytes(self._said))
        except BreachError as breach:
            raise ListingError(Problem(f"bundle '{self._bundle}'", str(breach), REMEDY)) from None

    def close(self) -> int:
        """End the process, and give its exit status."""
        if pipe := self._socket:
            self._forget(pipe)
            pipe.close()
        if self._process is None:
            return 0
        with contextlib.suppress(self._process.TimeoutExpired):
            return int(self._process.wait(END_LIMIT if not self._problem else 0))
        with contextlib.suppress(self._process.ProcessNotFound):
            self._process.send_signal(SIGKILL)
        with contextlib.suppress(self._process.TimeoutExpired):
            return int(self._process.wait(END_LIMIT))
        return -int(SIGKILL)
