"""Asking the fork servers whose sockets stand in a folder."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from typing import Any


def statuses(folder: Path) -> list[dict[str, Any]]:
    """What each running fork server says of itself; none where there is no folder."""
    found = []
    for path in sorted(folder.glob("*.sock")):
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(ConnectionError):
            connection.settimeout(10)
            connection.connect(str(path))
            connection.sendall(b'{"ask": "status"}\n')
            found.append(json.loads(connection.makefile().readline()))
    return found
