"""What an image's build may know and the image must not: credentials and certificates, as files to mount."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from envman.image.containerfile import CERTIFICATES, NETRC, UV_CONFIG, VARIABLES
from envman.uv.indexes import pip_index_environment, uv_configurations

_PASSED = re.compile(
    r"UV_(DEFAULT_INDEX|INDEX|EXTRA_INDEX_URL|NO_INDEX|FIND_LINKS|INSECURE_HOST|NATIVE_TLS|HTTP_).*"
    r"|UV_(CONCURRENT_|REQUEST_|KEYRING_|OFFLINE).*"
    r"|PIP_(INDEX_URL|EXTRA_INDEX_URL|NO_INDEX|FIND_LINKS|TRUSTED_HOST|DEFAULT_TIMEOUT|RETRIES)"
    r"|(http|https|all|no)_proxy|(HTTP|HTTPS|ALL|NO)_PROXY"
)
"""Variables that say where packages come from and how they are reached."""

_PLACES = re.compile(r"(UV|PIP)_FIND_LINKS")


def write_build_secrets(folder: Path, environ: Mapping[str, str], config: str | None) -> dict[str, Path]:
    """The secrets that there are, by the names that a Containerfile of envman mounts them under.

    Files that are there stay where they are; the variables are written into a folder, which has to be its
    owner's alone, with a name that no other build's has. `config` is the deployment's uv.toml.
    Raises OSError, SpecError.
    """
    netrc = environ.get("NETRC") or os.path.expanduser("~/.netrc")  # noqa: PTH111
    files = {
        NETRC: netrc,
        UV_CONFIG: next(iter(uv_configurations(environ, None)), ""),
        CERTIFICATES: environ.get("SSL_CERT_FILE", ""),
    }
    secrets = {name: Path(path) for name, path in files.items() if path and Path(path).is_file()}
    variables = folder / VARIABLES
    variables.touch(mode=0o600)
    marked = f"# of {folder.name}\n{variables_text(environ, config)}"  # no other build's are the same
    variables.write_text(marked, encoding="utf-8")
    return {**secrets, VARIABLES: variables}


def variables_text(environ: Mapping[str, str], config: str | None) -> str:
    """The variables as a shell reads them: uv's own, and for pip, which installs envman, the same indexes."""
    passed = {
        name: value
        for name, value in sorted(pip_index_environment(environ, config).items())
        if _PASSED.fullmatch(name) and not (_PLACES.fullmatch(name) and _is_local(value))
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in passed.items())


def _is_local(value: str) -> bool:
    """Whether it names folders of this machine, which a build does not see."""
    return any(urlsplit(word).scheme in {"", "file"} for word in value.replace(",", " ").split())
