from __future__ import annotations

import pytest

from envman.errors import ExitCode, LockError, UnsatisfiableError
from envman.spec.inputs import Inputs
from envman.system.processes import Finished
from envman.uv.messages import last_words, remedy_for, resolution_error

CONFLICT = """\
error: No solution found when resolving dependencies
  cause: Because all versions of frame depend on grid<2 and you require grid>=2, we can conclude that your requirements and all versions of frame are incompatible.
         And because you require frame, we can conclude that your requirements are unsatisfiable.
"""
OLDER_CONFLICT = """\
  × No solution found when resolving dependencies:
  ╰─▶ Because only frame==1.0 is available and frame==1.0 depends on grid<2, we
      can conclude that all versions of frame depend on grid<2.
      And because you require grid>=2 and frame, we can conclude that your
      requirements are unsatisfiable.
"""
OFFLINE = """\
error: No solution found when resolving dependencies
  cause: Because frame was not found in the cache and you require frame, we can conclude that your requirements are unsatisfiable.

hint: Packages were unavailable because the network was disabled. When the network is disabled, registry packages may only be read from the cache.
"""
OLDER_OFFLINE = """\
  × No solution found when resolving dependencies:
  ╰─▶ Because frame was not found in the cache and you require frame, we can
      conclude that your requirements are unsatisfiable.

      hint: Packages were unavailable because the network was disabled. When
      the network is disabled, registry packages may only be read from the
      cache.
"""
NO_CREDENTIALS = """\
error: No solution found when resolving dependencies
  cause: Because frame was not found in the package registry and you require frame==1.0, we can conclude that your requirements are unsatisfiable.

hint: An index URL (https://index.example/main) could not be queried due to a lack of valid authentication credentials (401 Unauthorized)
"""
NOT_IN_WHEELHOUSE = """\
error: No solution found when resolving dependencies
  cause: Because frame was not found in the provided package locations and you require frame==1.0, we can conclude that your requirements are unsatisfiable.
"""
OLDER_NOT_IN_WHEELHOUSE = """\
  × No solution found when resolving dependencies:
  ╰─▶ Because apache-airflow-providers-frame was not found in the provided
      package locations and you require apache-airflow-providers-frame, we can
      conclude that your requirements are unsatisfiable.
"""
WRONG_HASH = """\
Using Python 3.12.1 environment at: /venv/.gen/3f9c2a7b10de
Resolved 1 package in 11ms
error: Failed to download `frame==1.0`
  cause: Hash mismatch for `frame==1.0`

         Expected:
           sha256:0000000000000000000000000000000000000000000000000000000000000000

         Computed:
           sha256:2d5cae41fb3b3ce2eb5e61edc874d434d3eef67ac9bdc89b06f28d21242c9ff4
"""
NO_NETWORK = """\
error: Request failed after 3 retries in 10.8s
  cause: Failed to fetch: https://index.example/main/frame/
  cause: error sending request for url (https://index.example/main/frame/)
  cause: client error (Connect)
  cause: tcp connect error
  cause: Connection refused (os error 111)
"""
FULL = """\
Resolved 1 package in 1ms
error: Failed to install: frame-1.0-py3-none-any.whl (frame==1.0)
  cause: failed to copy file from /cache/frame.py to /venv/frame.py: No space left on device (os error 28)
"""
FORBIDDEN = """\
error: Failed to fetch: https://index.example/main/frame/
  cause: HTTP status client error (403 Forbidden) for url (https://index.example/main/frame/)
"""

INPUTS = Inputs("env_a", "==3.11.*", (), None, {})


def failed(stderr: str, stdout: str = "") -> Finished:
    return Finished(1, stdout, stderr)


@pytest.mark.parametrize("stderr", [CONFLICT, OLDER_CONFLICT])
def test_requirements_that_conflict_are_unsatisfiable_with_uvs_reasons(stderr: str) -> None:
    error = resolution_error(INPUTS, failed(stderr))
    assert isinstance(error, UnsatisfiableError)
    assert error.exit_code == ExitCode.UNSATISFIABLE
    (problem,) = error.problems
    assert problem.where == "environment 'env_a'"
    assert "No solution found" in problem.what
    assert "And because you require" in problem.what
    assert "override" in problem.remedy


@pytest.mark.parametrize(
    ("stderr", "word"),
    [
        (OFFLINE, "--offline"),
        (OLDER_OFFLINE, "--offline"),
        (NO_CREDENTIALS, "credentials"),
        (NO_NETWORK, "network"),
        (FULL, "disk is full"),
    ],
)
def test_a_resolution_that_lacks_its_files_is_not_called_a_conflict(stderr: str, word: str) -> None:
    error = resolution_error(INPUTS, failed(stderr))
    assert isinstance(error, LockError)
    (problem,) = error.problems
    assert problem.where == "environment 'env_a'"
    assert "uv could not resolve it" in problem.what
    assert word in problem.remedy


@pytest.mark.parametrize("stderr", [NOT_IN_WHEELHOUSE, OLDER_NOT_IN_WHEELHOUSE])
def test_a_package_that_no_wheelhouse_has_is_not_blamed_on_the_requirements(stderr: str) -> None:
    (problem,) = resolution_error(INPUTS, failed(stderr)).problems
    assert "envman wheelhouse" in problem.remedy


@pytest.mark.parametrize(
    ("stderr", "word"),
    [
        (WRONG_HASH, "not the one that was locked"),
        (OFFLINE, "--offline"),
        (OLDER_OFFLINE, "--offline"),
        (NO_CREDENTIALS, "credentials"),
        (FORBIDDEN, "credentials"),
        (NOT_IN_WHEELHOUSE, "envman wheelhouse"),
        (OLDER_NOT_IN_WHEELHOUSE, "envman wheelhouse"),
        (NO_NETWORK, "network"),
        (FULL, "disk is full"),
        ("error: Permission denied (os error 13)\n", "Let this user write"),
        ("error: something new\n", "uv's message above"),
        ("", "uv's message above"),
    ],
)
def test_what_helps_is_said_as_far_as_uvs_words_tell(stderr: str, word: str) -> None:
    assert word in remedy_for(failed(stderr))


def test_the_error_is_shown_without_what_went_before() -> None:
    words = last_words(failed(WRONG_HASH))
    assert words.startswith("error: Failed to download `frame==1.0`\n")
    assert "Resolved" not in words
    assert words.endswith("242c9ff4")


def test_all_lines_of_the_error_are_indented() -> None:
    first, *others = last_words(failed(CONFLICT)).splitlines()
    assert first == "error: No solution found when resolving dependencies"
    assert all(line.startswith("  ") for line in others)
    assert len(others) == 2


@pytest.mark.parametrize("stderr", [OFFLINE, OLDER_OFFLINE])
def test_uvs_hints_are_left_out(stderr: str) -> None:
    words = last_words(failed(stderr))
    assert "hint:" not in words
    assert "\n" in words
    assert words == words.rstrip()


@pytest.mark.parametrize(
    ("finished", "expected"),
    [
        (Finished(2, "on standard output\n", " \n"), "on standard output"),
        (
            Finished(2, "ignored", "warning: odd\nno sign of an error\n"),
            "warning: odd\n  no sign of an error",
        ),
        (Finished(137, "", ""), "exit code 137"),
    ],
)
def test_where_uv_says_no_error_its_last_words_are_all_that_there_is(
    finished: Finished, expected: str
) -> None:
    assert last_words(finished) == expected


BECAUSE = (
    "  × No solution found when resolving dependencies:\n  ╰─▶ Because grid==1.0 requires Python {0} and only"
)


@pytest.mark.parametrize(
    ("wanted", "remedy"),
    [
        (">=3.11.5", 'Set requires-python = "==3.11.*,>=3.11.5", as'),
        (">=3.9, !=3.11.2", 'Set requires-python = "==3.11.*,>=3.9,!=3.11.2", as'),
        (">=3.12", "Change one of the requirements named or requires-python, or"),
        ("<3.8", "Change one of the requirements named or requires-python, or"),
    ],
)
def test_a_spec_that_allows_too_many_pythons_is_told_which_fit(wanted: str, remedy: str) -> None:
    (problem,) = resolution_error(INPUTS, failed(BECAUSE.format(wanted))).problems
    assert problem.remedy.startswith(remedy)


def test_what_is_too_new_is_named_with_the_key_that_lets_it_in() -> None:
    stderr = (
        "error: No solution found when resolving dependencies\n"
        "  cause: Because only grid<=1.0 is available and you require grid>=2, we can conclude that ...\n\n"
        "hint: `grid` was filtered by `exclude-newer` to only include packages uploaded before 2026-11-21.\n"
    )
    (problem,) = resolution_error(INPUTS, failed(stderr)).problems
    assert problem.remedy.endswith('exclude-newer, or add: exclude-newer-except = ["grid"]')
