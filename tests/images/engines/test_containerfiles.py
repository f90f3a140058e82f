"""Containerfiles that people build by hand: the one that envman prints, and the one of the docs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from envman.usecases.images.own_wheel import write_own_wheel
from tests.images import machine
from tests.images.engines.conftest import Built, Podman, Project
from tests.images.machine import PASSWORD, SECRETS, USER, Image, PrivateIndex

pytestmark = [pytest.mark.registry, pytest.mark.xdist_group("engines")]
DOCS = Path(__file__).resolve().parents[3] / "docs/how-to/build-in-an-image.md"
TOOLS = ("buildah", "docker")


@pytest.fixture(scope="module", params=TOOLS)
def tool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def by_hand(
    project: Project, tmp_path_factory: pytest.TempPathFactory, build_all: Callable[[str], Built]
) -> Project:
    """The project with envman's wheel in it, and a netrc file beside it.

    The engine's own image is there first: else it would begin with steps that are made by hand, which have
    another name of the base in their history.
    """
    build_all("buildah")
    made = project.copy_of(tmp_path_factory.mktemp("by_hand") / "project")
    (made.folder / "dist").mkdir()
    write_own_wheel(made.folder / "dist")
    netrc = made.folder.parent / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n", encoding="utf-8")
    return made


def base_of(tool: str, project: Project, base: str) -> str:
    """The base under a name that the tool knows."""
    name = "localhost/base:12"
    target = f"containers-storage:{name}" if tool == "buildah" else f"docker-daemon:{name}"
    host = ["--dest-daemon-host", project.environ["DOCKER_HOST"]] if tool == "docker" else []
    machine.run(["skopeo", "copy", "--quiet", *host, base, target], project.environ)
    return name


def build(tool: str, project: Project, text: str, tag: str, *options: str) -> machine.Finished:
    (project.folder / "Containerfile").write_text(text, encoding="utf-8")
    said = re.search(r"--timestamp (\d+)", text)
    times = f"--timestamp={said[1] if said else 0}"
    own = ["--layers", times] if tool == "buildah" else ["--progress=plain"]
    secrets = [f"--secret=id=netrc,src={project.folder.parent}/netrc"]
    if certificates := project.environ.get("SSL_CERT_FILE"):
        secrets += [f"--secret=id=certificates,src={certificates}"]
    words = [
        tool,
        "build",
        *own,
        "--network=host",
        *secrets,
        *options,
        "--file=Containerfile",
        f"--tag={tag}",
        ".",
    ]
    return machine.run(words, {**project.environ, "DOCKER_BUILDKIT": "1"}, project.folder)


def saved(tool: str, project: Project, tag: str, folder: Path) -> Image:
    """The image as a layout, and in podman's storage."""
    host = ["--src-daemon-host", project.environ["DOCKER_HOST"]] if tool == "docker" else []
    source = f"containers-storage:{tag}" if tool == "buildah" else f"docker-daemon:{tag}"
    machine.run(["skopeo", "copy", "--quiet", *host, source, f"oci:{folder}:image"], project.environ)
    if tool == "docker":
        machine.run(
            ["skopeo", "copy", "--quiet", f"oci:{folder}:image", f"containers-storage:{tag}"], project.environ
        )
    return Image(folder, "image")


def test_the_printed_one(
    tool: str, by_hand: Project, base: str, podman: Podman, index: PrivateIndex, tmp_path: Path
) -> None:
    name = base_of(tool, by_hand, base)
    storage = f"containers-storage:{name}" if tool == "buildah" else f"docker-daemon:{name}"
    (wheel,) = (by_hand.folder / "dist").iterdir()
    words = ["--base", storage, "--all-in-one", "--wheel", f"dist/{wheel.name}"]
    text = by_hand.ok("image", "containerfile", *words).stdout
    tag, answered = f"localhost/printed-{tool}:1", index.answered
    log = build(tool, by_hand, text, tag).log
    assert index.answered > answered
    image = saved(tool, by_hand, tag, tmp_path / "layout")
    for secret in SECRETS:
        assert secret.decode() not in log
        assert not image.holds(secret)
    assert sum(entry.islnk() for entry in image.environments_layer() if "/heavy/part_" in entry.name) == 200
    code = "import grid, os; print(json.dumps([grid.__version__, os.getuid()]))"
    words = ["envman", "exec", "--bundle", "bundle_b", "--"]
    assert podman.python(tag, code, *words) == ["2.0", 50000]


def test_the_one_of_the_docs(tool: str, by_hand: Project, base: str, podman: Podman, tmp_path: Path) -> None:
    blocks = re.findall(r"```dockerfile\n(ARG BASE.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (text,) = blocks
    named = "--mount=type=bind,source=uv.toml,target=/deployment/uv.toml"
    more = "--mount=type=bind,source=team_b,target=/deployment/team_b"
    text = text.replace(named, f"{named} \\\n    {more}")  # what the spec of env_b names
    tag = f"localhost/docs-{tool}:1"
    log = build(tool, by_hand, text, tag, f"--build-arg=BASE={base_of(tool, by_hand, base)}").log
    image = saved(tool, by_hand, tag, tmp_path / "layout")
    for secret in SECRETS:
        assert secret.decode() not in log
        assert not image.holds(secret)
    code = "import grid, os; print(json.dumps([grid.__version__, os.getuid()]))"
    assert podman.python(tag, code, "--bundle", "bundle_a", "--") == ["1.0", 65534]
