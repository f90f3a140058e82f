"""Code of one's own as specs and uv's workspaces name it: what each folder is, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from envman.spec.load import ProjectFiles
from envman.spec.model import SourceFolder
from envman.spec.own_code import OwnSource, SourceKind, own_sources

CORE = '[project]\nname = "Acme_Core"\nversion = "1"\ndependencies = ["six"]\n'
FLOWS = '[project]\nname = "flows"\nversion = "1"\ndependencies = ["acme-core>=1"]\noptional-dependencies.x = ["attrs"]\n'
ROOT = '[tool.uv.workspace]\nmembers = ["libs/*"]\nexclude = ["libs/old"]\n'
FROM_WORKSPACE = "[tool.uv.sources]\nacme-core = { workspace = true }\n"


def project(folder: Path, files: dict[str, str]) -> ProjectFiles:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return ProjectFiles(folder)


def read(files: ProjectFiles, *declared: str | dict[str, object]) -> tuple[list[OwnSource], list[str]]:
    sources = [SourceFolder.model_validate(one) for one in declared]
    found, problems = own_sources(sources, files)
    return list(found), [f"{one.where}: {one.what}" for one in problems]


def test_a_folder_is_a_project_or_plain_modules(tmp_path: Path) -> None:
    files = project(
        tmp_path,
        {
            "libs/core/pyproject.toml": CORE,
            "libs/old/setup.py": "",
            "common/mod.py": "",
            "tools/pyproject.toml": "[tool.ruff]\n",
        },
    )
    found, problems = read(
        files, "libs/old", "libs/core", {"path": "common", "name": "My.Code", "version": "2"}, "tools"
    )
    assert problems == []
    assert found == [
        OwnSource("common", SourceKind.MODULES, "my-code", "2"),
        OwnSource("libs/core", SourceKind.PROJECT, "acme-core"),
        OwnSource("libs/old", SourceKind.PROJECT),
        OwnSource("tools", SourceKind.MODULES, "tools"),
    ]


@pytest.mark.parametrize("where", ["pyproject.toml", "libs/flows/pyproject.toml"])
def test_a_member_brings_the_members_that_it_takes_from_its_workspace(tmp_path: Path, where: str) -> None:
    texts = {
        "pyproject.toml": ROOT,
        "libs/core/pyproject.toml": CORE,
        "libs/flows/pyproject.toml": FLOWS,
        "libs/old/pyproject.toml": CORE,
        "libs/other/pyproject.toml": '[project]\nname = "other"\nversion = "1"\n',
    }
    texts[where] += FROM_WORKSPACE
    found, problems = read(project(tmp_path, texts), "libs/flows")
    assert problems == []
    assert [one.path for one in found] == ["libs/core", "libs/flows"]


def test_a_project_brings_what_it_takes_from_a_path(tmp_path: Path) -> None:
    texts = {
        "libs/core/pyproject.toml": CORE,
        "libs/flows/pyproject.toml": FLOWS
        + '[tool.uv.sources]\nacme-core = { path = "../core", editable = true }\n',
    }
    found, problems = read(project(tmp_path, texts), "libs/flows")
    assert problems == []
    assert [one.path for one in found] == ["libs/core", "libs/flows"]


def test_what_nobody_needs_at_run_time_is_left_alone(tmp_path: Path) -> None:
    texts = {
        "libs/core/pyproject.toml": CORE
        + '[dependency-groups]\ndev = ["lint"]\n[tool.uv.sources]\nlint = { git = "x" }\n'
    }
    assert read(project(tmp_path, texts), "libs/core")[1] == []


@pytest.mark.parametrize(
    ("texts", "declared", "said"),
    [
        ({}, "gone", "gone: there is no such folder"),
        ({"a.py": ""}, "a.py", "a.py: is no folder"),
        ({}, "../up", "../up: is outside of the project's folder"),
        ({}, "/etc", "/etc: is outside of the project's folder"),
        ({"pyproject.toml": ROOT, "a.py": ""}, ".", ".: is the root of a uv workspace, and no package"),
        ({"my code/a.py": ""}, "my code", "my code: its folder has no name that a package may have"),
        (
            {"a/pyproject.toml": CORE},
            {"path": "a", "name": "b"},
            "a: its own name is 'acme-core', not 'b'",
        ),
        (
            {"a/pyproject.toml": FLOWS},
            {"path": "a", "extras": ["y"]},
            "a/pyproject.toml: project.optional-dependencies.y: there is no such extra",
        ),
        ({"a/pyproject.toml": "x"}, "a", "a/pyproject.toml: not valid TOML: "),
        (
            {"a/pyproject.toml": '[project]\nname = "own\\n--index-url x"\n'},
            "a",
            "a/pyproject.toml: project.name: 'own\\n--index-url x' is no name of a package",
        ),
        (
            {"a/pyproject.toml": CORE + "[tool.uv]\npackage = false\n"},
            "a",
            "a/pyproject.toml: says that it is no package: tool.uv.package = false",
        ),
        (
            {"a/pyproject.toml": FLOWS + FROM_WORKSPACE},
            "a",
            "a/pyproject.toml: tool.uv.sources.acme-core: 'acme-core' is no member of a uv workspace in the project",
        ),
        *(
            (
                {"a/pyproject.toml": FLOWS + f'[tool.uv.sources]\nacme-core = [{{ {key} = "x" }}]\n'},
                "a",
                f"a/pyproject.toml: tool.uv.sources.acme-core: takes 'acme-core' from {key}, and a lock holds no address",
            )
            for key in ("git", "url", "index")
        ),
        (
            {"a/pyproject.toml": FLOWS + '[tool.uv.sources]\nacme-core.path = "../../x"\n'},
            "a",
            "../x: is outside of the project's folder (tool.uv.sources)",
        ),
        (
            {
                "pyproject.toml": '[tool.uv.workspace]\nmembers = ["**"]\n' + FROM_WORKSPACE,
                "a/pyproject.toml": FLOWS,
            },
            "a",
            "tool.uv.workspace: the pattern '**' of its members is not understood",
        ),
    ],
)
def test_what_is_wrong_is_told(
    tmp_path: Path, texts: dict[str, str], declared: str | dict[str, object], said: str
) -> None:
    problems = read(project(tmp_path, texts), declared)[1]
    assert any(one.startswith(said) for one in problems), problems


def test_two_folders_of_one_name_are_told(tmp_path: Path) -> None:
    files = project(tmp_path, {"a/pyproject.toml": CORE, "acme.core/m.py": ""})
    assert read(files, "a", "acme.core")[1] == ["sources: a and acme.core are both named 'acme-core'"]


def test_a_link_out_of_the_project_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "project" / "libs").symlink_to("../secret")
    assert read(ProjectFiles(tmp_path / "project"), "libs")[1] == [
        "libs: can't be read: Invalid cross-device link"
    ]
