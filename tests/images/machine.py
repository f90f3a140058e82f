"""What images are built and run with here: tools with storage of their own, a base, a private index."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.waiting import until

DEBIAN = "buildah podman skopeo umoci runc bubblewrap mmdebstrap docker.io docker-registry"
PROGRAMS = (
    "buildah",
    "podman",
    "skopeo",
    "umoci",
    "runc",
    "bwrap",
    "mmdebstrap",
    "dockerd",
    "docker-registry",
)

USER, PASSWORD = "ci", "correct-horse-battery-staple"
SECRETS = (PASSWORD.encode(), base64.b64encode(f"{USER}:{PASSWORD}".encode()))
"""The password, as it is written and as HTTP's basic authentication sends it (RFC 7617)."""

CONTAINERS = """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
"""


def missing() -> str:
    """What these tests lack on this machine; empty where they can run."""
    if os.getuid():
        return "containers are run as root here"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"no {', '.join(absent)}: apt-get install {DEBIAN}" if absent else ""


class PrivateIndex:
    """A package index (PEP 503) on loopback that wants a name and a password."""

    def __init__(self, folder: Path) -> None:
        self.refused = self.answered = 0
        pages = {
            f"/simple/{name}/": self._page(folder, name)
            for name in {wheel.name.partition("-")[0] for wheel in folder.glob("*.whl")}
        }
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(folder, pages))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/simple/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def _page(folder: Path, name: str) -> bytes:
        links = [
            f'<a href="/files/{one.name}#sha256={hashlib.sha256(one.read_bytes()).hexdigest()}">{one.name}</a>'
            for one in sorted(folder.glob(f"{name}-*.whl"))
        ]
        return "\n".join(links).encode()

    def _handler(self, folder: Path, pages: Mapping[str, bytes]) -> type[BaseHTTPRequestHandler]:
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.headers.get("Authorization") != f"Basic {SECRETS[1].decode()}":
                    index.refused += 1
                    self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="private"'})
                    return
                index.answered += 1
                wheel = folder / self.path.rpartition("/")[2]
                if self.path in pages:
                    self._answer(200, pages[self.path], {"Content-Type": "text/html"})
                elif self.path.startswith("/files/") and wheel.is_file():
                    self._answer(200, wheel.read_bytes(), {"Content-Type": "application/octet-stream"})
                else:
                    self._answer(404, b"", {})

            do_HEAD = do_GET

            def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def make_base(folder: Path) -> str:
    """A small Debian with Python, by mmdebstrap, as an image of an OCI layout; returns its name."""
    archive, layout = folder / "root.tar", folder / "base"
    words = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3,python3-venv,ca-certificates"]
    run([*words, "bookworm", str(archive)])
    run(["umoci", "init", "--layout", str(layout)])
    run(["umoci", "new", "--image", f"{layout}:12"])
    run(["umoci", "raw", "add-layer", "--image", f"{layout}:12", str(archive)])
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    run(["umoci", "config", "--image", f"{layout}:12", "--config.env", path])
    archive.unlink()
    return f"oci:{layout}:12"


@contextmanager
def storage(above: Path | None = None) -> Iterator[dict[str, str]]:
    """Storage of their own for buildah and podman; yields the variables that name it. It is removed, unless it is
    below a folder that its owner removes.
    """
    folder = Path(tempfile.mkdtemp(prefix="envman-images-", dir=above))
    (folder / "containers.conf").write_text(CONTAINERS, encoding="utf-8")
    conf = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
    (folder / "storage.conf").write_text(conf, encoding="utf-8")
    (folder / "tmp").mkdir()  # buildah's cache of mounted folders is among the temporary ones
    try:
        yield {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "BUILDAH_ISOLATION": "chroot",
            "TMPDIR": str(folder / "tmp"),
        }
    finally:
        for mount in (folder / "graph/overlay", folder / "run/overlay"):
            subprocess.run(["umount", "--lazy", str(mount)], check=False, capture_output=True)
        if above is None:
            subprocess.run(["rm", "-rf", str(folder)], check=False)  # much faster than shutil


@contextmanager
def own_disk() -> Iterator[Path]:
    """A folder on a file system of its own, where this machine can mount one: all of it goes at once, where
    100,000 files of images would take minutes on a disk that is busy.
    """
    folder = Path(tempfile.mkdtemp(prefix="envman-disk-"))
    image, place = folder / "image", folder / "disk"
    place.mkdir()
    run(["truncate", "--size", "16G", str(image)])
    run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", str(image)])
    try_to_run(["mount", "-o", "loop", str(image), str(place)])
    try:
        yield place
    finally:
        try_to_run(["umount", "--lazy", str(place)])
        run(["rm", "-rf", str(folder)])


@contextmanager
def docker_daemon() -> Iterator[dict[str, str]]:
    """A daemon of its own for docker; yields the variable that names it."""
    folder = Path(tempfile.mkdtemp(prefix="envman-docker-"))  # short: a socket's path has 107 bytes
    words = ["dockerd", "--iptables=false", "--bridge=none", "--storage-driver=overlay2"]
    words += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    words += ["--host", f"unix://{folder}/socket", "--pidfile", f"{folder}/pid"]
    with (folder / "log").open("w") as log, subprocess.Popen(words, stdout=log, stderr=log) as daemon:
        try:
            host = {"DOCKER_HOST": f"unix://{folder}/socket"}
            wait_for_docker(host, daemon)
            yield host
        finally:
            daemon.terminate()
            daemon.wait(60)
            subprocess.run(["rm", "-rf", str(folder)], check=False)  # much faster than shutil


def wait_for_docker(host: Mapping[str, str], daemon: subprocess.Popen[bytes]) -> None:
    def answers() -> bool:
        assert daemon.poll() is None, "dockerd ended"
        asked = subprocess.run(
            ["docker", "version"], env={**os.environ, **host}, capture_output=True, check=False
        )
        return asked.returncode == 0

    until(answers, "dockerd does not answer")


@dataclass
class Finished:
    """What a program gave: its status, and standard output and error together."""

    exit_code: int
    stdout: str
    log: str


def run(words: list[str], environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Finished:
    """Run a program, which has to succeed."""
    finished = try_to_run(words, environ, folder)
    assert finished.exit_code == 0, f"{words}\n{finished.log}"
    return finished


def try_to_run(
    words: list[str], environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> Finished:
    finished = subprocess.run(
        words, env=environ, cwd=folder, capture_output=True, text=True, timeout=1200, check=False
    )
    return Finished(finished.returncode, finished.stdout, finished.stdout + finished.stderr)


def look_for_secrets(folder: Path) -> Finished:
    """The files below a folder that have a secret in them; ends with 1 where there is none."""
    words = [word for secret in SECRETS for word in ("-e", secret.decode())]
    return try_to_run(["grep", "-rlF", "--devices=skip", *words, str(folder)])


class Image:
    """An image of a layout: its configuration and what stands in its layers, uncompressed."""

    def __init__(self, layout: Path, name: str) -> None:
        self._blobs = layout / "blobs/sha256"
        index = json.loads((layout / "index.json").read_bytes())
        key = "org.opencontainers.image.ref.name"
        found = next(one for one in index["manifests"] if one["annotations"].get(key) == name)
        self.manifest = json.loads(self._blob(found["digest"]).read_bytes())
        self.config: dict[str, Any] = json.loads(self._blob(self.manifest["config"]["digest"]).read_bytes())

    def _blob(self, digest: str) -> Path:
        return self._blobs / digest.partition(":")[2]

    def entries(self, number: int) -> list[tarfile.TarInfo]:
        with tarfile.open(self._blob(self.manifest["layers"][number]["digest"])) as archive:
            return archive.getmembers()

    def environments_layer(self) -> list[tarfile.TarInfo]:
        """The one layer that has the environments."""
        layers = [self.entries(number) for number in range(len(self.manifest["layers"]))]
        (found,) = [one for one in layers if any(entry.name.startswith("venv/") for entry in one)]
        return found

    def holds(self, words: bytes) -> bool:
        """Whether these bytes stand in its configuration, its history or a file of a layer."""
        if words in json.dumps([self.manifest, self.config]).encode():
            return True
        for layer in self.manifest["layers"]:
            blob = self._blob(layer["digest"])
            unpacked = subprocess.run(["gzip", "-dc", str(blob)], capture_output=True, check=True).stdout
            if words in unpacked:
                return True
        return False


@contextmanager
def registry() -> Iterator[str]:
    """A registry on loopback, without certificates; yields its name."""
    folder = Path(tempfile.mkdtemp(prefix="envman-registry-"))
    name = f"127.0.0.1:{free_port()}"
    settings = (
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: {name}}}\n"
    )
    (folder / "config.yml").write_text(settings, encoding="utf-8")
    words = ["docker-registry", "serve", str(folder / "config.yml")]
    with (folder / "log").open("w") as log, subprocess.Popen(words, stdout=log, stderr=log) as server:
        try:
            until(lambda: answers_at(name, server), "docker-registry does not answer")
            yield name
        finally:
            server.terminate()
            server.wait(30)
            subprocess.run(["rm", "-rf", str(folder)], check=False)


def answers_at(address: str, server: subprocess.Popen[bytes]) -> bool:
    """Whether a server that has to be running accepts connections on loopback."""
    assert server.poll() is None, f"{server.args!r} ended"
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0


def with_user(base: str, folder: Path) -> str:
    """The base with a user of its own, and variables of Airflow's; returns its name."""
    layout = folder / "with_user"
    run(["skopeo", "copy", "--quiet", base, f"oci:{layout}:1"])
    words = ["umoci", "config", "--image", f"{layout}:1", "--config.user", "nobody"]
    run([*words, "--config.env", "AIRFLOW_HOME=/srv/airflow", "--config.workingdir", "/tmp"])
    return f"oci:{layout}:1"
