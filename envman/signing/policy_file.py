"""Where the policy is, if there is one. On the launch path: each launch asks, and mostly there is none."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

POLICY = "/etc/envman/allowed_signers"
VARIABLE = "ENVMAN_ALLOWED_SIGNERS"


def policy_file(environ: Mapping[str, str] = os.environ) -> str | None:
    """The file that says who may sign; None where no policy stands.

    The host's own file wins over the variable, so that no variable turns it off. A file that the variable
    names need not be there: reading it says so, and everything is refused.
    """
    try:
        os.lstat(POLICY)
    except (FileNotFoundError, NotADirectoryError):
        return environ.get(VARIABLE) or None
    except OSError:  # it may be there, and reading it says why it can't be looked at
        return POLICY
    return POLICY
