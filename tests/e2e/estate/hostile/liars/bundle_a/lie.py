"""What a workload says to its component: streams that the test has written (tests/door/streams.py)."""

import base64
import json
import os
import threading
import time
from pathlib import Path

from airflow.triggers.base import BaseTrigger

NOTES = Path(os.environ["E2E_NOTES"])
SOCKETS = {"requests": 0, "stdout": 1, "stderr": 2, "logs": 101}
LONG_ENOUGH = 10
"""Seconds after which what is not read will not be read."""


def lie(kind, name):
    """Say it, and do what comes then: go on, end, or stay until the honest ones are done."""
    told = json.loads((NOTES / f"streams/{kind}/{name}.json").read_text())
    sayings = [
        threading.Thread(target=say, args=(SOCKETS[socket], base64.b64decode(content)), daemon=True)
        for socket, content in told["streams"].items()
    ]
    for saying in sayings:
        saying.start()
    for saying in sayings:
        saying.join(LONG_ENOUGH)
    (NOTES / f"lied_{kind}_{name}").touch()
    if told["then"] == "ends":
        os._exit(0)
    while told["then"] == "stays" and not (NOTES / "the honest are done").exists():
        time.sleep(0.1)


def say(descriptor, content):
    """Write all of it, to a socket that may be full."""
    while content:
        try:
            content = content[os.write(descriptor, content) :]
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            return


def alert(name, context=None):
    """A deadline's callback."""
    lie("callback", name)


class Lies(BaseTrigger):
    """A trigger that lies as soon as it runs."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def serialize(self):
        return ("lie.Lies", {"name": self.name})

    async def run(self):
        lie("triggers", self.name)
        yield None
