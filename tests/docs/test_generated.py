"""The generated pages are what the generator makes of this code, and its examples are right and complete."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from envman.cli.registry import ADOPT_COMMANDS, COMMANDS, IMAGE_COMMANDS
from envman.spec.model import EnvironmentSpec, ProjectSpec, TomlTable
from envman.spec.parse import parse_environment, parse_project

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DOCS))
    import generate

    return generate


def test_the_generated_pages_are_current() -> None:
    command = [sys.executable, str(DOCS / "generate.py"), "--check"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_a_page_that_is_out_of_date_is_found_and_written(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reference").mkdir()
    monkeypatch.setattr(generator, "DOCS", tmp_path)
    assert generator.main(["--check"]) == 1
    assert "is out of date" in capsys.readouterr().err
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
    page = tmp_path / "reference/cli.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert generator.main(["--check"]) == 1


def keys(table: type[TomlTable]) -> set[str]:
    return {field.alias or name for name, field in table.model_fields.items()}


def written(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield key
            yield from written(value)
    elif isinstance(data, list):
        for value in data:
            yield from written(value)


def test_the_examples_are_right_and_name_every_key(generator: ModuleType) -> None:
    project, project_problems = parse_project(generator.PROJECT_EXAMPLE, "envman.toml")
    environment, environment_problems = parse_environment(generator.ENVIRONMENT_EXAMPLE, "env_b.toml")
    assert [*project_problems, *environment_problems] == []
    assert project is not None
    assert environment is not None
    parse = sys.modules["envman.spec.parse"]
    assert keys(ProjectSpec) <= set(written(parse.tomllib.loads(generator.PROJECT_EXAMPLE)))
    assert keys(EnvironmentSpec) <= set(written(parse.tomllib.loads(generator.ENVIRONMENT_EXAMPLE)))


def test_every_key_and_every_command_is_on_its_page(generator: ModuleType) -> None:
    spec, cli = generator.spec_page(), generator.cli_page()
    for table in (ProjectSpec, EnvironmentSpec):
        for key in keys(table) - {"defaults"}:
            assert f"| `{key}` |" in spec
    for key in ("variables.keep-out", "checks.commands", "pyprojects[].extras", "bundles.BUNDLE.team"):
        assert f"| `{key}` |" in spec
    names = [entry.words for entry in (*COMMANDS, *ADOPT_COMMANDS, *IMAGE_COMMANDS)]
    assert len(names) > 10
    for name in names:
        assert f"\n## envman {name}\n" in cli
