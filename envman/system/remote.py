"""Read what is at a URL. Proxies come from the usual variables, certificates from SSL_CERT_FILE."""

from __future__ import annotations

import errno
import hashlib
import http.client
import netrc
import os
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

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


def fetch_file(url: str, target: BinaryIO, most: int, account: tuple[str, str] | None = None) -> str:
    """Write the file at an http, https or file URL to an open file; returns its SHA-256 in hexadecimal.

    `account` are a user and a password for that host (RFC 7617); without them netrc counts. Raises OSError,
    also for a file of more than `most` bytes, and LockError for a damaged netrc.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https", "file"}:
        raise OSError(errno.EPROTONOSUPPORT, f"'{parts.scheme}' is no way to fetch a file")
    request = urllib.request.Request(url, headers={"User-Agent": f"envman/{__version__}"})  # noqa: S310
    if account:
        request.add_unredirected_header("Authorization", _basic(*account))
    elif parts.scheme != "file" and (authorization := _authorization(url)):
        request.add_unredirected_header("Authorization", authorization)
    ended: list[bool] = []

    def read() -> str:
        digest, size = hashlib.sha256(), 0
        with _opened(request, parts.path if parts.scheme == "file" else "") as source:
            while not ended and (block := source.read(1 << 20)):
                size += len(block)
                if size > most:
                    raise OSError(errno.EFBIG, f"is larger than {most} bytes")
                digest.update(block)
                target.write(block)
            if getattr(source, "length", None):
                raise OSError(errno.EIO, "the server's answer breaks off")
        return digest.hexdigest()

    try:
        return CHILDREN.abandonable(read)
    except urllib.error.HTTPError as error:
        error.close()
        raise
    except http.client.HTTPException as error:
        raise OSError(errno.EIO, f"the server's answer breaks off: {error!r}") from None
    finally:
        ended.append(True)  # a thread that nobody waits for any more fetches no further


def _opened(request: urllib.request.Request, file: str) -> BinaryIO | http.client.HTTPResponse:
    if file:
        return Path(unquote(file)).open("rb")
    found: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310
    return found


def _basic(user: str, password: str | None) -> str:
    return "Basic " + b64encode(f"{user}:{password or ''}".encode()).decode()


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
    return None if found is None else _basic(found[0], found[2])
