"""The dev overlay: what `[dev]` asks for, locked over the environment's own versions, built beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Deployment, in_python
from tests.wheels import make_wheel

VERSIONS = in_python("import frame, grid, tool, sys; print(frame.__version__, grid.__version__, sys.prefix)")


@pytest.fixture
def project(two_teams: Deployment, tmp_path: Path) -> Deployment:
    """`helper` fits both environments, by grid's version; `tool` needs it."""
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "helper", "1.0", ["grid<2"])
    make_wheel(wheels, "helper", "2.0", ["grid>=2"])
    make_wheel(wheels, "only-new", "1.0", ["grid>=2"])
    two_teams.environment["UV_FIND_LINKS"] = str(wheels)
    for name in ("env_a", "env_b"):
        spec = two_teams.folder / f"environments/{name}.toml"
        spec.write_text(spec.read_text() + '[dev]\ndependencies = ["tool", "helper", "grid"]\n')
    return two_teams


def overlays(deployment: Deployment) -> list[Path]:
    return sorted((deployment.root / ".dev").iterdir())


def pins(deployment: Deployment, name: str) -> list[str]:
    text = (deployment.folder / f"environments/{name}.dev-lock").read_text()
    return [line.split(" ")[0] for line in text.splitlines() if "==" in line.split(" ")[0]]


def test_it_holds_the_environments_versions_and_only_what_that_lacks(project: Deployment) -> None:
    missing = project.run("lock", "--check")
    assert missing.exit_code == 4
    assert (
        "environments/env_a.dev-lock: the dev overlay of the environment 'env_a' has no lock"
        in missing.stderr
    )
    project.ok("lock")
    assert pins(project, "env_a") == ["helper==2.0", "tool==1.0"]
    assert pins(project, "env_b") == ["helper==1.0", "tool==1.0"]
    assert "4 of 4 locks answer their specs" in project.ok("lock", "--check").stdout
    before = {name: project.current(name) for name in ("env_a", "env_b")}
    for bundle, versions in (("bundle_a", "2.2 2.0"), ("bundle_b", "1.5 1.1")):
        ran = project.ok("run", "--bundle", bundle, "--dev", *VERSIONS)
        assert ran.stdout.startswith(f"{versions} {project.root}/.dev/")
    assert len(overlays(project)) == 2
    assert "building" not in project.ok("run", "--bundle", "bundle_a", "--dev", *VERSIONS).stderr
    assert {name: project.current(name) for name in before} == before
    assert project.run("exec", "--bundle", "bundle_a", *VERSIONS).exit_code == 1  # no tool there
    program = project.ok("run", "--environment", "env_a", "--dev", "tool")
    assert f"{project.root}/.dev/" in program.stdout
    assert project.run("run", "--environment", "env_a", "tool").exit_code == 127
    project.ok("verify")  # nothing of the generations has changed


def test_what_changed_is_named_and_nothing_is_built_of_it(project: Deployment) -> None:
    project.ok("lock")
    spec = project.folder / "environments/env_a.toml"
    text = spec.read_text()
    spec.write_text(text.replace('"tool", ', ""))
    for command in (("lock", "--check"), ("run", "--bundle", "bundle_a", "--dev", "true")):
        stale = project.run(*command)
        assert stale.exit_code == (4 if command[0] == "lock" else 125)
        assert "dev.dependencies changed" in stale.stderr
    assert not (project.root / ".dev").exists()
    spec.write_text(text.replace('["frame>=2"]', '["frame>=2", "heavy"]'))
    project.ok("lock", "env_a")
    behind = project.run("run", "--bundle", "bundle_a", "--dev", "true")
    assert behind.exit_code == 125
    assert "is not built from environments/env_a.lock" in behind.stderr
    spec.write_text(text.replace('"helper"', '"helper<2"'))
    unfit = project.run("lock", "env_a")
    assert unfit.exit_code == 5
    assert (
        "environments/env_a.toml: dev.dependencies: does not fit what environments/env_a.lock" in unfit.stderr
    )
    spec.write_text(text.partition("[dev]")[0])
    project.ok("lock", "env_a")
    assert not (project.folder / "environments/env_a.dev-lock").exists()
    none = project.run("run", "--bundle", "bundle_a", "--dev", "true")
    assert "declares no dev dependencies" in none.stderr


def test_it_goes_with_its_generation(project: Deployment) -> None:
    project.ok("lock")
    first = project.start("run", "--bundle", "bundle_a", "--dev", *VERSIONS)
    second = project.start("run", "--bundle", "bundle_a", "--dev", *VERSIONS)  # both at once
    said = {process.communicate(timeout=100)[0] for process in (first, second)}
    assert len(said) == 1
    (old,) = overlays(project)
    spec = project.folder / "environments/env_a.toml"
    spec.write_text(spec.read_text().replace('"tool", ', ""))
    project.ok("lock", "env_a")
    project.ok("run", "--bundle", "bundle_a", "--dev", "true")
    assert len(overlays(project)) == 2
    assert "dev overlay" in project.ok("gc", "--dry-run").stdout
    assert len(overlays(project)) == 2
    assert f"{old.name}  removed" in project.ok("gc").stdout
    (left,) = overlays(project)
    assert left != old
    (left / "envman-dev.json").unlink()  # as a build that was killed leaves it
    project.ok("gc")
    assert overlays(project) == []
    project.ok("run", "--bundle", "bundle_a", "--dev", "true")
    spec.write_text(spec.read_text().replace('["frame>=2"]', '["frame>=2", "heavy"]'))
    project.ok("lock", "env_a")
    project.ok("build", "env_a")
    project.ok("gc", "--keep", "1")
    assert overlays(project) == []
