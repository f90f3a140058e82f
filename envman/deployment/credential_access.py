"""Whether this host has what credentials are read from, and who else may read it. Nothing of it is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from envman.deployment.facts import CredentialAccess
from envman.resolver.credential import FILE, Credential
from envman.resolver.table import Table
from envman.store.folder import Store
from envman.system.trusted_path import trusted_path, why_untrusted


def credential_access(store: Store, table: Table) -> Iterator[CredentialAccess]:
    """Each credential of the environments that run here; those that are an image, and not built, do not."""
    for environment in table.names("credentials"):
        if table.image(environment) is None or store.current(environment):
            for credential in table.credentials(environment):
                yield CredentialAccess(
                    environment, credential.name, credential.words[0], *_access(credential)
                )


def _access(credential: Credential) -> tuple[str, str]:
    """What keeps this process from it, and who else may do what with it; each may be empty."""
    path, is_file = Path(credential.words[0]), credential.source == FILE
    try:
        status = os.lstat(trusted_path(str(path)))
    except OSError as error:
        return f"can't be used: {error.strerror}", ""
    mode = status.st_mode
    if not stat.S_ISREG(mode):
        return "is no regular file", ""
    how = "read" if is_file else "run"
    problem = "" if os.access(path, os.R_OK if is_file else os.X_OK) else f"may not be {how}"
    if not is_file:
        return problem or why_untrusted(status), ""
    if mode & stat.S_IWOTH:
        return problem, "write"
    return problem, "read" if mode & stat.S_IROTH else ""
