"""What of a machine can build images; the programs are small stand-ins."""

from __future__ import annotations

import pytest

from envman.system.processes import Processes
from envman.usecases.images.image_engines import EngineState, probe_engines
from tests.oci.conftest import Tools, tools

__all__ = ["tools"]
VERSION = {"--version": "echo tool version 1.2.3, build x"}


def probed() -> dict[str, EngineState]:
    return {one.engine: one for one in probe_engines(Processes())}


def test_a_machine_with_nothing(tools: Tools) -> None:
    found = probed()
    assert list(found) == ["envman", "buildah", "podman", "docker"]
    assert not any(one.works or one.programs for one in found.values())
    assert found["envman"].missing == ("bwrap", "skopeo", "umoci")
    assert found["envman"].remedy == "Install: apt-get install bubblewrap skopeo umoci"
    assert found["docker"].remedy == "Install: apt-get install docker.io skopeo"


def test_a_machine_with_everything(tools: Tools) -> None:
    for name in ("skopeo", "umoci", "buildah", "podman"):
        tools.add(name, **VERSION)
    tools.add("bwrap", **VERSION, **{"--ro-bind": "exit 0"})
    tools.add("docker", **VERSION, version="echo 20.10.24")
    found = probed()
    assert all(one.works and not one.missing and not one.remedy for one in found.values())
    assert found["buildah"].programs == {"buildah": "1.2.3", "skopeo": "1.2.3"}


def test_a_sandbox_that_may_not_be_made(tools: Tools) -> None:
    for name in ("skopeo", "umoci"):
        tools.add(name, **VERSION)
    tools.add("bwrap", **VERSION, **{"--ro-bind": "echo 'No permissions to create namespace' >&2; exit 1"})
    own = probed()["envman"]
    assert (own.works, own.missing) == (False, ("user namespaces",))
    assert "No permissions to create namespace" in own.remedy


@pytest.mark.parametrize(
    ("version", "buildx", "missing"),
    [("20.10.24", 1, ()), ("28.2.2", 1, ("BuildKit",)), ("28.2.2", 0, ()), ("", 0, ("daemon",))],
)
def test_dockers_daemon_and_buildkit(
    version: str, buildx: int, missing: tuple[str, ...], tools: Tools
) -> None:
    tools.add("skopeo", **VERSION)
    answer = f"echo {version}" if version else "echo 'Cannot connect to the Docker daemon' >&2; exit 1"
    tools.add("docker", **VERSION, version=answer, buildx=f"exit {buildx}")
    assert probed()["docker"].missing == missing
