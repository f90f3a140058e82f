"""A workload's credentials: its component has read them, and here they become variables and files.

    python run.py taken_credentials task bundle_a celery worker

They come over the socket at CREDENTIALS_DESCRIPTOR, which no other process can open, as a file in memory (see
`protocol.py`). By then this process is closed to its neighbours. As a variable is set here, /proc shows it to
nobody.
"""

from __future__ import annotations

import os
import socket

from envman.inside import child
from envman.inside.credential_values import CredentialsRefusedError, variables_of
from envman.inside.protocol import CREDENTIALS_DESCRIPTOR, LOG_DESCRIPTOR
from envman.inside.workload import prctl

LIMIT = 60.0
"""Seconds that a component may take to read them; its commands have ten each."""

PR_SET_DUMPABLE = 4


def main(words: list[str]) -> None:
    """Take the credentials, then be the child that the words name; ends the process."""
    take()
    child.main(words)


def take() -> None:
    """Have the credentials as variables of this process; ends it where they can't be had, and says why."""
    try:
        prctl(PR_SET_DUMPABLE, 0)
        os.environ.update(variables_of(received()))
    except (CredentialsRefusedError, OSError, ValueError) as error:
        _say(str(error))
        os._exit(1)


def _say(reason: str) -> None:
    """Write a line into the workload's log."""
    import json

    event = {"event": reason, "level": "error", "logger": "envman"}
    os.write(LOG_DESCRIPTOR, json.dumps(event).encode() + b"\n")


def received() -> bytes:
    """The file that the component sends."""
    with socket.socket(fileno=CREDENTIALS_DESCRIPTOR) as connection:
        connection.settimeout(LIMIT)
        try:
            descriptors = socket.recv_fds(connection, 1, 1)[1]
        except TimeoutError:
            raise CredentialsRefusedError(
                f"Its component has sent no credentials for {LIMIT:.0f} s."
            ) from None
    if not descriptors:
        raise CredentialsRefusedError("Its component has sent no credentials; its log may say why.")
    with open(descriptors[0], "rb") as stream:
        stream.seek(0)
        return stream.read()
