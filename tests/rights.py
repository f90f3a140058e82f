"""Processes that may do no more than any user's, whoever runs the tests."""

from __future__ import annotations

import ctypes

PR_CAPBSET_DROP = 24
LINUX_CAPABILITY_VERSION_3 = 0x20080522


def give_up_rights() -> None:
    """Give this process's capabilities up for good; what it executes gets none either. For `preexec_fn`."""
    libc = ctypes.CDLL(None, use_errno=True)
    for number in range(64):
        libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)  # without the right to, there are none to get back
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")
