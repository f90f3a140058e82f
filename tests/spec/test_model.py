from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from envman.spec.model import Content, EnvironmentSpec, ProjectSpec, PyprojectSource
from envman.spec.values import memory_bytes

URL = "https://token@git.example/dags.git"


def refusals(model: type[Any], data: dict[str, Any]) -> dict[str, str]:
    """Where the model refuses the data, and why."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    return {".".join(str(part) for part in error["loc"]): error["msg"] for error in caught.value.errors()}


def test_an_empty_spec_is_a_spec_and_states_nothing() -> None:
    spec = EnvironmentSpec.model_validate({})
    assert spec.requires_python is None
    assert spec.platforms is None
    assert spec.airflow is None
    assert (spec.warm, spec.user, spec.group) == (None, None, None)
    assert spec.abstract is False
    assert spec.model_dump(exclude_defaults=True) == {}


def test_an_empty_project_publishes_below_venv() -> None:
    assert ProjectSpec.model_validate({}).root == "/venv"


def test_keys_are_written_with_dashes_alone() -> None:
    data = {"requires-python": "==3.12.*", "requirements-files": ["a.txt"], "variables": {"keep-out": ["A"]}}
    spec = EnvironmentSpec.model_validate(data)
    assert (spec.requires_python, spec.requirements_files) == ("==3.12.*", ("a.txt",))
    assert "requires_python" in refusals(EnvironmentSpec, {"requires_python": "==3.12.*"})


def test_a_value_is_frozen() -> None:
    spec = EnvironmentSpec.model_validate({"dependencies": ["pandas"]})
    with pytest.raises(ValidationError, match="frozen"):
        spec.dependencies = ()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("requires-python", "==3.12.*"),
        ("requires-python", ">=3.11,<3.13"),
        ("requires-python", "~=3.12"),
        ("requires-python", ">3.10"),
        ("requires-python", "==3.12.7"),
        ("requires-python", ">3.12.6,<3.12.8"),
        ("requires-python", ">=3.13.0rc1,<3.13.1"),
        ("dependencies", ["pandas[excel]>=2 ; python_version < '3.13'"]),
        (
            "platforms",
            ["linux-x86_64", "linux-aarch64", "macos-arm64", "macos-x86_64", "windows-x86_64"],
        ),
        ("constraints", ["c.txt", "https://index.example/c", "http://index.example/c"]),
        ("overrides", ["numpy<2"]),
        ("pyprojects", [{"path": "../pyproject.toml", "extras": ["a"], "dependency-groups": ["b"]}]),
        ("variables", {"set": {"TZ": "", "A": "x=y\n"}, "keep-out": ["AWS_*", "*", "HOME"]}),
        ("checks", {"imports": ["airflow.sdk", "a"], "commands": [["python", ""]]}),
        ("extends", ["base.a"]),
        ("airflow", False),
        ("abstract", True),
        ("warm", False),
        ("warm", True),
        ("server-idle", "10s"),
        ("server-idle", "24h"),
        ("preload", ["numpy", "airflow.sdk"]),
        ("user", "team_a"),
        ("user", "_team-a$"),
        ("user", "a" * 32),
        ("user", "1001"),
        ("user", "4294967294"),
        ("group", "root"),
        ("group", "0"),
        ("limits", {"memory": "16M", "cpu": 1.5, "pids": 4}),
        ("limits", {"memory": "8388607T", "cpu": 2, "pids": 4194304}),
        ("limits", {"memory": "16777216"}),
        ("limits", {"cpu": 0.01}),
        ("variables", {"pass": ["MY_*", "*", "OTHER"]}),
    ],
)
def test_a_good_value_is_taken_as_it_is_written(key: str, value: object) -> None:
    spec = EnvironmentSpec.model_validate({key: value})
    dumped = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert dumped == {key: value}


@pytest.mark.parametrize(
    ("data", "place", "word"),
    [
        ({"requires-python": "3.12"}, "requires-python", "PEP 440"),
        ({"requires-python": ""}, "requires-python", "lower bound"),
        ({"requires-python": "<3.13"}, "requires-python", "lower bound"),
        ({"requires-python": "!=3.12.1"}, "requires-python", "lower bound"),
        ({"requires-python": 3.12}, "requires-python", "string"),
        ({"dependencies": ["pandas=>2"]}, "dependencies.0", "PEP 508"),
        ({"dependencies": ["a", ""]}, "dependencies.1", "PEP 508"),
        ({"dependencies": ["./wheel.whl"]}, "dependencies.0", "PEP 508"),
        ({"dependencies": ["a @ https://index.example/a.whl"]}, "dependencies.0", "by URL"),
        ({"dependencies": [1]}, "dependencies.0", "string"),
        ({"dependencies": "pandas"}, "dependencies", "tuple"),
        ({"overrides": ["a @ file:///a.whl"]}, "overrides.0", "by URL"),
        ({"platforms": []}, "platforms", "at least 1"),
        ({"requirements-files": [""]}, "requirements-files.0", "empty"),
        ({"requirements-files": ["a\0b"]}, "requirements-files.0", "path"),
        ({"requirements-files": ["a\nb"]}, "requirements-files.0", "path"),
        ({"pyprojects": [{}]}, "pyprojects.0.path", "required"),
        ({"pyprojects": ["pyproject.toml"]}, "pyprojects.0", "dictionary"),
        ({"constraints": ["ftp://index.example/c.txt"]}, "constraints.0", "'ftp'"),
        ({"constraints": ["https://u:p@index.example/c.txt"]}, "constraints.0", "credentials"),
        ({"constraints": ["https://token@index.example/c.txt"]}, "constraints.0", "credentials"),
        ({"constraints": ["https://[half/c.txt"]}, "constraints.0", "Invalid"),
        ({"variables": {"set": {"": "a"}}}, "variables.set..[key]", "name of an environment variable"),
        ({"variables": {"set": {"A=B": "a"}}}, "variables.set.A=B.[key]", "name of an environment variable"),
        ({"variables": {"set": {"A\0": "a"}}}, "variables.set.A\0.[key]", "name of an environment variable"),
        ({"variables": {"keep-out": ["A\0"]}}, "variables.keep-out.0", "name of a variable"),
        ({"variables": {"keep-out": ["A=B"]}}, "variables.keep-out.0", "'A=B'"),
        ({"variables": {"set": {"A": "a\0"}}}, "variables.set.A", "NUL"),
        ({"variables": {"set": {"A": 1}}}, "variables.set.A", "string"),
        ({"variables": {"keep-out": ["A*B"]}}, "variables.keep-out.0", "'A*B'"),
        ({"variables": {"keep-out": [""]}}, "variables.keep-out.0", "''"),
        ({"variables": {"pass": ["A*B"]}}, "variables.pass.0", "'A*B'"),
        ({"variables": {"pass": ["A", "B=C"]}}, "variables.pass.1", "'B=C'"),
        ({"variables": {"pass": ["A B"]}}, "variables.pass.0", "a space"),
        ({"variables": {"pass": "A"}}, "variables.pass", "tuple"),
        ({"variables": {"passed": ["A"]}}, "variables.passed", "not permitted"),
        ({"warm": "no"}, "warm", "boolean"),
        ({"warm": 0}, "warm", "boolean"),
        ({"preload": "numpy"}, "preload", "tuple"),
        ({"preload": ["numpy", "pandas core"]}, "preload.1", "module"),
        ({"preload": [""]}, "preload.0", "module"),
        ({"limits": "2G"}, "limits", "dictionary"),
        ({"server-idle": 600}, "server-idle", "string"),
        ({"server-idle": ""}, "server-idle", "not a time"),
        ({"server-idle": "600"}, "server-idle", "not a time"),
        ({"server-idle": "1.5h"}, "server-idle", "not a time"),
        ({"server-idle": "10 m"}, "server-idle", "not a time"),
        ({"server-idle": "10m\n"}, "server-idle", "not a time"),
        ({"server-idle": "\u0661m"}, "server-idle", "not a time"),
        ({"server-idle": "9" * 5000 + "s"}, "server-idle", "not a time"),
        ({"server-idle": "9s"}, "server-idle", "not between"),
        ({"server-idle": "1441m"}, "server-idle", "not between"),
        ({"limits": {"memory": 2147483648}}, "limits.memory", "string"),
        ({"limits": {"memory": ""}}, "limits.memory", "not a size"),
        ({"limits": {"memory": "M"}}, "limits.memory", "not a size"),
        ({"limits": {"memory": "1.5G"}}, "limits.memory", "not a size"),
        ({"limits": {"memory": "512m"}}, "limits.memory", "not a size"),
        ({"limits": {"memory": "512MB"}}, "limits.memory", "not a size"),
        ({"limits": {"memory": "512 M"}}, "limits.memory", "not a size"),
        ({"limits": {"memory": "512M\n"}}, "limits.memory", "not a size"),
        ({"limits": {"memory": "-1"}}, "limits.memory", "not a size"),
        ({"limits": {"memory": "\u0661G"}}, "limits.memory", "not a size"),
        ({"limits": {"memory": "9" * 5000}}, "limits.memory", "not a size"),
        ({"limits": {"memory": "0"}}, "limits.memory", "not between"),
        ({"limits": {"memory": "16777215"}}, "limits.memory", "not between"),
        ({"limits": {"memory": "15M"}}, "limits.memory", "not between"),
        ({"limits": {"memory": "8388608T"}}, "limits.memory", "not between"),
        ({"limits": {"cpu": 0}}, "limits.cpu", "greater than 0"),
        ({"limits": {"cpu": -0.5}}, "limits.cpu", "greater than 0"),
        ({"limits": {"cpu": True}}, "limits.cpu", "number"),
        ({"limits": {"cpu": "1.5"}}, "limits.cpu", "number"),
        ({"limits": {"cpu": float("inf")}}, "limits.cpu", "finite"),
        ({"limits": {"cpu": float("nan")}}, "limits.cpu", "finite"),
        ({"limits": {"cpu": 10**400}}, "limits.cpu", "number"),
        ({"limits": {"pids": 3}}, "limits.pids", "equal to 4"),
        ({"limits": {"pids": 4.0}}, "limits.pids", "integer"),
        ({"limits": {"pids": True}}, "limits.pids", "integer"),
        ({"limits": {"pids": "4"}}, "limits.pids", "integer"),
        ({"limits": {"pids": 4194305}}, "limits.pids", "equal to 4194304"),
        ({"limits": {"disk": "1G"}}, "limits.disk", "not permitted"),
        ({"checks": {"imports": ["airflow sdk"]}}, "checks.imports.0", "module"),
        ({"checks": {"imports": ["a..b"]}}, "checks.imports.0", "module"),
        ({"checks": {"commands": [[]]}}, "checks.commands.0", "command"),
        ({"checks": {"commands": [["", "x"]]}}, "checks.commands.0", "command"),
        ({"checks": {"commands": [["x", "a\0b"]]}}, "checks.commands.0", "NUL"),
        ({"requires-python": ">=3.12,<3.11"}, "requires-python", "admits no version"),
        ({"requires-python": "==3.12.*,!=3.12.*"}, "requires-python", "admits no version"),
        ({"checks": {"commands": ["python -V"]}}, "checks.commands.0", "tuple"),
        ({"extends": ["../base"]}, "extends.0", "letters"),
        ({"airflow": "no"}, "airflow", "boolean"),
        ({"abstract": 1}, "abstract", "boolean"),
        ({"dependancies": []}, "dependancies", "not permitted"),
        ({"variables": {"unset": []}}, "variables.unset", "not permitted"),
    ],
)
def test_a_bad_value_of_a_spec_is_refused_at_its_place(data: dict[str, Any], place: str, word: str) -> None:
    found = refusals(EnvironmentSpec, data)
    assert list(found) == [place]
    assert word in found[place]


@pytest.mark.parametrize("key", ["user", "group"])
@pytest.mark.parametrize(
    "account",
    [
        *("", "Team_a", "1team", "-a", "$", "a$b", "a b", "a:b", "a.b", "../a", "a\n", "a\0", "é"),
        *("a" * 33, "a" * 32 + "$", "-1", "+1", "1.0", "\u0661", "4294967295", "4294967296", "9" * 5000),
    ],
)
def test_what_no_account_is_called_is_refused(key: str, account: str) -> None:
    assert "account" in refusals(EnvironmentSpec, {key: account})[key]


@pytest.mark.parametrize("account", ["root", "0", "00", "0000000000"])
def test_a_user_that_may_do_everything_is_refused(account: str) -> None:
    assert "no isolation" in refusals(EnvironmentSpec, {"user": account})["user"]


@pytest.mark.parametrize(
    ("changed", "key", "word"),
    [
        ({"file": None}, "", "neither 'file' nor 'command'"),
        ({"command": ["/bin/true"]}, "", "both 'file' and 'command'"),
        ({"variable": None}, "", "neither 'variable' nor 'path-variable'"),
        ({"path-variable": "FILE"}, "", "both 'variable' and 'path-variable'"),
        ({"file": "token"}, ".file", "absolute"),
        ({"file": "~/token"}, ".file", "absolute"),
        ({"file": "/token\n"}, ".file", "printed"),
        ({"file": ""}, ".file", "empty"),
        ({"file": None, "command": ["vault"]}, ".command", "absolute"),
        ({"file": None, "command": []}, ".command", "empty"),
        ({"file": None, "command": ["/bin/a", "b\tc"]}, ".command", "printed"),
        ({"variable": "A=B"}, ".variable", "not the name"),
        ({"variable": "A\tB"}, ".variable", "printed"),
        ({"variable": "PATH"}, ".variable", "decides which interpreter"),
        ({"variable": "LD_PRELOAD"}, ".variable", "as it starts"),
        ({"variable": "PYTHONSTARTUP"}, ".variable", "as it starts"),
        ({"variable": "BASH_ENV"}, ".variable", "as it starts"),
        ({"variable": "AIRFLOW__CORE__FERNET_KEY"}, ".variable", "the components' own"),
        ({"variable": "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD"}, ".variable", "the components' own"),
        ({"variable": "ENVMAN_ROOT"}, ".variable", "the components' own"),
        ({"variable": "AIRFLOW__SECRETS__BACKEND_KWARGS"}, ".variable", "before a workload has"),
        ({"mode": "0400"}, ".mode", "not permitted"),
    ],
)
def test_a_credential_that_can_not_be_is_refused_at_its_place(
    changed: dict[str, Any], key: str, word: str
) -> None:
    given = {"file": "/etc/airflow/token", "variable": "TOKEN", **changed}
    data = {"credentials": {"token": {key: value for key, value in given.items() if value is not None}}}
    found = refusals(EnvironmentSpec, data)
    assert list(found) == [f"credentials.token{key}"]
    assert word in found[f"credentials.token{key}"]


@pytest.mark.parametrize(
    "variable", ["ENVIRONMENT", "IFS_FILE", "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS", "AIRFLOW_CONN_X"]
)
def test_a_credential_may_have_another_variable(variable: str) -> None:
    for how in ("variable", "path-variable"):
        EnvironmentSpec.model_validate({"credentials": {"a": {"file": "/a", how: variable}}})


def test_the_number_of_an_account_is_written_as_a_string() -> None:
    assert "string" in refusals(EnvironmentSpec, {"user": 1001})["user"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16777216", 16 * 1024**2),
        ("1500000000", 1_500_000_000),
        ("16384K", 16 * 1024**2),
        ("512M", 512 * 1024**2),
        ("2G", 2 * 1024**3),
        ("1T", 1024**4),
        ("0002G", 2 * 1024**3),
    ],
)
def test_a_size_is_read_in_powers_of_1024(text: str, size: int) -> None:
    assert memory_bytes(text) == size
    assert Content.model_validate({"limits": {"memory": text}}).limits.memory == text


@pytest.mark.parametrize(
    ("data", "place", "word"),
    [
        ({"root": ""}, "root", "empty"),
        ({"airflow-version": "three"}, "airflow-version", "version"),
        ({"airflow-version": 3}, "airflow-version", "string"),
        ({"default-environment": "none"}, "default-environment", "reserved"),
        ({"uv-config": ""}, "uv-config", "empty"),
        ({"bundles": {"a b": {}}}, "bundles.a b.[key]", "letters"),
        ({"bundles": {"a": {"environment": "../x"}}}, "bundles.a.environment", "letters"),
        ({"bundles": {"a": "env_a"}}, "bundles.a", "dictionary"),
        ({"teams": {"t": {}}}, "teams.t.environment", "required"),
        ({"teams": {"all": {"environment": "e"}}}, "teams.all.[key]", "reserved"),
        ({"airflow-environment": "default"}, "airflow-environment", "reserved"),
        ({"airflow-environment": "../core"}, "airflow-environment", "letters"),
        ({"bundles": {"a": {"queue": ""}}}, "bundles.a.queue", "one queue"),
        ({"bundles": {"a": {"queue": " etl"}}}, "bundles.a.queue", "one queue"),
        ({"bundles": {"a": {"queue": "etl,ml"}}}, "bundles.a.queue", "one queue"),
        ({"bundles": {"a": {"queue": ["etl"]}}}, "bundles.a.queue", "string"),
        ({"teams": {"t": {"environment": "e", "queue": "a\n"}}}, "teams.t.queue", "one queue"),
        ({"bundles": {"a": {"path": "a", "classpath": "a.B"}}}, "bundles.a", "both 'path' and 'classpath'"),
        ({"bundles": {"a": {"path": ""}}}, "bundles.a.path", "empty"),
        ({"bundles": {"a": {"kwargs": {"b": 1}}}}, "bundles.a", "without a 'classpath'"),
        ({"bundles": {"a": {"classpath": "GitDagBundle"}}}, "bundles.a.classpath", "with its module"),
        ({"bundles": {"a": {"classpath": "a.B", "kwargs": {"x": object()}}}}, "bundles.a.kwargs.x", "JSON"),
        (
            {"bundles": {"a": {"classpath": "a.B", "kwargs": {"x": [float("nan")]}}}},
            "bundles.a.kwargs.x",
            "nan",
        ),
        ({"bundles": {"a": {"classpath": "a.B", "kwargs": {"x": URL}}}}, "bundles.a.kwargs.x", "credentials"),
        (
            {"bundles": {"a": {"classpath": "a.B", "kwargs": {"x": [{"y": URL}]}}}},
            "bundles.a.kwargs.x",
            "cred",
        ),
        ({"images": {"env_a": ""}}, "images.env_a", "an image"),
        ({"images": {"env_a": "registry/image a"}}, "images.env_a", "an image"),
        ({"images": {"env_a": "image\n"}}, "images.env_a", "an image"),
        ({"images": {"env_a": ["image"]}}, "images.env_a", "string"),
        ({"images": {"a b": "image"}}, "images.a b.[key]", "letters"),
        ({"images": "image"}, "images", "dictionary"),
        ({"servers": {"memory": "4X"}}, "servers.memory", "size"),
        ({"servers": {"memory": 4}}, "servers.memory", "string"),
        ({"servers": {"memory": "1M"}}, "servers.memory", "between"),
        ({"servers": {"memory": "0%"}}, "servers.memory", "no part"),
        ({"servers": {"memory": "101%"}}, "servers.memory", "no part"),
        ({"servers": {"memory": "2.5%"}}, "servers.memory", "no part"),
        ({"servers": {"memory": "25 %"}}, "servers.memory", "no part"),
        ({"limits": {"memory": "25%"}}, "limits", "not permitted"),
        ({"servers": {"cpu": 4}}, "servers.cpu", "not permitted"),
        ({"triggerer": {"allowed": []}}, "triggerer.allowed", "not permitted"),
        ({"triggerer": {"allow": "airflow.*"}}, "triggerer.allow", "tuple"),
        ({"triggerer": {"allow": [1]}}, "triggerer.allow.0", "string"),
        ({"triggerer": {"allow": ["a.B", ""]}}, "triggerer.allow.1", "a class"),
        ({"triggerer": {"allow": ["**"]}}, "triggerer.allow.0", "a class"),
        ({"triggerer": {"allow": ["a*.B"]}}, "triggerer.allow.0", "a class"),
        ({"triggerer": {"allow": ["*.B"]}}, "triggerer.allow.0", "a class"),
        ({"triggerer": {"allow": ["a..*"]}}, "triggerer.allow.0", "a class"),
        ({"triggerer": {"allow": [".*"]}}, "triggerer.allow.0", "a class"),
        ({"triggerer": {"allow": ["a.B."]}}, "triggerer.allow.0", "a class"),
        ({"triggerer": {"allow": ["B"]}}, "triggerer.allow.0", "with its module"),
        ({"triggerer": {"allow": ["a.[B]"]}}, "triggerer.allow.0", "a class"),
        ({"defaults": {"extends": ["a"]}}, "defaults.extends", "not permitted"),
        ({"defaults": {"abstract": True}}, "defaults.abstract", "not permitted"),
    ],
)
def test_a_bad_value_of_the_project_is_refused_at_its_place(
    data: dict[str, Any], place: str, word: str
) -> None:
    found = refusals(ProjectSpec, data)
    assert list(found) == [place]
    assert word in found[place]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("airflow-environment", "core"),
        ("bundles", {"a": {"team": "t", "queue": "etl"}, "b": {"queue": "of b/2"}}),
        ("teams", {"t": {"environment": "env_a", "queue": "etl"}}),
        ("images", {"env_a": "registry.example:5000/team/image_a:1@sha256:0", "env_b": "image"}),
        ("servers", {"memory": "4G"}),
        ("servers", {"memory": "1%"}),
        ("servers", {"memory": "100%"}),
        ("triggerer", {"allow": ["*", "airflow.*", "airflow.triggers.base.Base*", "a.B"]}),
    ],
)
def test_a_good_value_of_the_project_is_taken_as_it_is_written(key: str, value: object) -> None:
    project = ProjectSpec.model_validate({key: value})
    assert project.model_dump(mode="json", by_alias=True, exclude_defaults=True) == {key: value}


def test_all_that_is_wrong_is_told_at_once() -> None:
    data = {
        "airflow-environment": "a/b",
        "bundles": {"a": {"queue": ","}},
        "teams": {"t": {"queue": ""}},
        "images": {"env_a": " "},
        "triggerer": {"allow": ["a.B", "a-b.C", "C"]},
    }
    assert list(refusals(ProjectSpec, data)) == [
        "airflow-environment",
        "bundles.a.queue",
        "teams.t.environment",
        "teams.t.queue",
        "images.env_a",
        "triggerer.allow.1",
        "triggerer.allow.2",
    ]


@pytest.mark.parametrize(
    "name",
    ["PATH", "VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"],
)
def test_a_spec_can_not_set_what_exec_sets_or_drops(name: str) -> None:
    assert (
        "interpreter" in refusals(Content, {"variables": {"set": {name: "x"}}})[f"variables.set.{name}.[key]"]
    )


def test_equal_sources_are_one_and_the_same() -> None:
    first, second = (PyprojectSource.model_validate({"path": "p", "extras": ["a"]}) for _ in range(2))
    assert len({first, second}) == 1
