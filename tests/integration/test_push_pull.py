"""Environments that were built once, on hosts that pull them: from a folder or an archive, without a registry."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from envman.errors import ImageError
from envman.signing.policy_file import VARIABLE
from envman.spec.image_names import parse_reference
from envman.store.folder import Store
from envman.system.events import silent
from envman.usecases.push import push
from tests.conftest import Deployment, in_python
from tests.release_edits import EditedRelease
from tests.release_hosts import PullingHost, new_host
from tests.ssh_keys import line, make_key, sign_generation, sign_table, write_policy
from tests.waiting import until

VERSION = in_python("import frame; print(frame.__version__)")


def works(host: PullingHost, frame_a: str = "2.2", frame_b: str = "1.5") -> None:
    assert host.ok("exec", "--bundle", "bundle_a", "--", *VERSION).stdout == f"{frame_a}\n"
    assert host.ok("exec", "--bundle", "bundle_b", "--", *VERSION).stdout == f"{frame_b}\n"


def whole(host: PullingHost) -> None:
    """Nothing half-pulled is left, and every generation is as it was listed."""
    for generation in host.generations():
        assert (host.folder / ".gen" / generation / "envman.json").is_file(), generation
    assert not list(host.folder.glob(".*.new"))
    assert not (host.folder / ".pull").exists()
    host.ok("verify")


@pytest.fixture
def release(two_teams: Deployment, tmp_path: Path) -> str:
    """Where two teams' environments were pushed to."""
    place = f"oci:{tmp_path}/release:1"
    two_teams.ok("push", place)
    return place


@pytest.fixture
def host(two_teams: Deployment, tmp_path: Path) -> PullingHost:
    return new_host(tmp_path / "host", two_teams)


def next_release(deployment: Deployment, tmp_path: Path, *more: str) -> str:
    """Another generation of env_a, with more packages, beside the first release."""
    deployment.spec("env_a", ["frame>=2", *more], '[checks]\nimports = ["frame", "grid"]\n')
    deployment.ok("lock")
    deployment.ok("build")
    place = f"oci:{tmp_path}/release:{len(more) + 1}"
    deployment.ok("push", place)
    return place


def test_a_host_without_uv_has_what_was_built(release: str, host: PullingHost, two_teams: Deployment) -> None:
    said = host.ok("pull", release, "--json").json
    assert said["ok"]
    rows = {row["environment"]: row for row in said["result"]["environments"]}
    assert {name: row["status"] for name, row in rows.items()} == {"env_a": "pulled", "env_b": "pulled"}
    assert all(row["generation"] == two_teams.current(name) for name, row in rows.items())
    works(host)
    whole(host)
    for name in ("env_a", "env_b"):
        there = two_teams.root / ".gen" / two_teams.current(name)
        here = host.folder / ".gen" / host.current(name)
        for file in ("envman.json", "envman.files", "envman.lock"):
            assert (there / file).read_bytes() == (here / file).read_bytes()
        (row,) = host.ok("history", name, "--json").json["result"]
        assert row["action"] == "pull"
    assert (two_teams.root / ".state/table").read_bytes() == (host.folder / ".state/table").read_bytes()
    assert host.ok("pull", release).stdout == "2 unchanged\n"
    assert len(host.ok("history", "env_a", "--json").json["result"]) == 1


def test_what_needs_no_project_works_on_a_host(
    release: str, host: PullingHost, two_teams: Deployment, tmp_path: Path
) -> None:
    host.ok("pull", release)
    first = host.current("env_a")
    host.ok("pull", next_release(two_teams, tmp_path, "tool"))
    assert host.current("env_a") != first
    assert {row["generation"] for row in host.ok("list", "--json").json["result"]} == {
        host.current("env_a"),
        host.current("env_b"),
    }
    assert host.ok("gc").stdout.splitlines()[-1].startswith("0 removed, 3 kept")
    host.ok("rollback", "env_a")
    assert host.current("env_a") == first
    works(host)
    actions = [row["action"] for row in host.ok("history", "env_a", "--json").json["result"]]
    assert actions == ["rollback", "pull", "pull"]
    assert host.ok("gc", "--keep", "1").stdout.splitlines()[-1].startswith("1 removed")
    whole(host)
    refused = host.run("diff", "env_a")
    assert refused.exit_code == 2
    assert "envman.toml" in refused.stderr
    findings = host.run("doctor", "--json").json["result"]["findings"]
    assert not [one for one in findings if "interpreter" in one["what"] and "changed" in one["what"]]


def test_an_archive_needs_nothing_either(two_teams: Deployment, host: PullingHost, tmp_path: Path) -> None:
    first = two_teams.ok("push", f"oci-archive:{tmp_path}/release.tar:1", "--json").json["result"]
    again = two_teams.ok("push", f"oci-archive:{tmp_path}/again.tar:1", "--json").json["result"]
    assert first["digest"] == again["digest"]
    assert (first["layers"], again["made"]) == (again["layers"], 0)
    assert (tmp_path / "release.tar").read_bytes() == (tmp_path / "again.tar").read_bytes()
    host.ok("pull", f"oci-archive:{tmp_path}/release.tar:1", "env_b")
    assert host.generations() == {two_teams.current("env_b")}
    host.ok("pull", f"oci-archive:{tmp_path}/release.tar:1")
    works(host)
    whole(host)


def test_an_archive_has_one_release(two_teams: Deployment, tmp_path: Path) -> None:
    """It is written whole: what another release has in it would be gone."""
    file = tmp_path / "release.tar"
    two_teams.ok("push", f"oci-archive:{file}:1")
    before = file.read_bytes()
    refused = two_teams.run("push", f"oci-archive:{file}:2")
    assert (refused.exit_code, "has the release '1'" in refused.stderr) == (2, True), refused.stderr
    assert file.read_bytes() == before
    two_teams.ok("push", f"oci-archive:{file}:1")
    other = tmp_path / "photos.tar"
    other.write_bytes(b"something else")
    refused = two_teams.run("push", f"oci-archive:{other}:1")
    assert (refused.exit_code, "Name another file" in refused.stderr) == (2, True), refused.stderr
    assert other.read_bytes() == b"something else"


def damage(path: Path) -> None:
    """Flip a bit, where the file stands."""
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 1]))


def damaged(folder: Path) -> list[str]:
    """Blobs that are not what their names say."""
    blobs = (folder / "blobs/sha256").iterdir()
    return [one.name for one in blobs if hashlib.sha256(one.read_bytes()).hexdigest() != one.name]


def test_a_push_mends_what_is_damaged_in_a_folder(
    release: str, host: PullingHost, two_teams: Deployment, tmp_path: Path
) -> None:
    folder = tmp_path / "release"
    blobs = sorted((folder / "blobs/sha256").iterdir())
    assert {one.stat().st_nlink for one in blobs} == {1}
    for one in blobs:
        damage(one)
    assert len(damaged(folder)) == len(blobs)
    said = two_teams.ok("push", release, "--json").json["result"]
    assert (said["made"], damaged(folder)) == (0, []), "the cache is not what the folder's files are"
    works_after_pull(host, release)


def test_a_push_makes_again_what_is_damaged_in_the_cache(
    release: str, host: PullingHost, two_teams: Deployment, tmp_path: Path
) -> None:
    cache = Path(two_teams.environment["HOME"]) / ".cache/envman/releases"
    pages = EditedRelease(tmp_path / "release", "1").document["pages"]
    layers = [digest for page in pages.values() for digest in page]
    for digest in layers:
        damage(cache / "blobs" / digest.replace(":", "/"))
    assert len(damaged(cache)) >= len(layers)
    said = two_teams.ok("push", f"oci:{tmp_path}/again:1", "--json").json["result"]
    assert (said["made"], said["layers"]) == (len(layers), len(layers))
    assert damaged(tmp_path / "again") == []
    works_after_pull(host, f"oci:{tmp_path}/again:1")


def works_after_pull(host: PullingHost, place: str) -> None:
    host.ok("pull", place)
    works(host)
    whole(host)


def test_only_what_a_host_lacks_is_taken(
    release: str, host: PullingHost, two_teams: Deployment, tmp_path: Path
) -> None:
    """One package more: its layer, and the one with the scripts; the rest is the same files."""
    host.ok("pull", release)
    before = host.folder / ".gen" / host.current("env_a")
    pulled = host.ok("pull", next_release(two_teams, tmp_path, "tool"), "--json").json["result"]
    row = next(row for row in pulled["environments"] if row["environment"] == "env_a")
    assert (row["status"], row["fetched"], row["linked"]) == ("pulled", 2, 2)
    after = host.folder / ".gen" / host.current("env_a")
    for file in after.glob("lib/python3*/site-packages/grid/**/*.py*"):
        assert file.samefile(before / file.relative_to(after))
    works(host)
    whole(host)
    fresh = new_host(tmp_path / "fresh", two_teams)
    fresh.ok("pull", release)
    row = fresh.ok("pull", f"oci:{tmp_path}/release:2", "--fresh", "--json").json["result"]["environments"][0]
    assert (row["fetched"], row["linked"]) == (4, 0)


def test_a_layer_with_a_damaged_file_is_taken_again(
    release: str, host: PullingHost, two_teams: Deployment, tmp_path: Path
) -> None:
    host.ok("pull", release)
    for file in (host.folder / ".gen" / host.current("env_a")).glob("lib/python3*/site-packages/grid/*.py"):
        file.write_text("evil = True\n")
    pulled = host.ok("pull", next_release(two_teams, tmp_path, "tool"), "--json").json["result"]
    assert next(row for row in pulled["environments"] if row["environment"] == "env_a")["fetched"] == 3
    works(host)
    host.ok("verify", "env_a")


def test_what_is_refused_before_anything_is_written(
    release: str, host: PullingHost, two_teams: Deployment, tmp_path: Path
) -> None:
    other = host.run("pull", release, "--root", str(tmp_path / "elsewhere"))
    assert other.exit_code == 2
    assert str(two_teams.root) in other.stderr
    assert str(tmp_path / "elsewhere") in other.stderr
    assert "env_b" in host.run("pull", release, "env_c").stderr
    missing = host.run("pull", f"oci:{tmp_path}/release:9")
    assert (missing.exit_code, "there is: 1" in missing.stderr) == (9, True)
    assert host.run("pull", f"oci:{tmp_path}/nowhere:1").exit_code == 9
    assert host.run("pull", "docker-daemon:x:1").exit_code == 2
    unread = host.run("pull", "registry.example/envs:1")
    assert (unread.exit_code, "skopeo is not installed" in unread.stderr) == (9, True)
    assert host.run("pull", release, "--report").exit_code == 2
    assert host.generations() == set()
    assert not (host.folder / ".state/table").exists()


def test_push_refuses_what_is_not_as_it_was_built(two_teams: Deployment, tmp_path: Path) -> None:
    place = f"oci:{tmp_path}/release:1"
    assert two_teams.run("push", place, "env_c").exit_code == 2
    (file,) = (two_teams.root / "env_a").resolve().glob("lib/python3*/site-packages/grid/__init__.py")
    content = file.read_text()
    file.unlink()
    file.write_text(content.upper())
    refused = two_teams.run("push", place)
    assert refused.exit_code == 8
    assert "grid/__init__.py is not as it was built" in refused.stderr
    assert not (tmp_path / "release/index.json").exists()


def test_push_refuses_what_no_pull_would_read(
    two_teams: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, place = Store(str(two_teams.root)), parse_reference(f"oci:{tmp_path}/release:1")
    monkeypatch.setenv("ENVMAN_CACHE_DIR", str(tmp_path / "cache"))
    for limit, most in (("LARGEST_DOCUMENT", 1000), ("LARGEST_MANIFEST", 100)):
        with monkeypatch.context() as changed:
            changed.setattr(f"envman.usecases.push.{limit}", most)
            with pytest.raises(ImageError, match=f"more than {most} bytes"):
                push(store, place, [], silent)
    assert not (tmp_path / "release").exists()
    push(store, place, [], silent)


# a policy


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_key(tmp_path, "ci")
    make_key(tmp_path, "stranger")
    write_policy(tmp_path / "allowed_signers", line(tmp_path / "ci"))
    return tmp_path


def test_a_policy_is_asked_before_anything_is_published(
    two_teams: Deployment, host: PullingHost, keys: Path, tmp_path: Path
) -> None:
    policy = {VARIABLE: str(keys / "allowed_signers")}
    (Path(host.environment["PATH"]) / "ssh-keygen").symlink_to("/usr/bin/ssh-keygen")
    two_teams.ok("push", f"oci:{tmp_path}/unsigned:1")
    refused = host.run("pull", f"oci:{tmp_path}/unsigned:1", variables=policy)
    assert (refused.exit_code, "it is not signed" in refused.stderr) == (10, True)
    for name in ("env_a", "env_b"):
        key = keys / ("ci" if name == "env_a" else "stranger")
        sign_generation(key, str(two_teams.root), name, two_teams.current(name))
    sign_table(keys / "ci", str(two_teams.root))
    two_teams.ok("push", f"oci:{tmp_path}/half:1")
    refused = host.run("pull", f"oci:{tmp_path}/half:1", variables=policy)
    assert refused.exit_code == 10
    assert "environment 'env_b'" in refused.stderr
    assert host.current("env_a") == two_teams.current("env_a")
    assert not (host.folder / "env_b").is_symlink()
    assert not (host.folder / ".state/table").exists()
    sign_generation(keys / "ci", str(two_teams.root), "env_b", two_teams.current("env_b"))
    two_teams.ok("push", f"oci:{tmp_path}/signed:1")
    host.ok("pull", f"oci:{tmp_path}/signed:1", variables=policy)
    assert host.ok("exec", "--bundle", "bundle_b", "--", *VERSION, variables=policy).stdout == "1.5\n"
    assert host.ok("exec", "--bundle", "bundle_a", "--", *VERSION, variables=policy).stdout == "2.2\n"


def test_under_a_policy_a_damaged_file_is_not_linked_and_published(
    two_teams: Deployment, release: str, host: PullingHost, keys: Path, tmp_path: Path
) -> None:
    """The same size and mode: without a policy `verify` would tell."""
    (Path(host.environment["PATH"]) / "ssh-keygen").symlink_to("/usr/bin/ssh-keygen")
    host.ok("pull", release)
    first = host.current("env_a")
    for file in (host.folder / ".gen" / first).glob("lib/python3*/site-packages/grid/__init__.py"):
        file.write_text(file.read_text().upper())
    place = next_release(two_teams, tmp_path, "tool")
    for name in ("env_a", "env_b"):
        sign_generation(keys / "ci", str(two_teams.root), name, two_teams.current(name))
    sign_table(keys / "ci", str(two_teams.root))
    two_teams.ok("push", place)
    policy = {VARIABLE: str(keys / "allowed_signers")}
    refused = host.run("pull", place, "env_a", variables=policy)
    assert refused.exit_code == 10
    assert "envman pull --fresh" in refused.stderr
    assert host.current("env_a") == first
    assert two_teams.current("env_a") not in host.generations()
    host.ok("pull", place, "env_a", "--fresh", variables=policy)
    assert host.current("env_a") == two_teams.current("env_a")
    host.ok("verify", "env_a")


# what goes wrong while a host pulls


def heavy_release(deployment: Deployment, tmp_path: Path) -> str:
    return next_release(deployment, tmp_path, "heavy", "tool")


def files_below(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def start(host: PullingHost, *arguments: str) -> subprocess.Popen[str]:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(host.envman(*arguments), env=dict(host.environment), text=True, **streams)


def test_kill_9_at_random_moments(
    two_teams: Deployment, release: str, host: PullingHost, tmp_path: Path
) -> None:
    """Moments of the pull's progress, by the files that it has written."""
    host.ok("pull", release)
    before = host.current("env_a")
    place = heavy_release(two_teams, tmp_path)
    after = two_teams.current("env_a")
    there = files_below(host.folder / ".gen")
    written = files_below(two_teams.root / ".gen" / after)
    chance = random.Random(20261128)
    killed = 0
    for _ in range(12):
        process = start(host, "pull", place)
        wanted = there + chance.randrange(1, written + 5)
        until(
            lambda: process.poll() is not None or files_below(host.folder / ".gen") >= wanted,  # noqa: B023
            "it writes no file",
        )
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        works(host)
        assert host.current("env_a") in {before, after}
        if host.current("env_a") == after:
            host.ok("rollback", "env_a")
            host.ok("gc", "--keep", "1")
        host.ok("verify")
    assert killed >= 6, "the pulls ended before they were killed: nothing was tried"
    host.ok("pull", place)
    assert host.current("env_a") == after
    works(host)
    whole(host)


def test_a_full_disk(two_teams: Deployment, release: str, host: PullingHost, tmp_path: Path) -> None:
    """What worked before works, and nothing half stays; with more space the same pull succeeds."""
    host.ok("pull", release)
    finished = host.on_a_full_disk(heavy_release(two_teams, tmp_path), 600)
    assert finished.returncode == 0, finished.stderr
    assert "No space left on device" in finished.stderr
    assert "Free space on that file system" in finished.stderr
    assert "2.2\n" in finished.stdout
    assert "Traceback" not in finished.stderr


def test_pulls_and_collections_at_once(
    two_teams: Deployment, release: str, host: PullingHost, tmp_path: Path
) -> None:
    host.ok("pull", release)
    place = heavy_release(two_teams, tmp_path)
    for _ in range(3):
        running = [
            *(start(host, "pull", place) for _ in range(2)),
            start(host, "gc", "--keep", "1"),
            start(host, "pull", release),
            start(host, "gc", "--keep", "1"),
        ]
        for process in running:
            _, said = process.communicate(timeout=300)
            assert process.returncode == 0, said
        works(host)
    host.ok("pull", place)
    whole(host)
