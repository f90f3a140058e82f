from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from envman.airflow.ends import describe_end


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exited with 0"),
        (3, "exited with 3"),
        (255, "exited with 255"),
        (-11, "was ended by signal 11 (SIGSEGV)"),
        (-15, "was ended by signal 15 (SIGTERM)"),
        (-9, "was ended by signal 9 (SIGKILL); the system may have run out of memory"),
        (-signal.SIGRTMIN - 1, f"was ended by signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_an_exit_code_in_words(code: int, words: str) -> None:
    assert describe_end(code) == words


def test_the_end_of_a_real_process_in_words() -> None:
    for code, words in (("raise SystemExit(7)", "exited with 7"), ("os.abort()", "by signal 6 (SIGABRT)")):
        ended = subprocess.run([sys.executable, "-c", f"import os; {code}"], check=False, timeout=300)
        assert describe_end(ended.returncode).endswith(words)


def test_an_enumerated_signal_is_told_by_its_number() -> None:
    assert describe_end(-signal.SIGINT) == "was ended by signal 2 (SIGINT)"
