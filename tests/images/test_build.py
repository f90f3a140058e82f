"""`envman image`, as users run it: built in bubblewrap, pushed to a registry, read by skopeo and umoci."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PYTHON, Deployment
from tests.images.conftest import locked
from tests.images.own_base import make_base
from tests.interpreters import interpreter
from tests.ssh_keys import line, make_key, write_policy

IMAGE_ERROR = 9


def build(images: Deployment, *arguments: str, **variables: str) -> Any:
    """The outcomes of a build as its JSON has them."""
    return images.ok("image", "build", *arguments, "--json", variables=variables).json["result"]


def unpack(images: Deployment, tag: str, folder: Path) -> Path:
    """The files of an image of the cache, as umoci sees them."""
    layout = Path(images.environment["ENVMAN_CACHE_DIR"]) / "images"
    copy = folder / "layout"
    subprocess.run(["skopeo", "copy", "-q", f"oci:{layout}:{tag}", f"oci:{copy}:it"], check=True)
    subprocess.run(["umoci", "raw", "unpack", "--image", f"{copy}:it", folder / "root"], check=True)
    return folder / "root"


def run_in(root: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in an unpacked image, as its user, without a network."""
    words = [
        "bwrap",
        "--bind",
        root,
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--unshare-all",
        "--uid",
        "50000",
    ]
    words += ["--clearenv", "--setenv", "ENVMAN_ROOT", "/venv", "--setenv", "AIRFLOW_HOME", "/opt/airflow"]
    words += [word for name, value in variables.items() for word in ("--setenv", name, value)]
    words += ["--", *command]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)


def test_an_environment_is_an_image_of_its_own(images: Deployment, tmp_path: Path) -> None:
    (outcome,) = build(images, "env_a", "--tag", "team/image_a:{digest}")
    digest = outcome["digest"].partition(":")[2]
    assert outcome["tag"] == f"team/image_a:{digest}"
    root = unpack(images, outcome["tag"], tmp_path)
    assert sorted(path.name for path in (root / "venv").iterdir()) == [".gen", ".state", "env_a"]
    finished = run_in(root, "/opt/envman/bin/envman", "exec", "--bundle", "bundle_a", "--", "tool")
    assert finished.stdout.startswith("/venv/.gen/"), finished.stderr
    assert (root / "opt/airflow").stat().st_mode & 0o7777 == 0o775


def test_a_bundle_of_another_environment_is_refused_in_the_image(images: Deployment, tmp_path: Path) -> None:
    """Neither the default, which is in it, nor anything else may answer for it."""
    (outcome,) = build(images, "env_a", "--tag", "team/image_a:1")
    root = unpack(images, outcome["tag"], tmp_path)
    finished = run_in(root, "/opt/envman/bin/envman", "exec", "--bundle", "bundle_b", "--", "tool")
    assert finished.returncode == 125
    assert "env_b" in finished.stderr


def test_all_environments_share_an_image_and_their_files(images: Deployment, tmp_path: Path) -> None:
    (outcome,) = build(images, "--all-in-one", "--tag", "team/all:1")
    assert outcome["environments"] == ["env_a", "env_b"]
    root = unpack(images, "team/all:1", tmp_path)
    for bundle, expected in (("bundle_a", "2.2"), ("bundle_b", "1.5")):
        code = "import frame, importlib.metadata as m; print(m.version('frame'))"
        finished = run_in(
            root, "/opt/envman/bin/envman", "exec", "--bundle", bundle, "--", "python", "-c", code
        )
        assert finished.stdout == f"{expected}\n", finished.stderr
    tools = list((root / "venv").rglob("site-packages/tool/__init__.py"))
    assert len(tools) == 2
    assert tools[0].samefile(tools[1])


def test_nothing_unchanged_is_done_again(images: Deployment) -> None:
    first = build(images, "env_a", "--tag", "team/image_a:1")[0]
    again = build(images, "env_a", "--tag", "team/image_a:2")[0]
    assert again["digest"] == first["digest"]
    assert all(layer["reused"] for layer in again["layers"])


def test_the_same_digest_from_other_caches_at_another_time(
    images: Deployment, base: str, tmp_path: Path, wheelhouse: Path
) -> None:
    """Another project folder, other caches, another umask, another order of builds."""
    first = build(images, "--all-in-one", "--tag", "team/all:1")[0]
    other = Deployment(tmp_path / "elsewhere", dict(images.environment))
    other.write("uv.toml", f"no-index = true\nfind-links = [{json.dumps(str(wheelhouse))}]\n")
    other.environment |= {"ENVMAN_CACHE_DIR": f"{tmp_path}/cache", "UV_CACHE_DIR": f"{tmp_path}/uv"}
    locked(other, base)
    before = os.umask(0o077)
    try:
        build(other, "env_b", "--tag", "team/image_b:1", "--jobs", "1")
        second = build(other, "--all-in-one", "--tag", "team/all:1")[0]
    finally:
        os.umask(before)
    assert second["digest"] == first["digest"]


def test_a_lock_with_other_comments_is_not_hidden_by_an_older_build(
    images: Deployment, tmp_path: Path
) -> None:
    """The generation is the same; what it says of the lock is what a fresh build would say."""
    build(images, "env_a", "--tag", "team/image_a:1")
    images.spec("env_a", ["frame>=2.0", "tool"], '[checks]\nimports = ["frame", "grid"]\n')
    images.ok("lock", "env_a")
    again = build(images, "env_a", "--tag", "team/image_a:2")[0]
    fresh = build(images, "env_a", "--tag", "team/image_a:3", ENVMAN_CACHE_DIR=f"{tmp_path}/cache")[0]
    assert again["digest"] == fresh["digest"]


def test_the_time_is_part_of_the_image(images: Deployment) -> None:
    plain = build(images, "env_a", "--tag", "team/image_a:1")[0]
    timed = build(images, "env_a", "--tag", "team/image_a:1", SOURCE_DATE_EPOCH="1000000000")[0]
    assert timed["digest"] != plain["digest"]
    told = images.ok("image", "inspect", "team/image_a:1", "--json").json["result"]
    assert told["created"] == "2001-09-09T01:46:40Z"


def test_a_changed_environment_changes_its_layer_alone(images: Deployment) -> None:
    first = build(images, "env_a", "--tag", "team/image_a:1")[0]
    images.spec("env_a", ["frame<2", "tool"])
    images.ok("lock", "env_a")
    second = build(images, "env_a", "--tag", "team/image_a:2")[0]
    assert [layer["reused"] for layer in second["layers"]] == [True, False]
    told = images.ok("image", "diff", "team/image_a:1", "team/image_a:2").stdout
    lines = [line.split() for line in told.splitlines()]
    assert ["env_a", "frame", "2.2", "1.5"] in lines
    assert ["env_a", "grid", "2.0", "1.1"] in lines
    assert first["digest"] != second["digest"]


def test_pushed_pulled_and_the_same(images: Deployment, registry: str) -> None:
    tag = f"{registry}/team/image_a:1"
    (outcome,) = build(images, "env_a", "--tag", tag)
    pushed = images.ok("image", "push", tag, "--json").json["result"][0]
    assert pushed["digest"] == outcome["digest"]
    told = images.ok("image", "inspect", tag, "--json", variables={"ENVMAN_CACHE_DIR": "/nonexistent-cache"})
    assert told.json["result"]["digest"] == outcome["digest"]
    assert told.json["result"]["user"] == "50000:0"
    assert [layer["note"] for layer in told.json["result"]["layers"]][1:] == [
        "envman: launcher",
        "envman: environments",
    ]


def test_an_image_is_pushed_signed_and_again_where_it_was_not(
    images: Deployment, registry: str, tmp_path: Path
) -> None:
    """By GPG, as podman's and CRI-O's policies know it; the signature stands where registries.d says."""
    tag = f"{registry}/team/signed:1"
    build(images, "env_a", "--tag", tag)
    home, gnupg = tmp_path / "home", tmp_path / "gnupg"
    settings = home / ".config/containers/registries.d/own.yaml"
    settings.parent.mkdir(parents=True)
    place = (tmp_path / "signatures").as_uri()
    settings.write_text(f"docker:\n  {registry}:\n    sigstore: {place}\n    sigstore-staging: {place}\n")
    gnupg.mkdir(mode=0o700)
    images.environment |= {"HOME": str(home), "GNUPGHOME": str(gnupg)}
    policy = tmp_path / "policy.json"
    trusted = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(tmp_path / "key.gpg")}
    policy.write_text(
        json.dumps({"default": [{"type": "reject"}], "transports": {"docker": {registry: [trusted]}}})
    )

    def gpg(*words: str) -> bytes:
        command = ["gpg", "--batch", *words]
        return subprocess.run(
            command, env=images.environment, check=True, capture_output=True, timeout=60
        ).stdout

    def pulled() -> bool:
        words = ["--quiet", "--src-tls-verify=false", f"docker://{tag}", f"dir:{tmp_path}/pulled"]
        command = ["skopeo", "--policy", str(policy), "copy", *words]
        return subprocess.run(command, env=images.environment, check=False, timeout=60).returncode == 0

    try:
        gpg("--passphrase", "", "--quick-gen-key", "ci@company.example", "ed25519", "sign", "never")
        (tmp_path / "key.gpg").write_bytes(gpg("--export"))
        listed = gpg("--list-keys", "--with-colons").decode().splitlines()
        fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr"))
        images.ok("image", "push", tag)
        assert not pulled()
        assert images.run("image", "push", tag, "--sign-by", "0" * 40).exit_code == 9
        assert not pulled()
        images.ok("image", "push", tag, "--sign-by", fingerprint)
        assert pulled()
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=images.environment, check=True, timeout=60)


@pytest.mark.parametrize("engine", ["envman", "buildah"])
def test_an_image_is_built_from_signed_locks_only_where_a_policy_stands(
    images: Deployment, tmp_path: Path, engine: str
) -> None:
    key = make_key(tmp_path, "ci")
    images.environment["ENVMAN_ALLOWED_SIGNERS"] = str(write_policy(tmp_path / "signers", line(key)))
    for unsigned in ("envman.toml", "environments/env_a.lock"):
        result = images.run("image", "build", "env_a", "--tag", "team/unsigned:1", "--engine", engine)
        assert result.exit_code == 10, result.stderr
        assert f"{unsigned}: refused by the policy, as it is not signed" in result.stderr
        images.ok("sign", "--key", str(key))
        (images.folder / "environments/env_a.lock.sig").unlink()
    assert "team/unsigned:1" not in images.ok("image", "list").stdout
    if engine == "envman":
        images.ok("sign", "env_a", "--key", str(key))
        images.ok("image", "build", "env_a", "--tag", "team/signed:1", "--engine", engine)


def test_what_prune_has_removed_is_made_again(images: Deployment, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    images.environment["ENVMAN_CACHE_DIR"] = str(cache)
    first = build(images, "env_a", "--tag", "team/image_a:1")[0]
    folders = [*(cache / "bases").iterdir(), *(cache / "roots").iterdir(), *(cache / "virtualenv").iterdir()]
    for path in [*folders, *(cache / "images/blobs/sha256").iterdir()]:
        os.utime(path, (0, 0))
    assert "team/image_a:1" in images.ok("prune", "--dry-run").stdout
    assert "team/image_a:1" in images.ok("image", "list").stdout
    gone = images.ok("prune", "--json").json["result"]["unused"]
    assert {one["what"] for one in gone} == {"image", "layers", "base", "environments", "virtualenv"}
    assert images.ok("image", "list", "--json").json["result"] == []
    assert build(images, "env_a", "--tag", "team/image_a:1")[0]["digest"] == first["digest"]


def test_the_images_of_envman_toml_are_built_and_pushed_by_default(images: Deployment, registry: str) -> None:
    text = (images.folder / "envman.toml").read_text()
    images.write("envman.toml", f'{text}[images]\nenv_a = "{registry}/team/env_a:9"\n')
    assert build(images, "env_a")[0]["tag"] == f"{registry}/team/env_a:9"
    assert images.ok("image", "push").stdout.startswith(f"{registry}/team/env_a:9  sha256:")
    assert f"{registry}/team/env_a:9" in images.ok("image", "list").stdout


# what goes wrong


def test_everything_that_is_missing_is_told_at_once(deployment: Deployment) -> None:
    deployment.spec("env_a", [])
    deployment.spec("env_b", [], '[image]\nbase = "debian:12"\n')
    result = deployment.run("image", "build")
    assert result.exit_code == 2
    for words in (
        "no base image is stated for env_a",
        "none for the image of env_a",
        "none for the image of env_b",
    ):
        assert words in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tag", "team/a:1"), "2 images would all get the tag team/a:1"),
        (("--tag", "team/{nothing}:1"), "'{nothing}' is no placeholder"),
        (("--tag", "Team/{environment}:1"), "is not the name of an image"),
        (("--tag", "a/{environment}:1", "--base", "BASE"), "'BASE' is not the name of an image"),
        (("env_c", "--tag", "a:1"), "no such environment"),
    ],
)
def test_wrong_arguments_are_told(images: Deployment, arguments: tuple[str, ...], words: str) -> None:
    result = images.run("image", "build", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_time_is_told(images: Deployment) -> None:
    result = images.run("image", "build", "env_a", "--tag", "a:1", variables={"SOURCE_DATE_EPOCH": "now"})
    assert result.exit_code == 2
    assert "SOURCE_DATE_EPOCH is 'now'" in result.stderr


def test_a_stale_lock_is_told_and_nothing_is_built(images: Deployment) -> None:
    images.spec("env_a", ["frame<2"])
    result = images.run("image", "build", "env_a", "--tag", "team/stale:1")
    assert result.exit_code == 4
    assert "team/stale:1" not in images.ok("image", "list").stdout


def test_an_unknown_base_is_told(images: Deployment, registry: str) -> None:
    result = images.run("image", "build", "env_a", "--tag", "a:1", "--base", f"{registry}/no/such:1")
    assert result.exit_code == IMAGE_ERROR
    assert "manifest unknown" in result.stderr
    assert "Look at the name and the tag." in result.stderr


def test_a_base_without_the_right_python_is_told(images: Deployment) -> None:
    images.write("environments/env_a.toml", 'requires-python = "==3.9.*"\n')
    images.ok("lock", "env_a")
    result = images.run("image", "build", "env_a", "--tag", "a:1")
    assert result.exit_code == 6
    assert f"no interpreter answers requires-python '==3.9.*'; found: {PYTHON}" in result.stderr


def test_a_tag_that_is_not_there_is_not_pushed(images: Deployment) -> None:
    build(images, "env_a", "--tag", "team/alone:1")
    result = images.run("image", "push", "team/alone:2")
    assert result.exit_code == 2
    assert "Did you mean 'team/alone:1'?" in result.stderr


def test_a_registry_that_is_not_there_is_told(images: Deployment) -> None:
    build(images, "env_a", "--tag", "127.0.0.1:1/team/image_a:1")
    result = images.run("image", "push", "127.0.0.1:1/team/image_a:1")
    assert result.exit_code == IMAGE_ERROR
    assert "127.0.0.1:1/team/image_a:1: can't be read" in result.stderr
    assert "whether it runs" in result.stderr


def test_an_image_of_others_is_told(images: Deployment, base: str) -> None:
    result = images.run("image", "inspect", base)
    assert result.exit_code == IMAGE_ERROR
    assert "envman has not made it" in result.stderr


def test_a_killed_build_leaves_what_was_there(images: Deployment) -> None:
    before = build(images, "env_a", "--tag", "team/kept:1")[0]
    images.spec("env_a", ["frame<2", "heavy"])
    images.ok("lock", "env_a")
    process = images.start("image", "build", "env_a", "--tag", "team/kept:1")
    assert process.stderr
    while "compiling" not in (line := process.stderr.readline()):
        assert line, "it ended"
    process.kill()
    process.communicate()
    told = images.ok("image", "inspect", "team/kept:1", "--json").json["result"]
    assert told["digest"] == before["digest"]
    after = build(images, "env_a", "--tag", "team/kept:1")[0]
    assert after["digest"] != before["digest"]


def test_a_base_with_another_user_keeps_it(images: Deployment, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", interpreter(PYTHON), ["AIRFLOW_HOME=/srv"], "1000:0")
    outcome = build(images, "env_a", "--tag", "team/user:1", "--base", base)[0]
    told = images.ok("image", "inspect", "team/user:1", "--json").json["result"]
    assert told["user"] == "1000:0"
    assert outcome["base"] == base
