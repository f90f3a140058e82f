"""What a fork server is among the processes of its host."""

from __future__ import annotations

import os

from envman.inside.protocol import CALL_DESCRIPTOR, CREDENTIALS_DESCRIPTOR, LOG_DESCRIPTOR


def leave_the_component() -> None:
    """Be nobody's child, in a session of its own: this server is there for all components of the host."""
    if os.fork():
        os._exit(0)
    os.setsid()


def reserve_descriptors() -> None:
    """Keep the numbers that children get from ever being given to anything of the server's."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (LOG_DESCRIPTOR, CALL_DESCRIPTOR, CREDENTIALS_DESCRIPTOR):
        os.dup2(nothing, number)
    os.close(nothing)


def linked_generation(link: str) -> str | None:
    """The generation that an environment's link points to now; None where that can't be told."""
    try:
        return os.readlink(link).rpartition("/")[2]
    except OSError:
        return None
