"""Run a bundle's own tests by the pytest of this interpreter, and remove the folder that was made for them.

    python run.py bundle_tests '{"home": "/tmp/x", "path": "/dags", "arguments": ["-x"]}'

pytest runs in a fork, in the same process group: the terminal and its keys are its own. This process waits,
hands on what others signal, removes the folder, and ends as pytest did. The request is a TestsRequest.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from envman.inside.bundle_code import share

if TYPE_CHECKING:
    from types import FrameType

    from envman.inside.reports import TestsRequest

NO_TESTS = 5
"""pytest's exit code where it has found no test."""

_THE_TERMINALS = (signal.SIGINT, signal.SIGQUIT)
_HANDED_ON = (signal.SIGTERM, signal.SIGHUP)


def main(words: list[str]) -> NoReturn:
    """Run the tests, and end as pytest does."""
    request: TestsRequest = json.loads(words[0])
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_THE_TERMINALS, *_HANDED_ON})
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_THE_TERMINALS, *_HANDED_ON})
        _test(request)

    def hand_on(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in _THE_TERMINALS:
        signal.signal(number, signal.SIG_IGN)
    for number in _HANDED_ON:
        signal.signal(number, hand_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_THE_TERMINALS, *_HANDED_ON})
    status = os.waitpid(child, 0)[1]
    shutil.rmtree(request["home"], ignore_errors=True)
    if os.WIFSIGNALED(status):
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    code = os.WEXITSTATUS(status)
    sys.exit(0 if code == NO_TESTS and not request["arguments"] else code)


def _test(request: TestsRequest) -> NoReturn:
    pytest = importlib.import_module("pytest")  # the overlay's, or the environment's
    share(request["shared"], request["path"])
    sys.path.append(request["path"])  # as the Dag processor does
    sys.argv[:] = ["pytest", *request["arguments"]]
    sys.exit(pytest.main(request["arguments"]))
