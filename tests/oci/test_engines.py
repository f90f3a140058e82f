from __future__ import annotations

from pathlib import Path

import pytest

from envman.errors import ExitCode, ImageError
from envman.oci.engines import NO_DAEMON, Engine, Job, Tool, spoken
from envman.system.processes import Processes
from tests.oci.conftest import Tools

IDENTIFIER = "sha256:3f9c"
WRITES = f'while [ "$1" != --iidfile ]; do shift; done; printf {IDENTIFIER} > "$2"; echo step >&2; echo said'


def job(folder: Path, *options: str) -> Job:
    context = folder / "context"
    context.mkdir()
    return Job(context, {"netrc": folder / "netrc"}, options, 1000)


@pytest.mark.parametrize("engine", [Engine.BUILDAH, Engine.PODMAN, Engine.DOCKER])
def test_a_tool_that_is_not_installed(engine: Engine, tools: Tools) -> None:
    with pytest.raises(ImageError) as raised:
        Tool(engine, Processes())
    problem = raised.value.problems[0]
    assert raised.value.exit_code == ExitCode.IMAGE
    assert (problem.where, problem.what) == (engine.value, "is not installed")
    assert "apt-get install" in problem.remedy


@pytest.mark.parametrize("engine", [Engine.BUILDAH, Engine.PODMAN])
def test_a_build_without_a_daemon(engine: Engine, tools: Tools, tmp_path: Path) -> None:
    tools.add(engine.value, build=WRITES)
    lines: list[str] = []
    assert Tool(engine, Processes()).build(job(tmp_path, "--network=host"), lines.append) == IDENTIFIER
    assert sorted(lines) == ["said", "step"]
    assert tools.calls()[1:] == [
        f"{engine.value} build --file {tmp_path}/context/Containerfile --iidfile {tmp_path}/identifier"
        f" --layers --format oci --timestamp 1000 --secret id=netrc,src={tmp_path}/netrc"
        f" --network=host {tmp_path}/context"
    ]


def test_a_build_by_docker_is_one_by_buildkit(tools: Tools, tmp_path: Path) -> None:
    tools.add("docker", version="echo 20.10", build=f'[ "$DOCKER_BUILDKIT" = 1 ] || exit 1; {WRITES}')
    assert Tool(Engine.DOCKER, Processes()).build(job(tmp_path), lambda _line: None) == IDENTIFIER
    assert tools.calls()[1] == (
        f"docker build --file {tmp_path}/context/Containerfile --iidfile {tmp_path}/identifier"
        f" --progress plain --secret id=netrc,src={tmp_path}/netrc {tmp_path}/context"
    )


def test_secrets_of_the_build_do_not_stay_with_a_container_that_is_left(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("of this build", encoding="utf-8")
    stored = [tmp_path / f"graph/overlay-containers/{name}/userdata/secrets" for name in ("ours", "others")]
    for folder, text in zip(stored, ("of this build", "of another"), strict=True):
        folder.mkdir(parents=True)
        (folder / "netrc").write_text(text, encoding="utf-8")
    tools.add("buildah", info=f"echo {tmp_path}/graph", build="exit 1")
    with pytest.raises(ImageError):
        Tool(Engine.BUILDAH, Processes()).build(job(tmp_path), lambda _line: None)
    assert [folder.exists() for folder in stored] == [False, True]


def test_a_daemon_that_does_not_answer(tools: Tools) -> None:
    tools.add("docker", version="echo 'Cannot connect to the Docker daemon at unix:///x' >&2; exit 1")
    with pytest.raises(ImageError) as raised:
        Tool(Engine.DOCKER, Processes())
    problem = raised.value.problems[0]
    assert "Cannot connect" in problem.what
    assert problem.remedy == NO_DAEMON


@pytest.mark.parametrize(
    ("says", "remedy"),
    [
        ("#5 1.2 /bin/sh: python3: not found", "python3"),
        ("#5 1.2 The virtual environment was not created because ensurepip is not available", "python3-venv"),
        ("x509: certificate signed by unknown authority", "SSL_CERT_FILE"),
        ("write: no space left on device", "Free space"),
        ("#5 1.2 invalid peer certificate: UnknownIssuer", "SSL_CERT_FILE"),
        ("#5 1.2 ERROR: 401 Error, Credentials not correct for the index", "credentials"),
        ("RUN --mount=type=secret,id=certificates", "Read buildah's message."),
        ("something else", "Read buildah's message."),
    ],
)
def test_a_build_that_fails_shows_its_last_lines(
    says: str, remedy: str, tools: Tools, tmp_path: Path
) -> None:
    tools.add(
        "buildah",
        build=f"i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; done; echo '{says}' >&2; exit 3",
    )
    with pytest.raises(ImageError) as raised:
        Tool(Engine.BUILDAH, Processes()).build(job(tmp_path), lambda _line: None)
    problem = raised.value.problems[0]
    assert problem.what.splitlines()[-1].strip() == spoken(says)
    assert "line 40" in problem.what
    assert "line 20\n" not in problem.what
    assert remedy in problem.remedy


def test_credentials_of_urls_are_in_no_message(tools: Tools, tmp_path: Path) -> None:
    tools.add("buildah", build="echo 'no https://ci:secret@pypi.company.example/' >&2; exit 1")
    lines: list[str] = []
    with pytest.raises(ImageError) as raised:
        Tool(Engine.BUILDAH, Processes()).build(job(tmp_path), lines.append)
    assert "secret" not in str(raised.value)
    assert "secret" not in "".join(lines)


def test_a_base_that_the_tool_has_is_not_given_again(tools: Tools, tmp_path: Path) -> None:
    tools.add("buildah", inspect="exit 0")
    assert (
        Tool(Engine.BUILDAH, Processes()).load(tmp_path, "localhost/base:1", tmp_path) == "localhost/base:1"
    )
    assert tools.calls() == ["buildah inspect --type image localhost/base:1"]


def test_a_base_is_given_under_a_name(tools: Tools, tmp_path: Path) -> None:
    tools.add("podman", inspect="exit 125", pull="echo note >&2; echo 3f9c", tag="exit 0")
    Tool(Engine.PODMAN, Processes()).load(tmp_path, "localhost/base:1", tmp_path)
    assert tools.calls()[1:] == [
        f"podman pull --quiet oci:{tmp_path.name}:image",
        "podman tag 3f9c localhost/base:1",
    ]


def test_an_image_that_cant_be_handed_over(tools: Tools, tmp_path: Path) -> None:
    tools.add("buildah", push="echo 'no space left on device'; exit 1")
    with pytest.raises(ImageError, match="could not hand over"):
        Tool(Engine.BUILDAH, Processes()).save(IDENTIFIER, tmp_path)
    assert tools.calls() == [f"buildah push --quiet 3f9c oci:{tmp_path}/layout:image"]
