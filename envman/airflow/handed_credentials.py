"""The credentials of one workload, on their way to it.

They are read in a thread: a file system or a command that takes its time keeps that workload waiting, and no
other. The child waits for them at its end of a socket, which is closed where there are none.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import structlog

from envman.airflow.runtime import Runtime
from envman.errors import EnvmanError
from envman.launch.credential_reading import packed, refusing

log = structlog.get_logger(logger_name="envman.credentials")

MASKED_LINE = 5
"""Characters of a line of a secret that is masked by itself, too: a log is masked line by line."""

MOST_LINES = 300
"""Lines of a workload's secrets that are, too, and items of a list: each takes its time, for each line of the
log, and in a worker as Airflow's masker is told of it (300: 4 s).
"""


class HandedCredentials:
    """What a runtime's workload is handed; `mask` hears of each text that its log must not show, before the
    workload does. `descriptor` is the child's end, -1 once this process has closed its own copy.
    """

    def __init__(self, runtime: Runtime, mask: Callable[[Any], None]) -> None:
        """Raises OSError where there is no descriptor or thread for it."""
        self.problem = ""
        """Why the workload has got none; empty where it has, or still may."""
        self._runtime = runtime
        self._mask = mask
        ours, theirs = socket.socketpair()
        self.descriptor = theirs.detach()
        try:
            threading.Thread(target=self._send, args=(ours,), name="credentials", daemon=True).start()
        except RuntimeError as error:
            ours.close()
            self.close()
            raise OSError(errno.EAGAIN, str(error)) from None

    def close(self) -> None:
        """Give up this process's copy of the child's end; the child keeps its own."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _send(self, ours: socket.socket) -> None:
        with ours:
            try:
                content, secrets = packed(self._runtime.environment, self._runtime.credentials)
                for text in masked(secrets):
                    self._mask(text)
            except Exception as error:
                if not isinstance(error, EnvmanError):
                    log.exception("Credentials could not be read", environment=self._runtime.environment)
                self.problem = (
                    str(error) if isinstance(error, EnvmanError) else f"{type(error).__name__} of envman's"
                )
                content = refusing(self.problem)
            try:
                with open(os.memfd_create("credentials", os.MFD_CLOEXEC), "wb") as file:
                    file.write(content)
                    file.flush()
                    socket.send_fds(ours, [b"."], [file.fileno()], socket.MSG_NOSIGNAL)
            except OSError as error:  # it has ended, or no descriptor is free: it sees the socket's end
                log.warning(
                    "Credentials could not be sent", environment=self._runtime.environment, reason=str(error)
                )


def masked(secrets: Sequence[str]) -> list[Any]:
    """What a masker is told of secrets: each itself, lines of theirs, and what in their JSON has a sensitive
    name, or none.
    """
    lines: dict[str, None] = {}
    values: list[Any] = []
    for secret in secrets:
        if len(several := secret.splitlines()) > 1:
            lines.update(dict.fromkeys(line for line in several if len(line) >= MASKED_LINE))
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(secret)
            value = value[:MOST_LINES] if isinstance(value, list) else value
            values += [value] if isinstance(value, dict | list | str) else []
    return [*secrets, *islice(lines, MOST_LINES), *values]
