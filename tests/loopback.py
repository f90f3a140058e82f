"""Holds the lane `unit` to what it promises: no connection from this process leaves the machine."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import sys
from collections.abc import Iterator
from typing import Any

CONNECTING = ("socket.connect", "socket.sendto", "socket.sendmsg")
RESOLVING = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")

_watches: list[list[str]] = []


@contextlib.contextmanager
def only() -> Iterator[list[str]]:
    """Refuse, by OSError, to connect to another machine or to look its name up; yields what was refused."""
    _hook()
    refused: list[str] = []
    _watches.append(refused)
    try:
        yield refused
    finally:
        _watches.remove(refused)


@functools.cache  # once: Python has no way to take an audit hook away
def _hook() -> None:
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches or not event.startswith("socket."):
        return
    if event in CONNECTING:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # else a path, a Unix socket's
    elif event in RESOLVING:
        host = arguments[0]
    else:
        return
    if host is not None and not _is_here(host):
        _watches[-1].append(f"{event} {host}")
        raise ConnectionRefusedError(f"{host} is another machine, and the lane `unit` needs no network")


def _is_here(host: str | bytes) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
