from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from envman.errors import SpecError
from envman.spec.parse import parse_toml
from envman.uv.configuration import (
    INDEX_KEYS,
    BuildSettings,
    build_settings,
    read_uv_config,
    uv_environment,
    uv_folder,
)

HIDDEN_INPUTS = [
    "UV_CONFIG_FILE",
    "UV_NO_CONFIG",
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_EXCLUDE",
    "UV_BUILD_CONSTRAINT",
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    "UV_PROJECT",
    "UV_PROJECT_ENVIRONMENT",
    "UV_WORKING_DIR",
    "UV_CUSTOM_COMPILE_COMMAND",
    "UV_NO_VERIFY_HASHES",
    "UV_BREAK_SYSTEM_PACKAGES",
    "CONDA_PREFIX",
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
]
HIDDEN_KEYS = [
    "environments",
    "required-environments",
    "constraint-dependencies",
    "override-dependencies",
    "exclude-dependencies",
    "build-constraint-dependencies",
    "workspace",
    "sources",
    "upgrade",
    "upgrade-package",
]


def config(folder: Path, text: str) -> str:
    (folder / "uv.toml").write_text(text, encoding="utf-8")
    return str(folder / "uv.toml")


def told(config: str | None, markers: tuple[str, ...] = ()) -> dict[str, Any]:
    """What uv finds in its folder, as its own table."""
    with uv_folder(config, markers) as folder:
        assert [entry.name for entry in folder.iterdir()] == ["pyproject.toml"]
        data, problems = parse_toml((folder / "pyproject.toml").read_text(encoding="utf-8"), "")
    assert problems == []
    assert set(data) == {"project", "tool"}
    table = data["tool"]["uv"]
    assert isinstance(table, dict)
    return table


def test_hidden_inputs_do_not_reach_uv_and_all_else_does() -> None:
    caller = {"HOME": "/root", "UV_INDEX_MINE_PASSWORD": "secret", "UV_CACHE_DIR": "/cache"}
    result = uv_environment({**caller, **dict.fromkeys(HIDDEN_INPUTS, "x")})
    assert result == {**caller, "NO_COLOR": "1", "TZ": "UTC"}


def test_without_a_configuration_uv_is_told_of_the_platforms_alone() -> None:
    assert told(None) == {}
    markers = ("sys_platform == 'linux'", "sys_platform == 'darwin'")
    assert told(None, markers) == {"environments": list(markers)}


def test_the_deployments_configuration_is_passed_on_as_it_is(tmp_path: Path) -> None:
    text = """\
exclude-newer = "2026-01-01T00:00:00Z"
resolution = "lowest"
no-index = true
concurrent-downloads = 3
[[index]]
name = "mine"
url = "https://index.example/whatever"
default = true
[pip]
no-binary = ["numpy"]
"""
    data, _ = parse_toml(text, "")
    assert told(config(tmp_path, text)) == data


@pytest.mark.parametrize("key", HIDDEN_KEYS)
def test_what_only_the_spec_may_say_is_left_out(tmp_path: Path, key: str) -> None:
    assert told(config(tmp_path, f'{key} = ["a"]\noffline = true\n')) == {"offline": True}
    assert told(config(tmp_path, f'{key} = ["a"]\n'), ("marker",)) == {"environments": ["marker"]}


@pytest.mark.parametrize(
    "line",
    [
        "upgrade = true",
        "upgrade-package = ['pandas']",
        "no-deps = true",
        "no-emit-package = ['numpy']",
        "python = '3.9'",
        "target = '/elsewhere'",
        "prefix = '/elsewhere'",
    ],
)
def test_the_table_of_pip_is_no_side_door(tmp_path: Path, line: str) -> None:
    """Each of these would leave packages out of a lock, move its pins, or install it somewhere else."""
    assert told(config(tmp_path, f"[pip]\n{line}\nno-binary = ['a']\n")) == {"pip": {"no-binary": ["a"]}}


def test_relative_paths_in_the_table_of_pip_count_from_the_file_too(tmp_path: Path) -> None:
    text = "[pip]\nfind-links = ['../wheels']\nindex-url = 'mirror'\n"
    assert told(config(tmp_path, text)) == {
        "pip": {"find-links": [f"{tmp_path.parent}/wheels"], "index-url": f"{tmp_path}/mirror"}
    }


@pytest.mark.parametrize(
    "key",
    [
        "index-url",
        "extra-index-url",
        "no-index",
        "find-links",
        "index-strategy",
        "keyring-provider",
        "no-build",
        "no-binary",
        "only-binary",
        "no-build-isolation",
        "no-build-isolation-package",
        "config-settings",
        "config-settings-package",
        "extra-build-dependencies",
        "dependency-metadata",
        "exclude-newer",
        "exclude-newer-package",
        "prerelease",
        "resolution",
        "fork-strategy",
        "link-mode",
    ],
)
def test_the_table_of_pip_says_where_and_how(tmp_path: Path, key: str) -> None:
    value = "['/a']" if key in {"find-links", "extra-index-url"} else "'/a'"
    data, _ = parse_toml(f"[pip]\n{key} = {value}\n", "")
    assert told(config(tmp_path, f"[pip]\n{key} = {value}\n")) == data


def test_where_a_wheelhouse_stands_in_for_the_indexes_none_is_told_of(tmp_path: Path) -> None:
    text = """\
index-url = "https://index.example/main"
extra-index-url = ["https://index.example/more"]
find-links = ["wheels"]
no-index = false
link-mode = "copy"
[[index]]
url = "https://index.example/whatever"
[pip]
find-links = ["wheels"]
"""
    with uv_folder(config(tmp_path, text), without={*INDEX_KEYS, "pip"}) as folder:
        data, _ = parse_toml((folder / "pyproject.toml").read_text(encoding="utf-8"), "")
    assert data["tool"] == {"uv": {"link-mode": "copy"}}


def test_relative_paths_count_from_the_file_that_states_them(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    text = """\
find-links = ["../wheels", "/absolute", "https://index.example/flat"]
extra-index-url = ["./mirror", "https://index.example/whatever"]
index-url = "../main"
cache-dir = ".cache"
[[index]]
url = "../more"
[[index]]
url = "file:///mirror"
"""
    assert told(config(tmp_path / "etc", text)) == {
        "find-links": [f"{tmp_path}/wheels", "/absolute", "https://index.example/flat"],
        "extra-index-url": [f"{tmp_path}/etc/mirror", "https://index.example/whatever"],
        "index-url": f"{tmp_path}/main",
        "cache-dir": f"{tmp_path}/etc/.cache",
        "index": [{"url": f"{tmp_path}/more"}, {"url": "file:///mirror"}],
    }


@pytest.mark.parametrize(
    "content",
    [
        b"index = [\n",
        b"find-links = ['\xff']\n",
        b"[index]\nurl = 'https://index.example/whatever'\n",
        b"index = 'https://index.example/whatever'\n",
        b"index = ['https://index.example/whatever']\n",
        b"[[index]]\nurl = 1\n",
        b"find-links = [1]\n",
        b"index-url = ['https://index.example/whatever']\n",
        b"cache-dir = false\n",
    ],
)
def test_a_configuration_that_is_none_is_refused_with_its_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "uv.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        read_uv_config(str(path))
    (problem,) = caught.value.problems
    assert problem.where.startswith(str(path))
    assert problem.remedy


def test_an_index_without_an_address_is_left_to_uv_to_refuse(tmp_path: Path) -> None:
    assert told(config(tmp_path, "[[index]]\nname = 'mine'\n")) == {"index": [{"name": "mine"}]}


def test_a_configuration_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="gone"):
        read_uv_config(str(tmp_path / "gone.toml"))


def test_the_folder_is_for_its_owner_alone_and_goes_at_the_end() -> None:
    with uv_folder(None) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


def test_the_folder_goes_although_uv_failed() -> None:
    with pytest.raises(KeyError), uv_folder(None) as folder:
        raise KeyError
    assert not folder.exists()


def test_what_a_uv_toml_says_of_builds_from_source(tmp_path: Path) -> None:
    config = tmp_path / "uv.toml"
    config.write_text(
        'build-constraint-dependencies = ["setuptools<81"]\n'
        "[extra-build-dependencies]\n"
        'My_Package = ["cython", { requirement = "numpy", match-runtime = true }]\n'
        '[config-settings]\na = "1"\nb = "1"\n'
        '[config-settings-package]\nmy-package = { b = ["2"] }\n'
    )
    found = build_settings(str(config), "my-package")
    assert found == BuildSettings(("cython", "numpy"), ("setuptools<81",), {"a": "1", "b": ["2"]})
    assert build_settings(str(config), "other") == BuildSettings((), ("setuptools<81",), {"a": "1", "b": "1"})
    assert build_settings(None, "other") == BuildSettings()
    config.write_text("extra-build-dependencies = 1\n")
    with pytest.raises(SpecError, match="wrong type"):
        build_settings(str(config), "other")
