"""How a process ended, in words."""

from __future__ import annotations

import signal


def describe_end(exit_code: int) -> str:
    """'exited with 3', or 'was ended by signal 11 (SIGSEGV)'; a negative code is a signal's number."""
    if exit_code >= 0:
        return f"exited with {int(exit_code)}"
    number = -int(exit_code)
    try:
        name = f"{number} ({signal.Signals(number).name})"
    except ValueError:
        name = str(number)
    hint = "; the system may have run out of memory" if number == signal.SIGKILL else ""
    return f"was ended by signal {name}{hint}"
