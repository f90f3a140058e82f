"""What an image needs besides its environments: the launcher, and an account to run as. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envman.image.oci_values import ImageSettings

FOLDER = "/opt/envman"
PACKAGES = f"{FOLDER}/lib"
PROGRAM = f"{FOLDER}/bin/envman"

AIRFLOW_HOME = "/opt/airflow"
USER = 50000
"""As in Airflow's own images: group 0 may be shared with any user that a cluster chooses."""

LAUNCHED = (
    "__init__.py",
    "__main__.py",
    "errors.py",
    "names.py",
    "resolver/",
    "launch/",
    "airflow/",
    "door/",
    "confine/",
    "inside/",
)
"""What of envman starts workloads; the standard library is all that it needs."""

LAUNCHED_ALSO = (
    *("signing/__init__.py", "signing/keygen.py", "signing/policy_file.py", "signing/signers.py"),
    *("store/__init__.py", "store/layout.py", "store/listed_files.py", "store/root.py", "store/signed.py"),
    *("system/__init__.py", "system/beneath.py", "system/lock_holders.py"),
    "system/trusted_path.py",
)

SOURCE = "image_main.py"
"""Of the command `envman` of an image, relative to the package."""


def program_text(python: str, source: str) -> str:
    """The command `envman` of an image, of its source; `python` is an interpreter of the base."""
    return f"#!{python}\n{source}"


def is_launched(path: str) -> bool:
    """Whether a module belongs into an image, by its path relative to the package."""
    return path.startswith(LAUNCHED) or path in LAUNCHED_ALSO


def passwd_with_user(passwd: str) -> str | None:
    """A passwd file with the account that an image runs as; None where it has that number already.

    Some programs ask for the name and the home of their user, and fail where there is none.
    """
    lines = passwd.splitlines()
    if any(line.split(":")[2:3] == [str(USER)] for line in lines):
        return None
    taken = {line.partition(":")[0] for line in lines}
    name = "airflow" if "airflow" not in taken else f"airflow{USER}"
    return "\n".join([*lines, f"{name}:x:{USER}:0:Airflow:{AIRFLOW_HOME}:/usr/sbin/nologin", ""])


def runs_as_root(config: Mapping[str, Any]) -> bool:
    """Whether an image's configuration leaves its processes root."""
    user = str((config.get("config") or {}).get("User") or "0")
    return user.partition(":")[0] in {"0", "root"}


def settings(base: Mapping[str, Any], root: str, labels: Mapping[str, str], created: str) -> ImageSettings:
    """What an image sets on top of a base's configuration.

    The user stays the base's unless that is root, and Airflow's home unless there is none.
    """
    config = base.get("config") or {}
    environ = dict(entry.split("=", 1) for entry in config.get("Env") or [] if "=" in entry)
    path = environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    added = {"PATH": f"{path}:{FOLDER}/bin", "ENVMAN_ROOT": root}
    if runs_as_root(base):
        added["HOME"] = AIRFLOW_HOME
    home = added["AIRFLOW_HOME"] = environ.get("AIRFLOW_HOME", AIRFLOW_HOME)
    return ImageSettings(
        environ=added,
        entrypoint=(PROGRAM, "container-entrypoint"),
        command=(),
        user=f"{USER}:0" if runs_as_root(base) else str(config["User"]),
        working_folder=str(config.get("WorkingDir") or home),
        labels=labels,
        created=created,
    )
