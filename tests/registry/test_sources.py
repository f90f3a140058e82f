"""Packages of the registry that have no wheel, and the backends that most sources name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Deployment, in_python
from tests.sdists import make_tarball

pytestmark = pytest.mark.registry

PROJECT = '[project]\nname = "sourced"\nversion = "1.0"\n'
BACKENDS = {
    "setuptools": ('requires = ["setuptools", "wheel"]\nbuild-backend = "setuptools.build_meta"\n', PROJECT),
    "hatchling": ('requires = ["hatchling"]\nbuild-backend = "hatchling.build"\n', PROJECT),
    "flit": (
        'requires = ["flit_core>=3.2"]\nbuild-backend = "flit_core.buildapi"\n',
        f'{PROJECT}description = "it"\n',
    ),
}


def test_sources_of_the_registry_are_built(registry_deployment: Deployment, tmp_path: Path) -> None:
    """One in Python alone, and one with a C extension; neither has a pyproject.toml."""
    deployment = registry_deployment
    deployment.environment["ENVMAN_CACHE_DIR"] = str(tmp_path / "cache")
    checks = '[checks]\nimports = ["docopt", "crcmod", "crcmod._crcfunext", "six"]\n'
    deployment.spec("env_a", ["docopt==0.6.2", "crcmod==1.7", "six"], checks)
    deployment.ok("lock")
    file = deployment.folder / "envman.toml"
    file.write_text(f"sandbox-required = true\n{file.read_text()}")
    said = deployment.ok("build").stderr
    assert "from source, in a sandbox" in said
    deployment.ok("verify")
    names = {path.name.partition("-")[0] for path in (tmp_path / "cache/wheels").glob("*/*/*.whl")}
    assert names == {"docopt", "crcmod"}
    again = deployment.ok("build", "--rebuild", "--offline").stderr
    assert "from source" not in again


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_usual_backends_build(registry_deployment: Deployment, tmp_path: Path, backend: str) -> None:
    deployment = registry_deployment
    system, project = BACKENDS[backend]
    members = {
        "pyproject.toml": f"[build-system]\n{system}{project}",
        "sourced/__init__.py": '"""It."""\n__version__ = "1.0"\n',
        "PKG-INFO": "Metadata-Version: 2.2\nName: sourced\nVersion: 1.0\n",
    }
    make_tarball(
        tmp_path / "sdists/sourced-1.0.tar.gz",
        [(f"sourced-1.0/{path}", text) for path, text in members.items()],
    )
    deployment.environment |= {
        "UV_FIND_LINKS": str(tmp_path / "sdists"),
        "ENVMAN_CACHE_DIR": str(tmp_path / "cache"),
    }
    deployment.spec("env_a", ["sourced"])
    deployment.ok("lock")
    assert "sourced 1.0 from source, in a sandbox" in deployment.ok("build").stderr
    code = in_python("import sourced; print(sourced.__version__)")
    assert deployment.ok("exec", "--environment", "env_a", "--", *code).stdout == "1.0\n"
