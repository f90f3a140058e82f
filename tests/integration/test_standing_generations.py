"""A host that has a generation of a release already: with other files, with damage, or signed otherwise."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from envman.signing.policy_file import VARIABLE
from tests.conftest import Deployment, in_python
from tests.release_edits import EditedRelease, rewritten
from tests.release_hosts import PullingHost, new_host
from tests.ssh_keys import line, make_key, write_policy

VERSION = in_python("import frame; print(frame.__version__)")


@pytest.fixture
def host(two_teams: Deployment, tmp_path: Path) -> PullingHost:
    return new_host(tmp_path / "host", two_teams, ("ssh-keygen",))


class Builder:
    """A CI: each of its builds begins in an empty root folder."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self._deployment = deployment
        self._folder = folder
        self._number = 0

    def release(self, *words: str) -> str:
        """Build, push, and say where."""
        self._number += 1
        if self._deployment.root.exists():
            self._deployment.root.rename(self._folder / f"root-{self._number}")
        self._deployment.ok("build", *words)
        return self.pushed()

    def pushed(self) -> str:
        place = f"oci:{self._folder}/release:{self._number}"
        self._deployment.ok("push", place)
        return place


@pytest.fixture
def builder(two_teams: Deployment, tmp_path: Path) -> Builder:
    return Builder(two_teams, tmp_path)


def poison(folder: Path, name: str, root: Path) -> None:
    """Give env_a of a release another file, under its true name: all digests are right."""
    release = EditedRelease(folder, name)
    env_a = release.document["environments"]["env_a"]
    content = (root / "env_a/bin/activate").read_bytes()
    evil = content + b"# evil\n"
    release.replace_layer(
        "env_a",
        "bin/activate",
        lambda archive: rewritten(
            archive, lambda member, body: evil if member.name == "bin/activate" else body
        ),
    )
    listing = (root / "env_a/envman.files").read_text()
    old, new = (hashlib.sha256(one).hexdigest() for one in (content, evil))
    assert old in listing
    manifest = json.loads(env_a["manifest"])
    manifest["files"] = f"sha256:{hashlib.sha256(listing.replace(old, new).encode()).hexdigest()}"
    manifest["size"] += len(evil) - len(content)
    env_a["manifest"] = json.dumps(manifest)
    release.write()


def row(said: str, name: str) -> str:
    rows = json.loads(said)["result"]["environments"]
    return str(next(one["status"] for one in rows if one["environment"] == name))


def test_a_poisoned_name_is_healed_by_a_release_with_another_one(
    two_teams: Deployment, builder: Builder, host: PullingHost, tmp_path: Path
) -> None:
    poisoned, right = builder.pushed(), f"oci:{tmp_path}/right:1"
    two_teams.ok("push", right)
    poison(tmp_path / "release", "0", two_teams.root)
    host.ok("pull", poisoned)
    first = host.current("env_a")
    refused = host.run("pull", right)
    assert refused.exit_code == 8
    assert f"this host has pulled {first} before, with other files than the release has" in refused.stderr
    assert "envman build env_a --rebuild" in refused.stderr
    host.ok("pull", builder.release("env_a", "env_b", "--rebuild"))
    assert host.current("env_a") not in {first, f"{first}-2"}
    assert b"evil" not in (host.folder / "env_a/bin/activate").resolve().read_bytes()
    assert host.ok("exec", "--bundle", "bundle_a", "--", *VERSION).stdout == "2.2\n"
    host.ok("verify")


def test_a_refusal_says_that_it_was_built_here(
    two_teams: Deployment, builder: Builder, host: PullingHost, tmp_path: Path
) -> None:
    """A name says what a generation was made of, and not that a host has made the same bytes of it."""
    place = builder.pushed()
    subprocess.run(["cp", "-a", f"{two_teams.root}/.", str(host.folder)], check=True, timeout=60)
    assert row(host.ok("pull", place, "--json").stdout, "env_a") == "unchanged"
    poison(tmp_path / "release", "0", two_teams.root)
    standing = (host.folder / "env_a/envman.json").resolve().read_text()
    refused = host.run("pull", place)
    assert (refused.exit_code, "this host has built" in refused.stderr) == (8, True), refused.stderr
    assert (host.folder / "env_a/envman.json").resolve().read_text() == standing
    assert host.current("env_a") == two_teams.current("env_a")


def test_fresh_says_that_a_current_generation_is_damaged(builder: Builder, host: PullingHost) -> None:
    place = builder.pushed()
    host.ok("pull", place)
    assert host.ok("pull", place, "--fresh").stdout == "2 unchanged\n"
    damaged = (host.folder / ".gen" / host.current("env_a")) / "bin/activate"
    damaged.write_text("damaged\n")
    refused = host.run("pull", place, "--fresh")
    assert refused.exit_code == 8
    assert "its files are not those of its list: bin/activate changed" in refused.stderr
    assert "envman build env_a --rebuild" in refused.stderr
    assert refused.stdout == "1 unchanged\n"
    assert host.run("verify").exit_code == 8
    host.ok("pull", builder.release("env_a", "env_b", "--rebuild"), "--fresh")
    host.ok("verify")


# signed otherwise


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name in ("first", "second"):
        make_key(tmp_path, name)
        write_policy(tmp_path / f"only-{name}", line(tmp_path / name))
    return tmp_path


def policy(keys: Path, name: str) -> dict[str, str]:
    return {VARIABLE: str(keys / f"only-{name}")}


def test_a_policy_is_adopted_by_a_host_that_has_the_same_unsigned(
    two_teams: Deployment, builder: Builder, host: PullingHost, keys: Path
) -> None:
    """Also one that has built it itself: what its interpreter's file was stays known."""
    builder.pushed()
    subprocess.run(["cp", "-a", f"{two_teams.root}/.", str(host.folder)], check=True, timeout=60)
    first = (host.folder / ".gen" / host.current("env_a") / "envman.json").read_bytes()
    signed = builder.release("--sign", str(keys / "first"))
    said = host.ok("pull", signed, "--json", variables=policy(keys, "first"))
    assert row(said.stdout, "env_a") == "signed"
    second = (host.folder / ".gen" / host.current("env_a") / "envman.json").read_bytes()
    assert first != second == (two_teams.root / "env_a/envman.json").read_bytes()
    for bundle, version in (("bundle_a", "2.2\n"), ("bundle_b", "1.5\n")):
        words = ("exec", "--bundle", bundle, "--", *VERSION)
        assert host.ok(*words, variables=policy(keys, "first")).stdout == version
    host.ok("verify")
    said = host.ok("pull", signed, "--json", variables=policy(keys, "first"))
    assert row(said.stdout, "env_a") == "unchanged"
    findings = host.run("doctor", "--json").json["result"]["findings"]
    assert not [one for one in findings if "interpreter" in one["what"] and "changed" in one["what"]]


def test_a_key_is_replaced_by_another(
    two_teams: Deployment, builder: Builder, host: PullingHost, keys: Path
) -> None:
    """Besides, a new environment gets its files from the one whose manifest is replaced."""
    host.ok("pull", builder.release("--sign", str(keys / "first")), variables=policy(keys, "first"))
    exec_a = ("exec", "--bundle", "bundle_a", "--", *VERSION)
    assert host.run(*exec_a, variables=policy(keys, "second")).exit_code == 125
    two_teams.spec("env_0", ["frame>=2", "tool"])
    two_teams.ok("lock")
    release = builder.release("--sign", str(keys / "second"))
    said = host.ok("pull", release, "--json", variables=policy(keys, "second"))
    assert [row(said.stdout, name) for name in ("env_0", "env_a", "env_b")] == ["pulled", "signed", "signed"]
    assert json.loads(said.stdout)["result"]["environments"][0]["linked"] == 2
    assert host.ok(*exec_a, variables=policy(keys, "second")).stdout == "2.2\n"
    assert host.run(*exec_a, variables=policy(keys, "first")).exit_code == 125
    assert len(host.ok("history", "env_a", "--json").json["result"]) == 1


@contextlib.contextmanager
def inhabited(host: PullingHost) -> Iterator[subprocess.Popen[str]]:
    """A process that lives in env_a."""
    words = host.envman("exec", "--bundle", "bundle_a", "--")
    code = in_python("import frame; print(frame.__version__, flush=True); input()")
    with subprocess.Popen(
        [*words, *code],
        env=dict(host.environment),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "2.2\n"
            yield process
        finally:
            process.communicate("\n", timeout=60)


def test_a_manifest_is_not_replaced_while_somebody_lives_there(
    two_teams: Deployment, builder: Builder, host: PullingHost, keys: Path
) -> None:
    host.ok("pull", builder.pushed())
    signed = builder.release("--sign", str(keys / "first"))
    first = host.current("env_a")
    manifest = host.folder / ".gen" / first / "envman.json"
    before = manifest.read_bytes()
    with inhabited(host) as process:
        said = host.ok("pull", signed, "env_a", "--json")
        assert row(said.stdout, "env_a") == "unchanged"
        refused = host.run("pull", signed, variables=policy(keys, "first"))
        assert refused.exit_code == 10
        assert "a process lives in it" in refused.stderr
        assert "envman build env_a --rebuild --sign KEY" in refused.stderr
        assert manifest.read_bytes() == before
        assert (host.folder / f".state/env_b@{host.current('env_b')}.sig").exists()
        words = ("env_a", "env_b", "--rebuild", "--sign", str(keys / "first"))
        host.ok("pull", builder.release(*words), variables=policy(keys, "first"))
        assert host.current("env_a") == two_teams.current("env_a") != first
        assert process.poll() is None
    exec_a = ("exec", "--bundle", "bundle_a", "--", *VERSION)
    assert host.ok(*exec_a, variables=policy(keys, "first")).stdout == "2.2\n"
    assert (
        row(host.ok("pull", signed, "--json", variables=policy(keys, "first")).stdout, "env_a") == "switched"
    )
    assert host.ok(*exec_a, variables=policy(keys, "first")).stdout == "2.2\n"


def test_a_signature_for_another_environment_is_not_lost(
    two_teams: Deployment, builder: Builder, host: PullingHost, keys: Path
) -> None:
    """Two environments share a generation; a release has only one of them."""
    two_teams.spec("twin", ["frame>=2"], '[checks]\nimports = ["frame", "grid"]\n')
    two_teams.ok("lock")
    host.ok("pull", builder.release("--sign", str(keys / "first"), "--jobs", "1"))
    if host.current("twin") != host.current("env_a"):
        pytest.fail("they share no generation: nothing was tried")
    (two_teams.folder / "environments/twin.toml").unlink()
    (two_teams.folder / "environments/twin.lock").unlink()
    release = builder.release("--sign", str(keys / "second"))
    refused = host.run("pull", release, "env_a", variables=policy(keys, "second"))
    assert (refused.exit_code, "it is signed for twin, too" in refused.stderr) == (10, True), refused.stderr
