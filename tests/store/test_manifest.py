from __future__ import annotations

import json
import random
from dataclasses import fields, replace
from typing import Any

import pytest
from packaging.markers import Marker

from envman.errors import StoreError
from envman.names import name_problem
from envman.spec.declared import spec_digest
from envman.spec.project import Environment, ResourceLimits
from envman.store.manifest import (
    BaseInterpreter,
    Manifest,
    generation_identifier,
    options_digest,
    parse_manifest,
)

INTERPRETER = BaseInterpreter("CPython", "3.12.1", "linux-x86_64", "/usr/bin/python3.12", "123-456")
MANIFEST = Manifest(
    generation="3f9c2a7b10de",
    environment="env_a",
    created="2026-01-02T03:04:05+00:00",
    seconds=1.5,
    interpreter=INTERPRETER,
    lock="sha256:00",
    lock_text="sha256:01",
    options="sha256:02",
    spec="sha256:03",
    files="sha256:04",
    file_count=3,
    size=4096,
    packages={"pandas": "2.2.3"},
    tools={"uv": "0.9.0"},
)
ENVIRONMENT = Environment(
    name="env_a",
    file="environments/env_a.toml",
    requires_python="==3.12.*",
    platforms=("linux-x86_64",),
    dependencies=("pandas",),
    check_imports=("pandas",),
    check_commands=(("python", "-V"),),
)


def test_a_manifest_reads_back_as_it_was() -> None:
    assert parse_manifest(MANIFEST.to_json(), "envman.json") == MANIFEST


def test_a_manifest_is_json_with_its_format_and_a_newline() -> None:
    text = MANIFEST.to_json()
    assert text.endswith("}\n")
    data = json.loads(text)
    assert data["format"] == 1
    assert data["interpreter"]["version"] == "3.12.1"


def altered(**changes: Any) -> str:
    return json.dumps({**json.loads(MANIFEST.to_json()), **changes})


def without(key: str) -> str:
    return json.dumps({k: v for k, v in json.loads(MANIFEST.to_json()).items() if k != key})


@pytest.mark.parametrize(
    "text",
    [
        "",
        MANIFEST.to_json()[:-10],
        "[]",
        "1",
        "null",
        "{}",
        altered(format=2),
        altered(more=1),
        altered(interpreter=[]),
        altered(interpreter={"version": "3.12.1"}),
        without("packages"),
        without("format"),
    ],
)
def test_what_is_no_manifest_of_ours_is_refused_with_its_file(text: str) -> None:
    with pytest.raises(StoreError) as caught:
        parse_manifest(text, "/venv/.gen/a/envman.json")
    (problem,) = caught.value.problems
    assert problem.where == "/venv/.gen/a/envman.json"
    assert "envman build" in problem.remedy


def test_the_same_content_has_the_same_name_and_any_other_another() -> None:
    name = generation_identifier("sha256:00", INTERPRETER, "sha256:02")
    assert name == generation_identifier("sha256:00", replace(INTERPRETER, stamp="another"), "sha256:02")
    others = [
        generation_identifier("sha256:01", INTERPRETER, "sha256:02"),
        generation_identifier("sha256:00", INTERPRETER, "sha256:03"),
        generation_identifier("sha256:00", replace(INTERPRETER, implementation="PyPy"), "sha256:02"),
        generation_identifier("sha256:00", replace(INTERPRETER, version="3.12.2"), "sha256:02"),
        generation_identifier("sha256:00", replace(INTERPRETER, platform="linux-aarch64"), "sha256:02"),
        generation_identifier("sha256:00", replace(INTERPRETER, executable="/opt/python"), "sha256:02"),
    ]
    assert len({name, *others}) == 1 + len(others)


def test_a_generations_name_is_short_and_fits_into_a_path() -> None:
    name = generation_identifier("sha256:00", INTERPRETER, "sha256:02")
    assert len(name) == 12
    assert set(name) <= set("0123456789abcdef")
    assert name_problem(name) is None


@pytest.mark.parametrize(
    "change",
    [
        {"check_imports": ()},
        {"check_imports": ("numpy",)},
        {"check_commands": ()},
        {"check_commands": (("python", "-V", ""),)},
        {"check_commands": (("python -V",),)},
        {"check_commands": (("python",), ("-V",))},
        {"check_imports": ("pandas", "numpy")},
    ],
)
def test_other_checks_are_another_generation(change: dict[str, Any]) -> None:
    other = replace(ENVIRONMENT, **change)
    assert options_digest(other) != options_digest(ENVIRONMENT)
    assert spec_digest(other) != spec_digest(ENVIRONMENT)


@pytest.mark.parametrize(
    "change",
    [
        {"warm": False},
        {"preload": ("pandas",)},
        {"user": "team_a", "group": "team_a"},
        {"limits": ResourceLimits(memory=2**30, cpu=1.5, pids=200)},
        {"passed": ("MY_*",)},
    ],
)
def test_how_workloads_run_does_not_make_another_generation(change: dict[str, Any]) -> None:
    other = replace(ENVIRONMENT, **change)
    assert options_digest(other) == options_digest(ENVIRONMENT)
    assert spec_digest(other) != spec_digest(ENVIRONMENT)


def test_what_only_exec_needs_does_not_make_another_generation() -> None:
    other = replace(ENVIRONMENT, set_variables={"TZ": "UTC"}, keep_out=("AWS_*",), name="env_b")
    assert options_digest(other) == options_digest(ENVIRONMENT)
    assert spec_digest(other) != spec_digest(ENVIRONMENT)


@pytest.mark.parametrize(
    ("marker", "applies"),
    [
        ("python_version == '3.12'", True),
        ("python_full_version == '3.12.1'", True),
        ("python_full_version < '3.12.1'", False),
        ("implementation_name == 'cpython' and implementation_version >= '3.12'", True),
        ("platform_python_implementation == 'PyPy'", False),
        ("extra == 'excel'", False),
    ],
)
def test_markers_are_answered_by_that_interpreter_and_not_by_this_one(marker: str, applies: bool) -> None:
    assert Marker(marker).evaluate(dict(INTERPRETER.marker_environment())) is applies


@pytest.mark.parametrize(
    "marker",
    [
        "python_version == '3.8'",
        "python_full_version == '3.8.1'",
        "implementation_name == 'graalpy'",
        "implementation_version == '3.8.1'",
        "platform_python_implementation == 'GraalPy'",
    ],
)
def test_another_interpreter_has_other_answers(marker: str) -> None:
    other = replace(INTERPRETER, version="3.8.1", implementation="GraalPy")
    assert Marker(marker).evaluate(dict(other.marker_environment()))
    assert not Marker(marker).evaluate(dict(INTERPRETER.marker_environment()))


def test_an_interpreter_is_called_as_people_call_it() -> None:
    assert INTERPRETER.describe() == "CPython 3.12.1"


WRONG_TYPES = {
    "a number": 1,
    "a fraction": 1.5,
    "nothing": None,
    "a list": [],
    "a truth": True,
    "a mapping of numbers": {"pandas": 2},
    "a mapping of lists": {"pandas": []},
    "a text": "text",
}


@pytest.mark.parametrize("key", [field.name for field in fields(Manifest)])
@pytest.mark.parametrize("value", WRONG_TYPES.values(), ids=WRONG_TYPES)
def test_a_value_of_another_type_is_refused(key: str, value: Any) -> None:
    fits = {"seconds": (int, float), "file_count": int, "size": int}.get(key, str)
    if key not in {"interpreter", "packages", "tools"} and isinstance(value, fits):
        assert getattr(parse_manifest(altered(**{key: value}), "envman.json"), key) == value
        return
    with pytest.raises(StoreError):
        parse_manifest(altered(**{key: value}), "envman.json")


def test_thousands_of_damaged_manifests_are_refused_or_of_the_right_types() -> None:
    chance = random.Random(15)
    text = MANIFEST.to_json()
    refused = 0
    for _ in range(2000):
        at = chance.randrange(len(text))
        word = chance.choice(
            ["", "0", "9" * 400, "1e999", "NaN", "null", "[]", "{}", '"', "}", "[" * 99_999, "-"]
        )
        try:
            read = parse_manifest(text[:at] + word + text[at + chance.randrange(9) :], "envman.json")
        except StoreError:
            refused += 1
            continue
        assert parse_manifest(read.to_json(), "envman.json") == read or "NaN" in read.to_json()
        assert {*map(type, read.packages.values())} <= {str}
    assert 1000 < refused < 2000
