"""Releases of whoever may write to the registry: nothing that is pulled is believed, and nothing ends in a
traceback. Each has right digests, as who writes blobs writes their digests as well.
"""

from __future__ import annotations

import copy
import gzip
import json
import os
import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envman.errors import EnvmanError
from envman.resolver.table import Table, with_first_line
from envman.spec.image_names import parse_reference
from envman.store.folder import Store
from envman.system.events import silent
from envman.usecases.pull import PullOptions, pull
from tests.conftest import Deployment
from tests.release_edits import EditedRelease, rewritten, with_member
from tests.release_hosts import PullingHost, new_host

Edit = Callable[[EditedRelease], None]


@pytest.fixture
def host(two_teams: Deployment, tmp_path: Path) -> PullingHost:
    two_teams.ok("push", f"oci:{tmp_path}/release:1")
    return new_host(tmp_path / "host", two_teams)


def env_a(release: EditedRelease) -> dict[str, Any]:
    found: dict[str, Any] = release.document["environments"]["env_a"]
    return found


def manifest(**fields: object) -> Edit:
    """Change the manifest of env_a."""

    def edit(release: EditedRelease) -> None:
        content = json.loads(env_a(release)["manifest"])
        interpreter = {key[3:]: value for key, value in fields.items() if key.startswith("py_")}
        content["interpreter"] |= interpreter
        content |= {key: value for key, value in fields.items() if not key.startswith("py_")}
        env_a(release)["manifest"] = json.dumps(content)
        release.write()

    return edit


def field(**fields: object) -> Edit:
    """Change fields of env_a in the document."""

    def edit(release: EditedRelease) -> None:
        env_a(release).update(fields)
        release.write()

    return edit


def document(**fields: object) -> Edit:
    def edit(release: EditedRelease) -> None:
        release.document.update(fields)
        release.write()

    return edit


def front(**fields: object) -> Edit:
    def edit(release: EditedRelease) -> None:
        release.front.update(fields)
        release.write_front()

    return edit


def index(**fields: object) -> Edit:
    def edit(release: EditedRelease) -> None:
        release.release.update(fields)
        release.write_release(json.dumps(release.release).encode())

    return edit


def added(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, target: str = "") -> Edit:
    """Add a member to the layer of env_a that has its scripts."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, target

    def edit(release: EditedRelease) -> None:
        release.replace_layer("env_a", "pyvenv.cfg", with_member(info))
        release.write()

    return edit


def changed_content(release: EditedRelease) -> None:
    def change(member: tarfile.TarInfo, body: bytes) -> bytes:
        return body + b"# evil\n" if member.name == "bin/activate" else body

    release.replace_layer("env_a", "pyvenv.cfg", lambda content: rewritten(content, change))
    release.write()


def retargeted(path: str, target: str) -> Edit:
    """Have a link of the generation lead elsewhere."""

    def change(member: tarfile.TarInfo, body: bytes) -> bytes:
        member.linkname = target if member.name == path else member.linkname
        return body

    def edit(release: EditedRelease) -> None:
        release.replace_layer("env_a", "pyvenv.cfg", lambda content: rewritten(content, change))
        release.write()

    return edit


def dropped(release: EditedRelease) -> None:
    def change(member: tarfile.TarInfo, body: bytes) -> bytes | None:
        return None if member.name == "bin/activate" else body

    release.replace_layer("env_a", "pyvenv.cfg", lambda content: rewritten(content, change))
    release.write()


def executable(release: EditedRelease) -> None:
    def change(member: tarfile.TarInfo, body: bytes) -> bytes:
        member.mode = 0o755
        return body

    release.replace_layer("env_a", "pyvenv.cfg", lambda content: rewritten(content, change))
    release.write()


def size(release: EditedRelease) -> None:
    for page in release.document["pages"].values():
        page.update({digest: number + 1 for digest, number in page.items()})
    release.write()


def other_blob(release: EditedRelease) -> None:
    for digest in env_a(release)["layers"]:
        path = release.folder / "blobs" / digest.replace(":", "/")
        path.unlink()
        path.write_bytes(gzip.compress(b"evil"))


def no_blob(release: EditedRelease) -> None:
    for digest in env_a(release)["layers"]:
        (release.folder / "blobs" / digest.replace(":", "/")).unlink()


def pipe(release: EditedRelease) -> None:
    no_blob(release)
    os.mkfifo(release.folder / "blobs" / env_a(release)["layers"][0].replace(":", "/"))


def foreign_layer(release: EditedRelease) -> None:
    env_a(release)["layers"] = release.document["environments"]["env_b"]["layers"]
    release.write()


def lost_layer(release: EditedRelease) -> None:
    env_a(release)["layers"].pop()
    release.write()


def table(line: str) -> Edit:
    def edit(release: EditedRelease) -> None:
        records = [*Table(release.document["table"]).records(), line]
        release.document["table"] = with_first_line("".join(f"{one}\n" for one in sorted(records)))
        release.write()

    return edit


def bomb(release: EditedRelease) -> None:
    release.write_document(gzip.compress(bytes(300_000_000), 1))


def not_json(release: EditedRelease) -> None:
    release.write_document(gzip.compress(b"[" * 100_000))


HOSTILE: dict[str, tuple[Edit, int, str]] = {
    # what it is: how it is made, the exit code, what is said
    "a path above": (added("../../evil"), 9, "not below the generation"),
    "an absolute path": (added("/etc/evil"), 9, "not below the generation"),
    "a hard link": (added("evil", tarfile.LNKTYPE, target="/etc/shadow"), 9, "type '1'"),
    "a device": (added("evil", tarfile.CHRTYPE), 9, "type '3'"),
    "a link out": (retargeted("bin/python3", "../../../etc"), 9, "'bin/python3' leads out of the generation"),
    "another python": (retargeted("bin/python", "/bin/sh"), 9, "'bin/python' leads out of the generation"),
    "setuid": (added("evil", mode=0o4755), 9, "the mode 4755"),
    "a manifest": (added("envman.json"), 9, "is envman's own"),
    "a name twice": (added("pyvenv.cfg"), 9, "is there twice"),
    "one file more": (added("evil"), 9, "more, or larger, files"),
    "other content": (changed_content, 9, "not those that its manifest was made for"),
    "a file less": (dropped, 9, "not those that its manifest was made for"),
    "other modes": (executable, 9, "not those that its manifest was made for"),
    "another size": (size, 9, "not what its digest says"),
    "another blob": (other_blob, 9, "can't be assembled"),
    "no blob": (no_blob, 9, "no release is there, or a part of it"),
    "a pipe": (pipe, 9, "is no file"),
    "layers of another": (foreign_layer, 9, "not those that its manifest was made for"),
    "a layer less": (lost_layer, 9, "not those that its manifest was made for"),
    "another root": (document(root="/elsewhere"), 2, "/elsewhere"),
    "no root": (document(root="../venv"), 9, "not absolute"),
    "another format": (document(format=2), 9, "another format"),
    "an unknown part": (document(later={}), 9, "is not a release that can be read"),
    "no environments": (document(environments=7), 9, "is not a release that can be read"),
    "nothing but a table": (document(environments={}), 9, "it has no environments"),
    "what a terminal obeys": (manifest(packages={"grid": "\x1b[2J"}), 9, "says what can't be shown"),
    "a name with a slash": (document(environments={"../x": {}}), 9, "is not a release that can be read"),
    "an unknown type": (front(artifactType="application/vnd.envman.release.v2"), 9, "this envman reads"),
    "another artifact": (front(artifactType="application/vnd.example"), 9, "another type"),
    "an image": (front(artifactType=None), 9, "is no release: it is an image"),
    "an index of nothing": (index(manifests=[]), 9, "is no release"),
    "an index of another kind": (index(mediaType="application/json"), 9, "is no release"),
    "a document that is a bomb": (bomb, 9, "unpacks to more"),
    "a document that is deep": (not_json, 9, "is not a release that can be read"),
    "another generation": (field(generation="0123456789ab"), 9, "is the manifest of"),
    "a generation with a slash": (field(generation="../../x"), 9, "not the name of a generation"),
    "no manifest": (field(manifest="{}"), 9, "can't be used"),
    "a manifest of another version": (manifest(py_version="3.99.1"), 9, "made of what is"),
    "a program for a python": (manifest(py_executable="/bin/sh"), 9, "made of what is"),
    "an option as a python": (manifest(py_executable="-c"), 9, "can't be used"),
    "files without end": (manifest(size=2**60), 9, "can be of its size"),
    "another list": (manifest(files=f"sha256:{'0' * 64}"), 9, "not those that its manifest was made for"),
    "an unknown record": (table("confinement\tenv_a\tstrict"), 8, "does not know what 'confinement' means"),
    "a user root": (table("user\tenv_a\troot:root"), 8, "'user' of 'env_a'"),
    "a limit of nothing": (table("limits\tenv_a\tmemory=abc"), 8, "'limits' of 'env_a'"),
    "a table that was edited": (document(table="envman-table 2 00000000\nbundle\ta\tb\t\n"), 8, "edited"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_release_is_refused(
    name: str, host: PullingHost, two_teams: Deployment, tmp_path: Path
) -> None:
    edit, code, said = HOSTILE[name]
    edit(EditedRelease(tmp_path / "release", "1"))
    result = host.run("pull", f"oci:{tmp_path}/release:1")
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr
    assert not (host.folder / "env_a").is_symlink()
    assert two_teams.current("env_a") not in host.generations()
    assert not (host.folder / ".state/table").exists()
    assert {one.name for one in tmp_path.iterdir()} <= {"project", "release", "host"}


class Mutations:
    """Changes one value somewhere in a document, or what its manifests say."""

    VALUES: tuple[Any, ...] = (
        "",
        "x",
        "../..",
        "/etc/passwd",
        0,
        -1,
        2**70,
        None,
        True,
        [],
        {},
        "é\x00",
        1.5,
    )

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def of(self, data: Any) -> Any:
        """A copy of what JSON has, with one thing changed, gone or doubled."""
        changed = copy.deepcopy(data)
        self._change(changed)
        return changed

    def _change(self, data: Any) -> None:
        keys = list(data) if isinstance(data, dict) else list(range(len(data)))
        if not keys:
            return
        key = self.chance.choice(keys)
        value = data[key]
        if isinstance(value, (dict, list)) and value and self.chance.random() < 0.8:
            self._change(value)
        elif self.chance.random() < 0.2:
            del data[key]
        elif isinstance(value, str) and value and self.chance.random() < 0.5:
            place = self.chance.randrange(len(value))
            data[key] = (
                value[:place] + self.chance.choice(["", "0", "/", ".", "\n", "é"]) + value[place + 1 :]
            )
        else:
            data[key] = self.chance.choice(self.VALUES)


def test_mutated_releases_are_pulled_or_refused(
    two_teams: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the thousand, in this process: whatever a release says, the answer is a sentence."""
    two_teams.ok("push", f"oci:{tmp_path}/release:1")
    built = two_teams.root.rename(tmp_path / "built")
    store, place = Store(str(two_teams.root)), parse_reference(f"oci:{tmp_path}/release:1")
    monkeypatch.setattr("envman.usecases.pull.Host", _NoHost)
    mutations, refused = Mutations(20261128), 0
    said: list[str] = []
    original = EditedRelease(tmp_path / "release", "1")
    for number in range(1500):
        release = copy.deepcopy(original)
        if number % 3:
            release.document = mutations.of(original.document)
            release.write()
        elif number % 2:
            release.front = mutations.of(original.front)
            release.write_front()
        else:
            release.release = mutations.of(original.release)
            release.write_release(json.dumps(release.release).encode())
        try:
            outcomes = pull(store, place, [], PullOptions(), silent).outcomes
            assert not [one for one in outcomes.problems() if "defect of envman" in one.remedy], number
            refused += bool(outcomes.errors)
        except EnvmanError as error:
            said.append(error.problems[0].what)
        assert {one.name for one in two_teams.root.iterdir()} <= {".gen", ".lock", ".state", "env_a", "env_b"}
        if number % 100 == 0:
            shutil.rmtree(two_teams.root)
    assert refused + len(said) > 900
    assert all(said)
    shutil.rmtree(two_teams.root)
    built.rename(two_teams.root)


class _NoHost:
    """In the place of a host's interpreters, which would be started for each release."""

    def __init__(self, *_: object) -> None:
        pass

    def check(self, *_: object) -> str:
        return "1-1"

    def check_wheels(self, *_: object) -> None:
        pass
