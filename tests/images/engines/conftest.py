"""A machine that builds images, and one image with two environments by each engine; all once a session."""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.images import machine
from tests.images.machine import PASSWORD, USER, Image, PrivateIndex
from tests.once import once
from tests.wheels import make_wheel

ENGINES = ("envman", "buildah", "podman", "docker")
CREDENTIALS = {"UV_INDEX_PRIVATE_USERNAME": USER, "UV_INDEX_PRIVATE_PASSWORD": PASSWORD}


@pytest.fixture(scope="session", autouse=True)
def _able() -> None:
    if lacking := machine.missing():
        pytest.fail(lacking)


@pytest.fixture(scope="session")
def environ(tmp_path_factory: pytest.TempPathFactory, _able: None) -> Iterator[dict[str, str]]:
    """The variables of a machine with all tools, each with storage of its own, and without credentials."""
    dropped = ("AIRFLOW", "ENVMAN", "PYTHON", "VIRTUAL_ENV", "UV_")
    folder = tmp_path_factory.mktemp("machine")
    (folder / "bin").mkdir()
    (folder / "bin/docker").symlink_to("/usr/bin/docker")  # the client that belongs to the daemon
    kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    with machine.storage() as storage:
        yield {
            **kept,
            **storage,
            "PATH": f"{folder}/bin:{kept['PATH']}",
            "ENVMAN_CACHE_DIR": str(folder / "cache"),
            "UV_CACHE_DIR": str(folder / "uv"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        shutil.rmtree(folder / "cache", ignore_errors=True)


@pytest.fixture(scope="session")
def docker(environ: dict[str, str]) -> Iterator[dict[str, str]]:
    """The variables, with a daemon for docker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", environ["PATH"])
        with machine.docker_daemon() as host:
            yield {**environ, **host}


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, _able: None) -> str:
    """A Debian, of which everybody only reads."""
    return once(tmp_path_factory, "debian", machine.make_base)


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateIndex]:
    """grid 1 and 2, and the heavy package that both environments have."""
    folder = tmp_path_factory.mktemp("wheels")
    make_wheel(folder, "grid", "1.0")
    make_wheel(folder, "grid", "2.0")
    make_wheel(folder, "heavy", "1.0", files={f"heavy/part_{n}.py": f"VALUE = {n}\n" for n in range(200)})
    served = PrivateIndex(folder)
    yield served
    served.close()


@dataclass
class Project:
    """A project whose packages are in the private index, locked."""

    folder: Path
    environ: dict[str, str]

    def envman(self, *words: str, **more: str) -> machine.Finished:
        return machine.try_to_run(
            [sys.executable, "-m", "envman", *words], {**self.environ, **more}, self.folder
        )

    def ok(self, *words: str, **more: str) -> machine.Finished:
        finished = self.envman(*words, **more)
        assert finished.exit_code == 0, finished.log
        return finished

    def image(self, tag: str) -> Image:
        return Image(Path(self.environ["ENVMAN_CACHE_DIR"]) / "images", tag)

    def storage_of(self, engine: str) -> Path:
        """Where an engine keeps what it has made."""
        if engine == "envman":
            return Path(self.environ["ENVMAN_CACHE_DIR"])
        if engine == "docker":
            return Path(self.environ["DOCKER_HOST"].removeprefix("unix://")).parent / "data"
        return Path(self.environ["CONTAINERS_STORAGE_CONF"]).parent / "graph"

    def copy_of(self, folder: Path) -> Project:
        return Project(shutil.copytree(self.folder, folder), dict(self.environ))

    def not_built_yet(self, folder: Path) -> Project:
        """A copy with the same locks, whose env_a no engine has built, and takes a step from its cache for."""
        copy = self.copy_of(folder)
        with (copy.folder / "environments/env_a.toml").open("a", encoding="utf-8") as spec:
            spec.write(f"# {folder}\n")
        return copy


@pytest.fixture(scope="session")
def project(
    tmp_path_factory: pytest.TempPathFactory, index: PrivateIndex, docker: dict[str, str], base: str
) -> Project:
    folder = tmp_path_factory.mktemp("project")
    files = {
        "envman.toml": 'root = "/venv"\n[defaults]\nairflow = false\nrequires-python = "==3.11.*"\n'
        f'platforms = ["linux-x86_64"]\n[defaults.image]\nbase = "{base}"\n'
        '[bundles]\nbundle_a = { environment = "env_a" }\nbundle_b = { environment = "env_b" }\n',
        "uv.toml": f'[[index]]\nname = "private"\nurl = "{index.url}"\n',
        "environments/env_a.toml": 'dependencies = ["grid<2", "heavy"]\n[checks]\nimports = ["grid"]\n',
        "environments/env_b.toml": 'requirements-files = ["../team_b/requirements.txt"]\n',
        "team_b/requirements.txt": "grid>=2\nheavy\n",
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    made = Project(folder, docker)
    made.ok("lock", **CREDENTIALS)
    return made


@dataclass
class Built:
    """An image with both environments, its outcome and all that was said while it was built."""

    engine: str
    tag: str
    log: str
    image: Image


def options_of(engine: str) -> list[str]:
    """What this machine needs besides: containers without networks of their own."""
    return [] if engine == "envman" else [f"--engine={engine}", "--engine-option=--network=host"]


@pytest.fixture(scope="session")
def build_all(project: Project) -> Callable[[str], Built]:
    """What gives the image of an engine, which it builds once."""

    @functools.cache
    def build(engine: str) -> Built:
        tag = f"localhost/all-{engine}:1"
        words = ["--all-in-one", *options_of(engine), "--tag", tag]
        if engine == "podman":  # its storage is buildah's
            words.append("--engine-option=--no-cache")
        done = project.ok("image", "build", *words, **CREDENTIALS)
        return Built(engine, tag, done.log, project.image(tag))

    return build


@pytest.fixture(params=ENGINES)
def built(request: pytest.FixtureRequest, build_all: Callable[[str], Built]) -> Built:
    return build_all(str(request.param))


@dataclass
class Podman:
    """Runs images of envman's cache."""

    environ: dict[str, str]

    def take(self, tag: str) -> None:
        source = f"oci:{self.environ['ENVMAN_CACHE_DIR']}/images:{tag}"
        machine.run(["skopeo", "copy", "--quiet", source, f"containers-storage:{tag}"], self.environ)

    def python(self, image: str, code: str, *entrypoint: str) -> object:
        """What a piece of Python prints, as JSON, in an image."""
        words = ["podman", "run", "--rm", "--network=none", image, *entrypoint, "python", "-c"]
        return json.loads(machine.run([*words, f"import json\n{code}"], self.environ).stdout)


@pytest.fixture(scope="session")
def podman(environ: dict[str, str]) -> Podman:
    return Podman(environ)
