"""Fork servers start a few at a time, in the order in which they are wanted; who has a server goes ahead.

A start takes one and a half seconds of a processor. Two hundred at once would have everybody wait for the
last of them, and so would the component, which gets no more of the processors than each of them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from functools import partial
from selectors import EVENT_READ, BaseSelector
from socket import socket

from envman.airflow.bundle_interpreter import BundleInterpreter, of_bundle
from envman.airflow.server_client import ServerClient
from envman.errors import EnvmanError

SLOW_START = 15.0
"""Seconds after which a server that is still starting keeps nobody else from it: a team's import may hang."""


class ServerStarts:
    """Which bundles' workloads may begin, as their server is there; those of others are started in turns.

    `at_once` is how many start at the same time. Nothing here waits.
    """

    def __init__(
        self,
        selector: BaseSelector,
        at_once: int | None = None,
        find: Callable[[str], BundleInterpreter] = of_bundle,
    ) -> None:
        """`selector` calls what is registered in it, as Airflow's manager has its own do."""
        self._selector = selector
        self._at_once = at_once or starts_at_once()
        self._find = find
        self._keys: dict[str, str] = {}
        """By bundle: the server that it has waited for last, or waits for."""
        self._starting: dict[str, float] = {}
        """Servers that this process has started, until they answer, and when they are given up."""
        self._asked: dict[str, float] = {}
        """The same of servers that were there already: they may be just starting, too."""
        self._behind: set[str] = set()
        """Servers that are to be started once it is their turn."""
        self._locked: set[str] = set()
        """Servers whose lock somebody else has kept."""

    def is_ready(self, bundle: str) -> bool:
        """Whether a workload of the bundle may begin: its server takes it at once, or it has none.

        Else its server is started, if it is its turn. Where none can be had the workload begins as well: it
        starts an interpreter, and says why.
        """
        self._give_up_the_slow()
        key = self._keys.get(bundle, "")
        if key in self._starting or key in self._asked or (key in self._behind and self._is_full()):
            return False
        try:
            with contextlib.closing(self._find(bundle)) as interpreter:
                return not interpreter.runtime.warm or self._answers(bundle, ServerClient(interpreter))
        except (EnvmanError, OSError):
            return True

    def _answers(self, bundle: str, server: ServerClient) -> bool:
        """Whether the server has answered; else it is asked, or started, if it is its turn."""
        known = self._keys.get(bundle) == server.key
        self._keys[bundle] = server.key
        self._behind.discard(server.key)
        if server.key in self._starting or server.key in self._asked:
            return False
        waiting = self._asked
        if (connection := server.listening()) is None:
            if self._is_full():
                self._behind.add(server.key)
                return False
            waiting = self._starting
            try:
                connection = server.started(waits=False)
            except BlockingIOError:  # somebody else starts it, or keeps its lock
                return self._was_locked(server.key)
        elif known:
            connection.close()
            return True
        until = waiting[server.key] = time.monotonic() + SLOW_START
        server.ask_for_status(connection)
        let_go = partial(self._let_go, server.key, until)
        self._selector.register(connection, EVENT_READ, (_answered, let_go))
        return False

    def _was_locked(self, key: str) -> bool:
        """Whether a server's lock was held before: then the workload waits for it itself, and says so."""
        if key in self._locked:
            self._locked.discard(key)
            return True
        self._locked.add(key)
        self._asked[key] = time.monotonic() + SLOW_START
        return False

    def _is_full(self) -> bool:
        return len(self._starting) >= self._at_once

    def _let_go(self, key: str, until: float, connection: socket) -> None:
        """It has answered, or ended: in either case whoever waits for it looks again."""
        self._selector.unregister(connection)
        for waiting in (self._starting, self._asked):
            if waiting.get(key) == until:  # else it was given up, and started again since
                del waiting[key]

    def _give_up_the_slow(self) -> None:
        now = time.monotonic()
        for waiting in (self._starting, self._asked):
            for key in [key for key, until in waiting.items() if until <= now]:
                del waiting[key]


def starts_at_once() -> int:
    """How many servers start at the same time: one for each processor that this process may use."""
    return len(os.sched_getaffinity(0))


def _answered(connection: socket) -> bool:
    """Take whatever there is: the first of it says enough."""
    with contextlib.suppress(OSError):
        connection.recv(1)
    return False
