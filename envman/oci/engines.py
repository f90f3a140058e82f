"""Run the programs that build from a Containerfile: buildah, podman, and docker with BuildKit."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from envman.errors import ImageError, Problem
from envman.oci.image_layout import Layout
from envman.oci.skopeo import Skopeo, layout_reference
from envman.spec.image_names import Reference
from envman.system.child_process import Finished
from envman.system.processes import Processes

RESULT = "image"
"""What the one image of a layout made here is called."""

_LAST_LINES = 15


class Engine(str, Enum):
    """What builds images. `envman` needs neither a daemon nor root; the others run a Containerfile."""

    ENVMAN = "envman"
    BUILDAH = "buildah"
    PODMAN = "podman"
    DOCKER = "docker"


PACKAGES = {Engine.BUILDAH: "buildah", Engine.PODMAN: "podman", Engine.DOCKER: "docker.io"}
"""The Debian packages that bring them."""

NO_DAEMON = "Start its daemon (systemctl start docker), or choose --engine buildah, which needs none."

_AUTHORITIES = "Name the authorities to trust: SSL_CERT_FILE=FILE"
_CREDENTIALS = (
    "Give the index's credentials: UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD, or a netrc."
)

_SIGNS = (
    ("cannot connect to the docker daemon", NO_DAEMON),
    ("buildx component is missing", "Install BuildKit's client: apt-get install docker-buildx"),
    ("ensurepip is not", "The base lacks Python's venv: apt-get install python3-venv, or another base."),
    ("no module named venv", "The base lacks Python's venv: apt-get install python3-venv, or another base."),
    ("python3: not found", "The base needs a Python on its PATH, as python3."),
    ("x509", _AUTHORITIES),
    ("certificate verify failed", _AUTHORITIES),
    ("invalid peer certificate", _AUTHORITIES),
    ("no space left on device", "Free space on that file system."),
    ("401 error", _CREDENTIALS),
    ("401 unauthorized", _CREDENTIALS),
    ("unauthorized", "Log in to the registry that has the base."),
    ("operation not permitted", "Run it as root, or with --engine envman, which needs no rights."),
)


@dataclass(frozen=True)
class Job:
    """A build: a context folder with a Containerfile, secrets as files, options of the tool's own.

    No other build has the same secrets, in every byte.
    `epoch` is the time of the image in seconds since 1970.
    """

    context: Path
    secrets: Mapping[str, Path]
    options: Sequence[str]
    epoch: int


class Tool:
    """buildah, podman or docker, as it is on this machine; raises ImageError where it is not."""

    def __init__(self, engine: Engine, processes: Processes) -> None:
        self.engine = engine
        self._processes = processes
        found = shutil.which(engine.value)
        if found is None:
            remedy = f"Install it: apt-get install {PACKAGES[engine]}. What there is: envman image engines"
            raise ImageError(Problem(engine.value, "is not installed", remedy))
        self._program = found
        if engine is Engine.DOCKER:
            finished = self.run("version", "--format", "{{.Server.Version}}")
            if finished.exit_code:
                raise ImageError(
                    Problem("docker", f"its daemon does not answer\n  {_last(finished, 1)}", NO_DAEMON)
                )

    def run(self, *words: str, folder: str = "/", on_line: Callable[[str], None] | None = None) -> Finished:
        """Run it to its end, in a folder; what it prints comes as standard error, line by line."""
        # buildah and podman print a build's steps to standard output, which is read at the end only
        merged = ["/bin/sh", "-c", 'exec "$@" >&2', "sh", self._program, *words]
        return self._processes.run(merged, {**os.environ, "DOCKER_BUILDKIT": "1"}, folder, (), on_line)

    def version(self) -> str:
        """Its version, as it says it."""
        words = [word.strip(",") for word in self.run("--version").stderr.split() if word[:1].isdigit()]
        return words[0] if words else "unknown"

    def build(self, job: Job, on_line: Callable[[str], None]) -> str:
        """Build an image; returns its identifier there. Raises ImageError with the tool's last lines."""
        identifier = job.context.parent / "identifier"
        words = ["build", "--file", str(job.context / "Containerfile"), "--iidfile", str(identifier)]
        if self.engine is Engine.DOCKER:
            words += ["--progress", "plain"]
        else:
            words += ["--layers", "--format", "oci", "--timestamp", str(job.epoch)]
        for name, path in job.secrets.items():
            words += ["--secret", f"id={name},src={path}"]
        storage = self._storage()
        try:
            finished = self.run(*words, *job.options, str(job.context), on_line=on_line)
        finally:
            if storage:
                _remove_secrets(storage, job)
        if finished.exit_code:
            raise self._failed("could not build the image", finished)
        return identifier.read_text(encoding="ascii").strip()

    def _storage(self) -> Path | None:
        """Where it keeps the containers of a build's steps, with copies of the secrets; docker has none."""
        if self.engine is Engine.DOCKER:
            return None
        field = "{{.store.GraphRoot}}" if self.engine is Engine.BUILDAH else "{{.Store.GraphRoot}}"
        finished = self.run("info", "--format", field)
        lines = finished.stderr.split()
        return Path(lines[-1]) if lines and finished.exit_code == 0 else None

    def load(self, layout: Path, name: str, folder: Path) -> str:
        """Give it an image of a layout under a name, where it has none of that name; raises ImageError."""
        kind = ("--type", "image") if self.engine is Engine.BUILDAH else ("--type=image",)
        if self.run("inspect", *kind, name).exit_code == 0:
            return name
        source = layout_reference(layout, RESULT)
        if self.engine is Engine.DOCKER:
            archive = folder / "base.tar"
            Skopeo(self._processes).copy(source, Reference("docker-archive", f"{archive}:{name}"))
            finished = self.run("load", "--input", str(archive))
            archive.unlink()
        else:
            # it makes a name of the path, in which not every path may stand
            relative = layout_reference(Path(layout.name), RESULT).transport()
            finished = self.run("pull", "--quiet", relative, folder=str(layout.parent))
            if finished.exit_code == 0:
                finished = self.run("tag", finished.stderr.strip().splitlines()[-1], name)
        if finished.exit_code:
            raise self._failed(f"could not take the base as {name}", finished)
        return name

    def save(self, identifier: str, folder: Path) -> Layout:
        """An image of the tool's as an OCI layout, under the name `image`; raises ImageError."""
        layout = folder / "layout"
        if self.engine is Engine.DOCKER:
            archive = folder / "image.tar"
            finished = self.run("save", "--output", str(archive), identifier)
            if finished.exit_code == 0:
                reference = Reference("docker-archive", str(archive))
                Skopeo(self._processes).copy(reference, layout_reference(layout, RESULT))
                archive.unlink()
        else:
            target = layout_reference(layout, RESULT).transport()
            finished = self.run("push", "--quiet", identifier.removeprefix("sha256:"), target)
        if finished.exit_code:
            raise self._failed("could not hand over the image", finished)
        return Layout(layout)

    def _failed(self, what: str, finished: Finished) -> ImageError:
        said = finished.stderr.lower()
        fallback = f"Read {self.engine.value}'s message."
        remedy = next((remedy for sign, remedy in _SIGNS if sign in said), fallback)
        return ImageError(Problem(self.engine.value, f"{what}\n  {_last(finished, _LAST_LINES)}", remedy))


def _remove_secrets(storage: Path, job: Job) -> None:
    """Remove a build's secrets from the container that buildah leaves where it is ended: it copied them."""
    ours = {name: path.read_bytes() for name, path in job.secrets.items()}
    for folder in storage.glob("*-containers/*/userdata/secrets"):
        with contextlib.suppress(OSError):  # another build's, which ends by itself
            if {path.name: path.read_bytes() for path in folder.iterdir()} == ours:
                shutil.rmtree(folder)


_PREFIX = re.compile(r"^#\d+ (?:\d+\.\d+ )?")
"""How BuildKit begins its lines: the step, and the seconds since that began."""


def spoken(line: str) -> str:
    """A line of a tool without what BuildKit puts before it."""
    return _PREFIX.sub("", line).strip()


def _last(finished: Finished, count: int) -> str:
    lines = [spoken(line) for line in finished.stderr.splitlines()]
    return "\n  ".join([line for line in lines if line and not line.startswith("sha256:")][-count:])
