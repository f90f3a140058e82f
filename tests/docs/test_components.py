"""The units, Compose services, Helm values and commands of the component pages are right.

Every `ini` block is parsed as a systemd unit, every `yaml` block as YAML, every `toml` block with the model of
its file; and every `envman ...` command in them, and in `sh` blocks, with the parser of that command.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from envman.cli.registry import ADOPT_COMMANDS, COMMANDS, IMAGE_COMMANDS
from envman.errors import UsageError
from envman.launch import command, components, container_entrypoint
from envman.spec.parse import parse_environment, parse_project

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMPONENTS = sorted((DOCS / "components").glob("*.md"))
HOW_TO = ("run-the-components", "bundles-and-teams", "run-on-aws")
PAGES = [*COMPONENTS, *(DOCS / f"how-to/{name}.md" for name in HOW_TO)]
IDS = [page.stem for page in PAGES]
NAMES = {entry.name for entry in COMMANDS} | {entry.group for entry in (*ADOPT_COMMANDS, *IMAGE_COMMANDS)}

LAUNCH_PATH = {"launch", "exec", "container-entrypoint"}
WORKLOAD = {"ti": {}, "bundle_info": {"name": "bundle_a", "version": None}, "token": "a-token"}
WORKLOAD_ARGUMENTS = ["python", "-m", container_entrypoint.MODULE, "--json-string", json.dumps(WORKLOAD)]
"""What Airflow gives to a container whose command or entrypoint is envman's."""

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    return [match[2] for match in _BLOCK.finditer(text) if match[1] == language]


def unit(text: str) -> configparser.RawConfigParser:
    """A systemd unit, in which a section and a key stand once."""
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def is_unit(text: str) -> bool:
    return text.startswith("[Unit]")


def command_lines(value: Any) -> Iterator[list[str]]:
    """The command lines of a Compose file, a Pod or Helm values: entrypoint, command and args put together."""
    if isinstance(value, list):
        for item in value:
            yield from command_lines(item)
    if not isinstance(value, dict):
        return
    words = [word for key in ("entrypoint", "command", "args") for word in value.get(key) or []]
    if words[:2] == ["bash", "-c"]:
        words = shlex.split(words[2])
        assert words[0] == "exec", words  # else the component would not get the pod's signals
        words = words[1:]
    if words and all(isinstance(word, str) for word in words):
        yield words
    for inner in value.values():
        yield from command_lines(inner)


def shell_lines(text: str) -> Iterator[list[str]]:
    """The commands of a shell example, each word by word."""
    for line in text.splitlines():
        for part in line.partition(" # ")[0].split("&&"):
            words = shlex.split(part.rstrip(" &"))
            if words[:1] == ["envman"]:
                yield words


def check(words: list[str]) -> str:
    """Parse one of envman's command lines as envman does; returns the subcommand."""
    assert words[0].rpartition("/")[2] == "envman", words
    name, arguments = words[1], words[2:]
    if name == "launch":
        components.parse(arguments)
    elif name == "exec":
        command.parse(arguments)
    elif name == "container-entrypoint":
        in_file = arguments[3:4] == ["--json-path"]
        text = json.dumps(WORKLOAD) if in_file else container_entrypoint.workload_text(arguments)
        container_entrypoint.bundle_of(text)
    else:
        assert name in NAMES, words
    return name


def checked(words: list[str]) -> str:
    """`check`, with the arguments that a container gets from Airflow."""
    return check([*words, *WORKLOAD_ARGUMENTS] if words[-1] == "container-entrypoint" else words)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_the_systemd_units_are_right(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(filter(is_unit, blocks(page.read_text(encoding="utf-8"), "ini"))):
        service = unit(text)["Service"]
        words = shlex.split(service["ExecStart"])
        assert words[0] == "/opt/envman/bin/envman"
        assert checked(words) in {"launch", "exec"}
        assert service["Restart"] == "always"
        if analyze := shutil.which("systemd-analyze"):
            file = tmp_path / f"example{number}.service"
            file.write_text(text.replace(words[0], "/bin/true"), encoding="utf-8")
            done = subprocess.run(
                [analyze, "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
            )
            assert file.name not in done.stderr, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_the_commands_in_yaml_are_envmans(page: Path) -> None:
    for text in blocks(page.read_text(encoding="utf-8"), "yaml"):
        lines = list(command_lines(yaml.safe_load(text)))
        assert lines, text
        for words in lines:
            assert checked(words) in LAUNCH_PATH


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_compose_reads_the_services(page: Path, tmp_path: Path) -> None:
    (tmp_path / "airflow.env").touch()
    for text in blocks(page.read_text(encoding="utf-8"), "yaml"):
        if "services" in yaml.safe_load(text):
            file = tmp_path / "compose.yaml"
            file.write_text(text, encoding="utf-8")
            command = ["docker-compose", "--file", str(file), "config", "--quiet"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, ""), text


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_the_commands_in_shell_blocks_and_in_prose_are_envmans(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lines = [words for block in blocks(text, "sh") for words in shell_lines(block)]
    prose = _BLOCK.sub("", text)
    quoted = re.findall(r"`(?:ExecStart=)?((?:/opt/envman/bin/)?envman [^`\n]+)`", prose)
    for words in [*lines, *map(shlex.split, quoted)]:
        if words[1] in LAUNCH_PATH and words[2:] not in (
            [],
            ["--bundle", "NAME"],
        ):  # else it is only a mention
            checked(words)
        else:
            assert words[1] in {*LAUNCH_PATH, *NAMES}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_the_toml_is_what_the_model_takes(page: Path) -> None:
    for text in blocks(page.read_text(encoding="utf-8"), "toml"):
        is_environment = text.startswith(("dependencies", "# environments/"))
        if is_environment:
            problems = parse_environment(text, "environments/core.toml")[1]
        else:
            problems = parse_project(text, "envman.toml")[1]
        assert problems == [], text


@pytest.mark.parametrize("page", COMPONENTS, ids=[page.stem for page in COMPONENTS])
def test_every_component_has_the_same_sections(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    last = ["What happens when", "As in stock Airflow", "Limits", "systemd", "Docker Compose", "Helm"]
    assert headings[-6:] == last
    assert [kind for kind in ("ini", "yaml", "text") if not blocks(text, kind)] == []


def test_there_is_a_page_for_each_component() -> None:
    """One that runs no bundle's code in its own process needs none."""
    with_bundles = {*components.COMPONENTS} - {"api-server", "standalone"}
    assert {page.stem for page in COMPONENTS} == {*with_bundles, "kubernetes"}


@pytest.mark.parametrize(
    "words",
    [
        ["envman", "launch", "--", "airflow", "scheduler"],
        ["envman", "launch", "worker", "--concurrency", "8"],
        ["envman", "exec", "airflow", "scheduler"],
        ["envman", "container-entrypoint", "airflow", "scheduler"],
    ],
)
def test_a_wrong_command_is_found(words: list[str]) -> None:
    with pytest.raises(UsageError):
        check(words)


def test_command_lines_are_found_wherever_they_stand() -> None:
    text = """
services:
  one: {entrypoint: [envman, launch], command: [worker]}
workers: {args: [bash, -c, exec envman launch worker -- --concurrency 8]}
spec: {containers: [{command: [envman, container-entrypoint]}]}
env: [{name: ENVMAN_ROOT, value: /venv}]
"""
    assert list(command_lines(yaml.safe_load(text))) == [
        ["envman", "launch", "worker"],
        ["envman", "launch", "worker", "--", "--concurrency", "8"],
        ["envman", "container-entrypoint"],
    ]
