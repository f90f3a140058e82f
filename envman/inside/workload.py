"""What a fork of a fork server does before it is a workload, and what it asks of the kernel."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from envman.inside.child import lead_group
from envman.inside.protocol import CALL_DESCRIPTOR, CREDENTIALS_DESCRIPTOR, child_descriptors

if TYPE_CHECKING:
    from envman.inside.protocol import WorkloadRequest

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

LIBC = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Raises OSError where the kernel refuses."""
    if LIBC.prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def take_over(request: WorkloadRequest, descriptors: list[int], server: int) -> None:
    """Turn this fork into the workload: descriptors, folder, rights, and no trace of the server."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # what leaves its parent stays below this one, and becomes the server's only when this one has ended
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != server:
        os._exit(124)
    own = child_descriptors(len(descriptors), request["credentials"])
    for number, source in zip(own, descriptors, strict=True):
        os.dup2(source, number)
    for number in {CALL_DESCRIPTOR, CREDENTIALS_DESCRIPTOR}.difference(own):
        os.close(number)
    for one in descriptors:
        os.close(one)
    lead_group(request["entry"])
    os.umask(request["umask"])
    with contextlib.suppress(OSError):  # another user may have no right to it; the server's folder it is then
        os.chdir(request["folder"])
    for added in request["added"]:
        os.environ.pop(added, None)
    reseed()
    name_process(f"{request['entry']} {request['name']}")
    gc.enable()


def reseed() -> None:
    """Give this child random numbers of its own. Python's own module has seen to itself."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def name_process(what: str) -> None:
    """What `ps` shows."""
    with contextlib.suppress(ImportError):
        importlib.import_module("setproctitle").setproctitle(f"envman: {what}")
