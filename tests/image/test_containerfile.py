"""The text of a Containerfile. That the tools take it, and what they make of it, is in tests/images/engines."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from envman.image.containerfile import BaseFacts, Recipe, containerfile_text, is_plain

_INSTRUCTIONS = ("ARG", "FROM", "RUN", "COPY", "ENV", "LABEL", "WORKDIR", "USER", "ENTRYPOINT", "CMD")
GOLDEN = Path(__file__).parent / "golden"
PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}

ONE = Recipe(
    environments=("env_a",),
    base="registry.company.example/debian:12",
    facts=BaseFacts(environ=PATH),
    specs=("envman.toml", "environments"),
    files=(),
    envman="envman==1.0",
    root="/venv",
    epoch=1795424952,
    labels={"envman.version": "1.0"},
)
ALL_IN_ONE = replace(
    ONE,
    environments=("env_a", "env_b"),
    base="registry.company.example/airflow:3.3.2",
    facts=BaseFacts("airflow", {**PATH, "AIRFLOW_HOME": "/srv/airflow"}, "/srv/airflow"),
    files=("ops/uv.toml", "team_b/requirements.txt"),
    envman="dist/envman-1.0-py3-none-any.whl",
    apt=("libaio1", "libpq5=15.8-0"),
    labels={"envman.version": "1.0", "text": 'a "b" \\'},
)


@pytest.mark.parametrize(("name", "recipe"), [("one", ONE), ("all_in_one", ALL_IN_ONE)])
def test_the_text(name: str, recipe: Recipe) -> None:
    assert containerfile_text(recipe) == (GOLDEN / f"{name}.Containerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("recipe", [ONE, ALL_IN_ONE])
def test_it_keeps_to_what_all_front_ends_have(recipe: Recipe) -> None:
    text = containerfile_text(recipe)
    assert "<<" not in text
    assert "--link" not in text
    assert "syntax=" not in text
    assert "chown -R" not in text
    instructions = {line.split()[0] for line in text.splitlines() if re.match(r"[A-Z]+ ", line)}
    assert instructions <= {*_INSTRUCTIONS}


@pytest.mark.parametrize("recipe", [ONE, ALL_IN_ONE])
def test_the_last_stage_gets_the_launcher_and_the_environments_alone(recipe: Recipe) -> None:
    last = containerfile_text(recipe).split("\nFROM ")[-1]
    copied = [line for line in last.splitlines() if line.startswith("COPY")]
    assert copied == [
        "COPY --from=build /image/opt/envman /opt/envman",
        "COPY --from=build /image/venv /venv",
    ]
    assert "RUN" not in last
    assert "secret" not in last


def test_what_decides_is_copied_and_what_may_hold_credentials_is_mounted() -> None:
    """buildah and podman take a step for done whatever has changed in what is mounted."""
    build = containerfile_text(ALL_IN_ONE).split("\nFROM base\n")[0]
    assert re.findall("^COPY .*", build, re.MULTILINE) == [
        "COPY dist/envman-1.0-py3-none-any.whl /context/envman-1.0-py3-none-any.whl",
        "COPY envman.toml /project/envman.toml",
        "COPY environments /project/environments",
    ]
    for path in ALL_IN_ONE.files:
        assert f"--mount=type=bind,source={path},target=/project/{path} " in build


def test_a_base_without_a_path_gets_the_usual_one() -> None:
    text = containerfile_text(replace(ONE, facts=BaseFacts()))
    assert "    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/envman/bin \\" in text


@pytest.mark.parametrize("user", ["", "0", "root", "0:0", "root:root"])
def test_root_gives_way_to_airflows_user(user: str) -> None:
    text = containerfile_text(replace(ONE, facts=BaseFacts(user, PATH)))
    assert "\nUSER 50000:0\n" in text
    assert "\nUSER 0\n" not in text


def test_a_user_of_the_bases_own_stays() -> None:
    text = containerfile_text(replace(ONE, facts=BaseFacts("team:staff", PATH)))
    assert text.count("\nUSER 0\n") == 1
    assert "\nUSER team:staff\n" in text
    assert "50000" not in text
    assert " HOME=/opt/airflow" not in text


def test_virtual_environments_can_be_made_by_the_context() -> None:
    text = containerfile_text(replace(ONE, virtualenv=".envman/virtualenv"))
    assert "\nCOPY .envman/virtualenv /context/virtualenv\n" in text
    assert "python3 /context/virtualenv /opt/build" in text


@pytest.mark.parametrize(
    ("path", "plain"), [("a/b-1.0+x.txt", True), ("a b", False), ("a,b", False), ("$A", False), ("", False)]
)
def test_paths_that_can_stand_in_a_containerfile(path: str, plain: bool) -> None:
    assert is_plain(path) is plain
