"""What happens to an image where the world fails: a registry that hangs up, a full disk, two at once."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.conftest import Deployment
from tests.images.test_build import IMAGE_ERROR, build


@contextmanager
def hanging_up(address: str, limit: int) -> Iterator[str]:
    """A way to a registry on which each connection ends after so many bytes have been sent; gives its address."""

    def copy(source: socket.socket, target: socket.socket, left: int | None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
                if left is not None and (left := left - len(data)) < 0:
                    break
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        host, _, port = address.rpartition(":")
        with suppress(OSError):
            while True:
                client = opened.enter_context(listening.accept()[0])
                server = opened.enter_context(socket.create_connection((host, int(port))))
                for pair in ((client, server, limit), (server, client, None)):
                    copying.append(threading.Thread(target=copy, args=pair, daemon=True))
                    copying[-1].start()

    copying: list[threading.Thread] = []
    with ExitStack() as opened, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        for thread in (serving, *copying):
            thread.join(30)


def tags(registry: str, repository: str) -> list[str]:
    """The tags that a registry has in a repository."""
    try:
        with urllib.request.urlopen(f"http://{registry}/v2/{repository}/tags/list", timeout=300) as answer:
            return list(json.load(answer)["tags"] or [])
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.NOT_FOUND:
            raise
        return []


def test_a_registry_that_hangs_up_half_way_has_no_half_pushed_tag(images: Deployment, registry: str) -> None:
    with hanging_up(registry, 100_000) as address:
        build(images, "env_a", "--tag", f"{address}/team/broken:1")
        result = images.run("image", "push", f"{address}/team/broken:1")
    assert result.exit_code == IMAGE_ERROR
    assert f"{address}/team/broken:1: can't be written" in result.stderr
    assert "Traceback" not in result.stderr
    assert "1" not in tags(registry, "team/broken")


def test_a_tag_that_was_there_stays_when_its_next_image_is_not_pushed(
    images: Deployment, registry: str
) -> None:
    first = build(images, "env_a", "--tag", f"{registry}/team/moved:1")[0]
    images.ok("image", "push", f"{registry}/team/moved:1")
    with hanging_up(registry, 2_000) as address:
        build(images, "env_b", "--tag", f"{address}/team/moved:1")
        assert images.run("image", "push", f"{address}/team/moved:1").exit_code == IMAGE_ERROR
    told = images.ok(
        "image",
        "inspect",
        f"{registry}/team/moved:1",
        "--json",
        variables={"ENVMAN_CACHE_DIR": "/nonexistent"},
    )
    assert told.json["result"]["digest"] == first["digest"]


def test_a_base_from_a_registry_that_hangs_up_is_told(images: Deployment, base: str, registry: str) -> None:
    name = f"{registry}/team/base:1"
    subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", base, f"docker://{name}"], check=True)
    with hanging_up(registry, 100) as address:
        arguments = ("env_a", "--tag", "team/never:1", "--base", f"{address}/team/base:1")
        result = images.run(
            "image", "build", *arguments, variables={"ENVMAN_CACHE_DIR": f"{images.folder}/c"}
        )
    assert result.exit_code == IMAGE_ERROR
    assert "can't be read" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("size", ["1m", "70m", "110m"])
def test_a_full_disk_is_told_and_the_next_build_is_whole(
    images: Deployment, size: str, tmp_path: Path
) -> None:
    """The cache fills up while the base is fetched, while it is unpacked, while environments are built."""
    cache = tmp_path / "cache"
    cache.mkdir()
    command = images.command("image", "build", "env_a", "--tag", "team/full:1")
    script = f"""
        mount -t tmpfs -o size={size} tmpfs "$ENVMAN_CACHE_DIR"
        "$@" && exit 99; echo "first: $?" >&2
        mount -o remount,size=2g "$ENVMAN_CACHE_DIR"
        "$@" >&2 && cp -r "$ENVMAN_CACHE_DIR/images/index.json" "$INDEX"
    """
    finished = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *command],
        cwd=images.folder,
        env={**images.environment, "ENVMAN_CACHE_DIR": str(cache), "INDEX": f"{tmp_path}/index.json"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    assert "no space left on device" in finished.stderr.lower()
    assert "Traceback" not in finished.stderr
    same = build(images, "env_a", "--tag", "team/full:1")[0]
    assert same["digest"] in (tmp_path / "index.json").read_text(encoding="utf-8")


def test_two_builds_at_once_make_the_same_image(images: Deployment, tmp_path: Path) -> None:
    images.environment["ENVMAN_CACHE_DIR"] = str(tmp_path / "cache")
    running = [images.start("image", "build", "--all-in-one", "--tag", f"team/at_once:{n}") for n in (1, 2)]
    said = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    listed = images.ok("image", "list", "--json").json["result"]
    assert len({one["digest"] for one in listed}) == 1
    assert [one["tag"] for one in listed] == ["team/at_once:1", "team/at_once:2"]
