"""Runs inside of a guest: does what the tests send over a serial line, and sends back what came of it.

    python agent.py           as a unit of systemd
    python agent.py --alone   in the place of systemd: the only process, which has envman imported already

A request is one line of JSON: `words` to run, or `code` for a fork of this process, and `timeout` in seconds.
Its answer are two lines: one as the work starts, one with the exit code and the output.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import tty
from typing import Any, BinaryIO, NoReturn

LINE = "/dev/ttyS0"
TIMED_OUT = 124
"""The exit code of what was ended since it took too long, as that of timeout(1)."""


def main() -> NoReturn:
    """Answer requests until the machine goes off."""
    if "--alone" in sys.argv:
        import envman.cli.app  # noqa: F401  # the forks have it
    descriptor = os.open(LINE, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(descriptor)
    with open(descriptor, "rb", buffering=0, closefd=False) as requests:
        _tell(descriptor, {"ready": True})
        buffer = b""
        while True:
            buffer += requests.read(65536)
            while b"\n" in buffer:
                line, _, buffer = buffer.partition(b"\n")
                _answer(descriptor, json.loads(line))


def _tell(descriptor: int, value: dict[str, Any]) -> None:
    content = json.dumps(value).encode() + b"\n"
    while content:
        content = content[os.write(descriptor, content) :]


def _answer(descriptor: int, request: dict[str, Any]) -> None:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        _tell(descriptor, {"started": True})
        run = _run_code if "code" in request else _run_words
        code = run(request, out, err)
        texts = [_text(out), _text(err)]
    _tell(descriptor, {"exit_code": code, "stdout": texts[0], "stderr": texts[1]})


def _text(stream: BinaryIO) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def _run_words(request: dict[str, Any], out: BinaryIO, err: BinaryIO) -> int:
    try:
        finished = subprocess.run(
            request["words"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=request["folder"],
            timeout=request["timeout"],
            check=False,
        )
    except subprocess.TimeoutExpired:
        return TIMED_OUT
    return finished.returncode


def _run_code(request: dict[str, Any], out: BinaryIO, err: BinaryIO) -> int:
    """Run Python in a fork, which has all modules of this process."""
    child = os.fork()
    if not child:
        signal.alarm(int(request["timeout"]) + 1)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        os.chdir(request["folder"])
        try:
            exec(compile(request["code"], "sent", "exec"), {"__name__": "__main__"})
        except SystemExit as error:
            _end(error.code)
        except BaseException:  # noqa: BLE001  # the fork must not go on as the agent
            sys.excepthook(*sys.exc_info())
            _end(1)
        _end(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _end(code: object) -> NoReturn:
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    main()
