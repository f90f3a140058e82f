"""The credentials of a process that becomes a program itself: `envman exec`, and components of one's own."""

from __future__ import annotations

import signal

from envman.errors import Problem
from envman.inside.credential_values import CredentialsRefusedError, variables_of
from envman.launch.credential_reading import CredentialError, packed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from envman.resolver.credential import Credential


def own_credentials(environment: str, credentials: Iterable[Credential]) -> dict[str, str]:
    """The credentials as variables, read with this process's rights; files are kept for as long as it lives.

    Raises CredentialError.
    """
    ignored = signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
    if ignored:  # whoever has started this does: how a command ends would be known to nobody
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        content, _ = packed(environment, credentials)
    finally:
        if ignored:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        return variables_of(content)
    except (CredentialsRefusedError, OSError) as error:
        what = f"its credentials can't be kept as files: {error}"
        remedy = "Look at its limits of processes and descriptors."
        raise CredentialError(Problem(f"environment '{environment}'", what, remedy)) from None
