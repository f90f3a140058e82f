"""`envman lock` with sources whose metadata only a build tells: what that build's code reaches, and may say."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.conftest import Deployment, in_python
from tests.integration.test_source_builds import HOSTILE, SECRETS, poisoned
from tests.sdists import make_sdist
from tests.wheels import make_wheel

OLD = "Metadata-Version: 1.0\nName: {0}\nVersion: 1.0\n"
"""Metadata of a kind that uv does not believe: the backend is asked."""


def dynamic(folder: Path, name: str, backend: str = "", requires: tuple[str, ...] = ()) -> Path:
    return make_sdist(folder, name, "1.0", backend, requires, {"PKG-INFO": OLD.format(name)})


def pins(deployment: Deployment) -> dict[str, str]:
    text = (deployment.folder / "environments/env_a.lock").read_text(encoding="utf-8")
    assert len(re.findall("^[a-z]", text, re.MULTILINE)) <= text.count("--hash=sha256:")
    return dict(re.findall(r"^([a-z-]+)==([^\s;]+)", text, re.MULTILINE))


def test_a_source_says_what_it_depends_on(deployment: Deployment, sdists: Path) -> None:
    dynamic(sdists, "outer", requires=("inner", "grid<2"))
    dynamic(sdists, "inner")
    deployment.spec("env_a", ["outer"])
    said = deployment.ok("lock").stderr
    assert pins(deployment) == {"outer": "1.0", "inner": "1.0", "grid": "1.1"}
    assert "outer 1.0 from source, in a sandbox" in said
    assert "inner 1.0 has no wheel" in said
    deployment.ok("build")
    again = deployment.ok("lock", "--upgrade").stderr
    assert "from source, in a sandbox" not in again  # it is remembered


def test_a_hostile_source_reaches_nothing(deployment: Deployment, sdists: Path, tmp_path: Path) -> None:
    home, cache = Path(deployment.environment["HOME"]), Path(deployment.environment["UV_CACHE_DIR"])
    (home / ".netrc").write_text("machine example.org login me password hunter2\n")
    deployment.spec("env_b", ["frame<2"])
    deployment.ok("lock", "env_b")
    deployment.ok("build", "env_b")
    where = {"home": str(home), "cache": str(cache), "root": str(deployment.root), "mark": "m", "port": 9}
    told = """
said = json.loads(files()["hostile/__init__.py"].removeprefix("SAID = '").rstrip().removesuffix("'"))
REQUIRES = ["grid<2"] + ["said-" + one for one in said["done"]]
"""
    backend = HOSTILE.format(**where) + told
    dynamic(sdists, "hostile", backend)
    deployment.spec("env_a", ["hostile"])
    deployment.ok("lock", "env_a", variables=SECRETS)
    assert pins(deployment) == {"hostile": "1.0", "grid": "1.1"}  # nothing that it could do
    assert poisoned(home, cache, deployment.root) == []
    assert json.loads(deployment.ok("list", "--json").stdout)["ok"]


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("NAME = 'another'\n", "its metadata is that of another 1.0"),
        ("VERSION = '2.0'\n", "its metadata is that of liar 2.0"),
        ("REQUIRES = ['grid @@ 7']\n", "its metadata can't be read"),
        ("raise SystemExit(3)\n", "ended with"),
        ("def build_wheel(folder, *_):\n    return '../../x.whl'\n", "can't be built"),
    ],
)
def test_what_it_says_wrongly_is_its_error(
    deployment: Deployment, sdists: Path, backend: str, said: str
) -> None:
    dynamic(sdists, "liar", backend)
    deployment.spec("env_a", ["liar"])
    refused = deployment.run("lock")
    assert refused.exit_code == 6
    assert "liar 1.0" in refused.stderr
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr.partition("ended with")[0]
    assert not (deployment.folder / "environments/env_a.lock").exists()


def test_a_lock_with_a_source_is_what_resolving_gives(deployment: Deployment, sdists: Path) -> None:
    dynamic(sdists, "outer")
    deployment.spec("env_a", ["outer"])
    deployment.ok("lock")
    assert "1 of 1 locks" in deployment.ok("lock", "--check", "--resolve").stdout
    dynamic(sdists, "outer", "REQUIRES = ['grid']\n")
    checked = deployment.run("lock", "--check", "--resolve")
    assert checked.exit_code == 4
    assert "grid" in checked.stderr


def test_a_lock_of_a_stranger_is_resolved_in_a_sandbox_only(
    deployment: Deployment, sdists: Path, tmp_path: Path
) -> None:
    """As on a machine without bubblewrap, where `lock` itself would go on."""
    trace = tmp_path / "it-ran"
    dynamic(sdists, "outer")
    deployment.spec("env_a", ["outer"])
    deployment.ok("lock")
    dynamic(sdists, "outer", f"open({str(trace)!r}, 'w').close()\n")
    path = without_programs(deployment, tmp_path)
    refused = deployment.run("lock", "--check", "--resolve", variables={"PATH": path})
    assert refused.exit_code == 6
    assert "no sandbox can be had" in refused.stderr
    assert not trace.exists()


def test_exporting_a_lock_builds_nothing(deployment: Deployment, sdists: Path, tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    dynamic(sdists, "outer")
    deployment.spec("env_a", ["outer"])
    deployment.ok("lock")
    dynamic(sdists, "outer", f"open({str(trace)!r}, 'w').close()\n")
    deployment.run("export", "env_a")
    assert not trace.exists()


def without_programs(deployment: Deployment, tmp_path: Path) -> str:
    """A PATH with Python and nothing else."""
    empty = tmp_path / "empty"
    empty.mkdir()
    return os.pathsep.join([deployment.environment["PATH"].split(os.pathsep)[0], str(empty)])


def test_a_sandbox_can_be_asked_for(deployment: Deployment, sdists: Path, tmp_path: Path) -> None:
    """As on a machine without bubblewrap."""
    dynamic(sdists, "outer")
    deployment.spec("env_a", ["outer"])
    text = (deployment.folder / "envman.toml").read_text()
    deployment.write("envman.toml", f"sandbox-required = true\n{text}")
    refused = deployment.run("lock", variables={"PATH": without_programs(deployment, tmp_path)})
    assert refused.exit_code == 6
    assert "no sandbox can be had" in refused.stderr


REQUIRES = '[build-system]\nrequires = [{0!r}]\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def test_each_build_of_a_wheelhouse_has_requirements_of_its_own(
    deployment: Deployment, sdists: Path, wheelhouse: Path
) -> None:
    """What one asks for does not fit what the other does; and the deployment's constraints hold."""
    for name, asked in (("old", "grid<2"), ("new", "grid>=2"), ("any", "frame")):
        make_sdist(sdists, name, files={"pyproject.toml": REQUIRES.format(asked)})
    deployment.spec("env_a", ["old", "new", "any"])
    del deployment.environment["UV_FIND_LINKS"]
    folders = json.dumps([str(sdists), str(wheelhouse)])
    constraints = 'build-constraint-dependencies = ["frame<2"]\n'
    deployment.write("uv.toml", f"no-index = true\nfind-links = {folders}\n{constraints}")
    deployment.ok("lock")
    deployment.ok("wheelhouse", "env_a", "wheels")
    names = {path.name.partition("-py3")[0] for path in (deployment.folder / "wheels").glob("*.whl")}
    assert {"grid-1.1", "grid-2.0", "frame-1.5"} <= names
    assert "frame-2.2" not in names
    deployment.environment["ENVMAN_CACHE_DIR"] += "-of-another"
    deployment.ok("build", "--wheelhouse", "wheels")


def test_a_wheel_that_is_there_comes_before_one_that_was_built(deployment: Deployment, sdists: Path) -> None:
    make_sdist(
        sdists, "later", backend="def files():\n    return {'later/__init__.py': \"FROM = 'source'\"}\n"
    )
    deployment.spec("env_a", ["later"])
    asked = ("exec", "--environment", "env_a", "--", *in_python("import later; print(later.FROM)"))
    deployment.ok("lock")
    deployment.ok("build")
    assert deployment.ok(*asked).stdout == "source\n"
    make_wheel(sdists, "later", "1.0", files={"later/__init__.py": "FROM = 'wheel'\n"})
    deployment.ok("lock", "--upgrade")
    deployment.ok("build")
    assert deployment.ok(*asked).stdout == "wheel\n"


def test_a_cache_may_be_named_relatively(deployment: Deployment, sdists: Path) -> None:
    dynamic(sdists, "outer")
    deployment.spec("env_a", ["outer"])
    deployment.environment["UV_CACHE_DIR"] = "cache"
    deployment.ok("lock")
    deployment.ok("build")
    assert (deployment.folder / "cache/CACHEDIR.TAG").exists()
