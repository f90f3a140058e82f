from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.resolver.variables import child_environment
from tests.strategies import free_text, law

BIN = "/venv/.gen/3f9c2a7b10de/bin"


def child(
    caller: dict[str, str], keep_out: tuple[str, ...] = (), variables: dict[str, str] | None = None
) -> dict[str, str]:
    return child_environment(caller, BIN, keep_out, variables or {})


def test_a_process_is_in_its_generation() -> None:
    result = child({"PATH": "/usr/bin:/bin", "HOME": "/root"})
    assert result == {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "VIRTUAL_ENV": "/venv/.gen/3f9c2a7b10de",
        "HOME": "/root",
    }


def test_without_a_path_the_system_has_one() -> None:
    assert child({})["PATH"] == f"{BIN}:/usr/local/bin:/usr/bin:/bin"


@pytest.mark.parametrize("virtual_env", ["/home/a/venv", "/home/a/venv/"])
@pytest.mark.parametrize("entry", ["/home/a/venv/bin", "/home/a/venv/bin/"])
def test_the_environment_that_the_caller_is_in_leaves_the_path(virtual_env: str, entry: str) -> None:
    result = child({"PATH": f"{entry}:/usr/bin:{entry}", "VIRTUAL_ENV": virtual_env})
    assert result["PATH"] == f"{BIN}:/usr/bin"
    assert result["VIRTUAL_ENV"] == "/venv/.gen/3f9c2a7b10de"


def test_another_environment_on_the_path_stays() -> None:
    result = child({"PATH": "/opt/tools/bin:/usr/bin", "VIRTUAL_ENV": "/home/a/venv"})
    assert result["PATH"] == f"{BIN}:/opt/tools/bin:/usr/bin"


def test_the_generation_stands_on_the_path_once() -> None:
    assert child({"PATH": f"/usr/bin:{BIN}/:{BIN}"})["PATH"] == f"{BIN}:/usr/bin"


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("AWS_*", {"AWS_KEY", "AWS_"}),
        ("AWS_KEY", {"AWS_KEY"}),
        ("AWS", set()),
        ("AWS*", {"AWS_KEY", "AWS_"}),
        ("*", {"AWS_KEY", "AWS_", "LANG"}),
        ("aws_*", set()),
    ],
)
def test_what_is_kept_out_is_gone_and_nothing_else(pattern: str, gone: set[str]) -> None:
    caller = {"AWS_KEY": "secret", "AWS_": "x", "LANG": "C", "PATH": "/bin"}
    assert set(caller) - set(child(caller, (pattern,))) == gone


def test_what_the_spec_sets_wins_over_the_caller_and_over_what_is_kept_out() -> None:
    result = child({"TZ": "CET", "AWS_REGION": "x"}, ("AWS_*",), {"TZ": "UTC", "AWS_REGION": "eu"})
    assert (result["TZ"], result["AWS_REGION"]) == ("UTC", "eu")


DROPPED = {"PYTHONHOME", "PYTHONPATH", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"}
NAMES = [*sorted(DROPPED), "PATH", "VIRTUAL_ENV", "HOME", "AWS_KEY", "AWS_ID", "TZ"]
FOLDERS = ["/bin", "/usr/bin/", "", ".", "/home/a/venv/bin", "/home/a/venv/bin/", "/home/a/venv/bin2", BIN]
paths = st.lists(st.sampled_from(FOLDERS), min_size=1, max_size=5).map(":".join)
callers = st.fixed_dictionaries(
    {}, optional={name: paths if name == "PATH" else free_text for name in NAMES if name != "VIRTUAL_ENV"}
).flatmap(
    lambda caller: st.sampled_from(
        [caller, {**caller, "VIRTUAL_ENV": "/home/a/venv"}, {**caller, "VIRTUAL_ENV": ""}]
    )
)
patterns = st.lists(st.sampled_from(["AWS_*", "AWS_ID", "HOME", "P*", "*"]), max_size=2).map(tuple)
settings = st.dictionaries(st.sampled_from(["TZ", "AWS_KEY", "NEW"]), free_text)


@law
@given(callers, patterns, settings)
def test_a_child_has_exactly_what_the_rules_leave_it(
    caller: dict[str, str], keep_out: tuple[str, ...], variables: dict[str, str]
) -> None:
    before = dict(caller)
    result = child(caller, keep_out, variables)
    assert caller == before
    assert not DROPPED & set(result)
    for name in set(result) - set(variables) - {"PATH", "VIRTUAL_ENV"}:
        assert result[name] == caller[name]
        assert not any(name == p or (p[-1] == "*" and name.startswith(p[:-1])) for p in keep_out)
    assert {name: result[name] for name in variables} == variables
    assert result["VIRTUAL_ENV"] == BIN.removesuffix("/bin")
    folders = result["PATH"].split(":")
    assert folders[0] == BIN
    assert folders.count(BIN) == 1
    kept = [f for f in caller.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":") if f != BIN]
    own = "/home/a/venv/bin" if caller.get("VIRTUAL_ENV") else None
    assert folders[1:] == [folder for folder in kept if folder.rstrip("/") != own]
