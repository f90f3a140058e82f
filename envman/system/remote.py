"""Read a constraints URL. Proxies come from the usual variables, certificates from SSL_CERT_FILE."""

from __future__ import annotations

import netrc
import os
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

from envman import __version__
from envman.errors import LockError, Problem
from envman.system.children import CHILDREN

TIMEOUT = 30.0
"""Seconds without an answer after which a server counts as unreachable."""
LARGEST = 16 * 1024 * 1024
"""Bytes; a constraints file has some tens of kilobytes."""


def fetch_text(url: str) -> str:
    """The text at an http or https URL; raises LockError naming the URL and the reason."""
    request = urllib.request.Request(url, headers={"User-Agent": f"envman/{__version__}"})  # noqa: S310 - the spec admits http and https only
    if authorization := _authorization(url):
        request.add_unredirected_header("Authorization", authorization)  # never to another host

    def read() -> bytes:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
            return bytes(response.read(LARGEST + 1))

    try:
        data = CHILDREN.abandonable(read)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        remedy = (
            "Check the address, the proxy and the network; a copy of the file in the project works offline."
        )
        raise LockError(Problem(url, f"the constraints can't be read: {reason}", remedy)) from None
    if len(data) > LARGEST:
        raise LockError(Problem(url, f"holds more than {LARGEST} bytes", "Name a constraints file."))
    return data.decode("utf-8", errors="replace")


def _authorization(url: str) -> str | None:
    """Basic authentication (RFC 7617) from the user's netrc file, if it names the host."""
    host = urlsplit(url).hostname
    path = Path(os.environ.get("NETRC") or os.path.expanduser("~/.netrc"))  # noqa: PTH111  # also without a home
    if not host or not path.is_file():
        return None
    try:
        found = netrc.netrc(str(path)).authenticators(host)
    except netrc.NetrcParseError as error:
        where = f"{path}:{error.lineno}"
        raise LockError(
            Problem(where, "is not valid in a netrc file", "Correct the line, or set NETRC.")
        ) from None
    return None if found is None else "Basic " + b64encode(f"{found[0]}:{found[2]}".encode()).decode()
