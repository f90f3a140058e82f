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
from envman.store.manifest import BaseInterpreter, generation_identifier
from envman.system.events import silent
from envman.usecases.pull import PullOptions, pull
from tests.conftest import Deployment
from tests.release_edits import HOSTILE_VALUES, EditedRelease, json_text, rewritten, with_member
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
        release.write_release(json_text(release.release))

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


def named(release: EditedRelease, executable: str) -> None:
    """Have env_a be made for an interpreter, with a name that follows from it."""
    content = json.loads(env_a(release)["manifest"])
    content["interpreter"]["executable"] = executable
    interpreter = BaseInterpreter(**content["interpreter"])
    name = generation_identifier(content["lock"], interpreter, content["options"])
    content["generation"] = env_a(release)["generation"] = name
    env_a(release)["manifest"] = json.dumps(content)
    release.write()


def program(release: EditedRelease, folder: Path) -> Path:
    """Code of a stranger's, which would say that it ran."""
    file = folder / "bin/python3"
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\ntouch {release.folder.parent}/it-ran\n")
    file.chmod(0o755)
    return file


def python_of_the_root(release: EditedRelease) -> None:
    """As an earlier pull of the stranger's can have brought it."""
    host, root = release.folder.parent / "host/root", release.document["root"]
    file = program(release, host / ".gen/0123456789ab")
    named(release, f"{root}/{file.relative_to(host)}")


def python_of_all(release: EditedRelease) -> None:
    file = program(release, release.folder / "opt")
    file.parent.chmod(0o777)
    named(release, str(file))


def python_of_another(release: EditedRelease) -> None:
    file = program(release, release.folder / "opt")
    os.chown(file.parent, 65534, 65534)
    named(release, str(file))


def size(release: EditedRelease) -> None:
    for page in release.document["pages"].values():
        page.update({digest: number + 1 for digest, number in page.items()})
    release.rename_pages()
    release.write()


def more_on_a_page(release: EditedRelease) -> None:
    """A page names a blob that the document doesn't."""
    ((page, layers),) = release.document["pages"].items()
    manifest = json.loads(release.blob(page))
    digest, size = release.put(b"what nobody wants" * 1000)
    manifest["layers"].append({**manifest["layers"][0], "digest": digest, "size": size})
    release.document["pages"] = {release.put(json_text(manifest))[0]: layers}
    release.write()


def more_in_front(release: EditedRelease) -> None:
    """The first artifact names a blob besides the document."""
    digest, size = release.put(b"what nobody wants" * 1000)
    release.front["config"].update(digest=digest, size=size)
    release.write_front()


def abi(**facts: object) -> Edit:
    def edit(release: EditedRelease) -> None:
        env_a(release)["abi"].update(facts)
        release.write()

    return edit


def page_size(value: object) -> Edit:
    def edit(release: EditedRelease) -> None:
        for page in release.document["pages"].values():
            page.update(dict.fromkeys(page, value))
        release.write()

    return edit


def in_folder(**fields: object) -> Edit:
    """Change the entry of the folder's own index."""

    def edit(release: EditedRelease) -> None:
        release.index["manifests"][0].update(fields)
        release.write_index()

    return edit


def unwritable_manifest(release: EditedRelease) -> None:
    env_a(release)["manifest"] += "\ud800"
    release.write()


def wide(release: EditedRelease) -> None:
    """23 kB that would take 675 MB."""
    text = json_text({**release.document, "z": "@"}).replace(b'"@"', b"[" + b"[]," * 5_000_000 + b"[]]")
    release.write_document(gzip.compress(text))


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


def sprinkled(release: EditedRelease) -> None:
    """A layer with 200,000 members of nothing."""
    (digest, *_) = env_a(release)["layers"]
    new, size = release.put(gzip.compress(b"") * 200_000 + release.blob(digest))
    for page in release.document["pages"].values():
        if page.pop(digest, None):
            page[new] = size
    for each in release.document["environments"].values():
        each["layers"] = [new if one == digest else one for one in each["layers"]]
    release.rename_pages()
    release.write()


def not_json(release: EditedRelease) -> None:
    release.write_document(gzip.compress(b"[" * 100_000))


HOSTILE: dict[str, tuple[Edit, int, str]] = {
    # what it is: how it is made, the exit code, what is said
    "a path above": (added("../../evil"), 9, "not below the generation"),
    "a path without end": (added("/".join("a" * 1900)), 9, "is below more than 128 folders"),
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
    "a python that was pulled": (python_of_the_root, 6, "names a base interpreter below the root folder"),
    "a python of all": (python_of_all, 6, "opt/bin may be written by others than its owner"),
    "a python of another": (python_of_another, 6, "opt/bin belongs to the user 65534"),
    "files without end": (manifest(size=2**55), 9, "can be of its size"),
    "another list": (manifest(files=f"sha256:{'0' * 64}"), 9, "not those that its manifest was made for"),
    "an unknown record": (table("confinement\tenv_a\tstrict"), 8, "does not know what 'confinement' means"),
    "a user root": (table("user\tenv_a\troot:root"), 8, "'user' of 'env_a'"),
    "a limit of nothing": (table("limits\tenv_a\tmemory=abc"), 8, "'limits' of 'env_a'"),
    "a server's time": (table("server-idle\tenv_a\tnever"), 8, "'server-idle' of 'env_a'"),
    "a page of more": (more_on_a_page, 9, "does not name the layers that it says"),
    "a document of more": (more_in_front, 9, "names blobs that no release has"),
    "a document that is wide": (wide, 9, "has more than 1000000 values"),
    "members of nothing": (sprinkled, 9, "members of less than 65536 bytes"),
    "a table that can't be written": (document(table="envman-table 2 \ud800"), 9, "half of a surrogate pair"),
    "a signature that can't be written": (document(table_signature="\ud800"), 9, "half of a surrogate pair"),
    "a generation's signature": (field(signature="\ud800"), 9, "half of a surrogate pair"),
    "a manifest that can't be written": (unwritable_manifest, 9, "half of a surrogate pair"),
    "a manifest's field": (manifest(spec="\ud800"), 9, "can't be used"),
    "a manifest's time": (manifest(seconds=float("inf")), 9, "Infinity is no number"),
    "a root that can't be shown": (document(root="/x\x1b[31m"), 9, "can't be shown"),
    "a page's size": (page_size(10**400), 9, "a number is too large"),
    "an endless size": (page_size(float("inf")), 9, "Infinity is no number"),
    "a C library without end": (abi(libc="glibc " + "9" * 5000 + ".1"), 9, "what none says"),
    "an index's size": (in_folder(size=float("inf")), 9, "Infinity is no number"),
    "an index's name": (
        in_folder(annotations={"org.opencontainers.image.ref.name": ["1"]}),
        9,
        "an annotation is no text",
    ),
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
        *HOSTILE_VALUES,
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


ALLOWED = {".gen", ".gitignore", ".lock", ".state", "env_a", "env_b"}
"""What may stand in a root folder after a pull from a folder."""


def change_one_part(release: EditedRelease, part: int, mutations: Mutations) -> None:
    if part == 0:
        release.front = mutations.of(release.front)
        release.write_front()
    elif part == 1:
        release.release = mutations.of(release.release)
        release.write_release(json_text(release.release))
    elif part == 2:
        release.index = mutations.of(release.index)
        release.write_index()
    elif part == 3:
        changed = mutations.of(json.loads(env_a(release)["manifest"]))
        env_a(release)["manifest"] = json_text(changed).decode()
        release.write()
    else:
        release.document = mutations.of(release.document)
        release.write()


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
    for number in range(3000):
        release = copy.deepcopy(original)
        change_one_part(release, number % 6, mutations)
        try:
            outcomes = pull(store, place, [], PullOptions(), silent).outcomes
            assert not [one for one in outcomes.problems() if "defect of envman" in one.remedy], number
            refused += bool(outcomes.errors)
        except EnvmanError as error:
            said.append(error.problems[0].what)
        assert {one.name for one in two_teams.root.iterdir()} <= ALLOWED
        if number % 100 == 0:
            shutil.rmtree(two_teams.root)
    assert refused + len(said) > 2000
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
