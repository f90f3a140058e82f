from __future__ import annotations

import json
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from envman.errors import EnvmanError, ExitCode
from envman.packages.audit_report import Advisory, failure, parse_report, question

PINS = {("frame", "1.5"), ("frame", "2.2"), ("grid", "1.0")}


def vulnerability(identifier: str, *aliases: str, fixed: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"id": identifier, "aliases": list(aliases), "fix_versions": list(fixed), "description": "Bad."}


def report(*entries: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(entries), "fixes": []})


def entry(name: str, version: str, *vulnerabilities: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": version, "vulns": list(vulnerabilities)}


def test_the_question_names_each_version_of_a_package() -> None:
    assert tomli.loads(question(PINS)) == {
        "lock-version": "1.0",
        "created-by": "envman",
        "packages": [
            {"name": "frame", "version": "1.5"},
            {"name": "frame", "version": "2.2"},
            {"name": "grid", "version": "1.0"},
        ],
    }


def test_advisories_are_read_sorted_with_the_lock_s_spelling_of_a_version() -> None:
    text = report(
        entry("Grid", "1.0", vulnerability("PYSEC-2", "CVE-9", "CVE-1", fixed=("1.1", "2.0"))),
        entry("frame", "2.2"),
        entry("frame", "1.5", vulnerability("PYSEC-1")),
    )
    spelled = {("frame", "1.5.0"), ("frame", "2.2"), ("grid", "1.0")}
    found = parse_report(text.replace('"1.5"', '"1.5.0"'), spelled)
    assert found.advisories == (
        Advisory("frame", "1.5.0", "PYSEC-1", (), (), "Bad."),
        Advisory("grid", "1.0", "PYSEC-2", ("CVE-1", "CVE-9"), ("1.1", "2.0"), "Bad."),
    )
    assert found.unknown == ()


def test_a_package_that_the_database_does_not_know_is_said() -> None:
    skipped = {"name": "frame", "skip_reason": "not found"}
    assert parse_report(report(skipped, skipped, entry("grid", "1.0")), PINS).unknown == ("frame",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"dependencies": 1}',
        '{"dependencies": ["frame"]}',
        report(entry("frame", "1.5"), entry("grid", "1.0")),
        report(entry("other", "1.0", vulnerability("PYSEC-1"))),
        report({"name": "frame", "version": "1.5", "vulns": [{"id": "PYSEC-1"}]}),
        report(*({"name": name, "skip_reason": "not found"} for name in ("frame", "grid"))),
    ],
)
def test_a_report_that_is_none_or_leaves_something_out_is_no_all_clear(text: str) -> None:
    with pytest.raises(EnvmanError, match="no answer that can be used") as caught:
        parse_report(text, PINS)
    assert caught.value.exit_code == ExitCode.FAILED


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["dependencies", "name", "version", "vulns", "id"]), inner)
        ),
    )
)
def test_no_answer_makes_it_crash(data: Any) -> None:
    with pytest.raises(EnvmanError):
        parse_report(json.dumps(data), PINS)


REFUSED = """\
Traceback (most recent call last):
  File "connection.py", line 9, in connect
ConnectionRefusedError: [Errno 111] Connection refused

The above exception was the direct cause of the following exception:

requests.exceptions.ConnectionError: HTTPConnectionPool(host='127.0.0.1', port=9): Max retries exceeded
"""
ANSWERED = """\
Traceback (most recent call last):
requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: http://127.0.0.1/v1/query

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
pip_audit._service.interface.ServiceError
"""


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (REFUSED, "can't be reached: [Errno 111] Connection refused"),
        (
            "ERROR:pip_audit._cli:Could not connect to OSV's vulnerability feed\nERROR:Tip: ...\n",
            "can't be reached: Could not connect to OSV",
        ),
        ("requests.exceptions.ReadTimeout: Read timed out.\n", "can't be reached: Read timed out."),
        (ANSWERED, "it answered 503 Server Error"),
        ("requests.exceptions.JSONDecodeError: Expecting value: line 1\n", "used: Expecting value: line 1"),
        ("__main__.py: error: unrecognized arguments: --locked\n", "unrecognized arguments: --locked"),
        ("", "pip-audit said nothing"),
    ],
)
def test_the_first_cause_of_a_failure_is_told(stderr: str, words: str) -> None:
    problem = failure(stderr).problems[0]
    assert words in problem.what
    assert problem.remedy
