"""Under a policy: what shared components look at for each workload, and before each interpreter's start."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from pathlib import Path

import pytest

from envman.airflow.bundle_interpreter import BundleInterpreter, look, of_bundle
from envman.airflow.start import check_bundles
from envman.errors import EnvmanError, PolicyError, ResolveError
from envman.signing import keygen, signers
from envman.signing.policy_file import VARIABLE
from envman.store import layout
from envman.store.inventory import take_inventory
from envman.system.digests import Digests
from tests.airflow.client_side import reap
from tests.airflow.published import Published
from tests.ssh_keys import line, make_key, sign_generation, sign_table, write_policy


class Signing:
    """A deployment whose CI signs what it publishes; tests publish and sign in two steps."""

    def __init__(self, published: Published, folder: Path) -> None:
        self.published, self.root = published, str(published.root)
        self.key = make_key(folder, "ci")
        self.policy = write_policy(folder / "allowed_signers", line(self.key))

    def build(self, environment: str, generation: str) -> None:
        """A generation with a program for an interpreter, its list, and a manifest that has the list's digest."""
        self.published.build(environment, generation)
        folder = Path(layout.generation_path(self.root, generation))
        (folder / "bin").mkdir()
        (folder / "bin/python").write_text('#!/bin/sh\nexit "$1"\n')
        (folder / "bin/python").chmod(0o755)
        listing = take_inventory(folder, Digests()).to_text()
        (folder / layout.FILES).write_text(listing)
        manifest = json.loads((folder / layout.MANIFEST).read_text())
        manifest["files"] = f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"
        (folder / layout.MANIFEST).write_text(json.dumps(manifest))

    def sign(self, environment: str, generation: str) -> None:
        sign_generation(self.key, self.root, environment, generation)

    def publish(self, **bundles: str) -> None:
        environments: dict[str, dict[str, str]] = {name: {} for name in bundles.values()}
        self.published.publish({name: (one, "") for name, one in bundles.items()}, {}, environments)

    def sign_table(self) -> None:
        sign_table(self.key, self.root)


@pytest.fixture
def signing(published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Signing:
    """A bundle in a signed generation, by a signed table."""
    made = Signing(published, tmp_path)
    monkeypatch.setenv(VARIABLE, str(made.policy))
    monkeypatch.setattr(signers, "_good", {})
    published.configure({"bundle_a": None})
    made.build("env_a", "first")
    made.sign("env_a", "first")
    made.publish(bundle_a="env_a")
    made.sign_table()
    return made


def started(interpreter: BundleInterpreter) -> int:
    try:
        return reap(interpreter.spawn(["7"], [], seeded=False))
    finally:
        interpreter.close()


def test_what_is_signed_runs(signing: Signing) -> None:
    interpreter = of_bundle("bundle_a")
    assert interpreter.runtime.generation == "first"
    assert started(interpreter) == 7
    assert check_bundles(look(), [], with_images=False)[0][3] == "first"


def test_a_table_is_checked_once_for_each_change_not_for_each_look(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[list[str]] = []
    real = keygen.ssh_keygen
    monkeypatch.setattr(signers, "ssh_keygen", lambda *given: runs.append(given[0]) or real(*given))
    for _ in range(5):
        of_bundle("bundle_a").close()
    assert len(runs) == 2  # the table and the generation
    signing.publish(bundle_a="env_a", bundle_b="env_a")
    with pytest.raises(PolicyError, match="table: refused by the policy, as it is not signed"):
        of_bundle("bundle_a")
    signing.sign_table()
    of_bundle("bundle_b").close()
    assert len(runs) == 3


def test_an_unsigned_generation_starts_nothing_and_what_ran_goes_on(signing: Signing) -> None:
    running = of_bundle("bundle_a")
    signing.build("env_a", "second")
    with pytest.raises(PolicyError, match="second: refused by the policy, as it is not signed"):
        of_bundle("bundle_a")
    with pytest.raises(ResolveError, match="refused by the policy"):
        check_bundles(look(), [], with_images=False)
    assert started(running) == 7
    signing.sign("env_a", "second")
    following = of_bundle("bundle_a")
    assert following.runtime.generation == "second"
    following.close()


def test_another_environments_signature_does_not_count(signing: Signing) -> None:
    signing.build("env_b", "other")
    signing.sign("env_b", "other")
    (signing.published.root / "env_a").unlink()
    (signing.published.root / "env_a").symlink_to(layout.link_target("other"))
    state = signing.published.root / layout.STATE
    shutil.copy(state / "env_b@other.sig", state / "env_a@other.sig")
    with pytest.raises(PolicyError, match="incorrect signature"):
        of_bundle("bundle_a")


@pytest.mark.parametrize("attack", ["changed", "added", "removed", "listed", "pipe"])
def test_no_interpreter_starts_from_files_that_were_changed(
    signing: Signing, attack: str, tmp_path: Path
) -> None:
    """They are read at each start, not when the generation was first seen."""
    folder = signing.published.root / ".gen/first"
    interpreter = of_bundle("bundle_a")
    assert started(interpreter) == 7
    interpreter = of_bundle("bundle_a")
    evil = f"#!/bin/sh\ntouch {tmp_path}/ran\n"
    if attack == "added":
        (folder / "bin/evil").write_text(evil)
    elif attack == "removed":
        (folder / "bin/python").unlink()
    elif attack == "pipe":
        (folder / "bin/python").unlink()
        os.mkfifo(folder / "bin/python", 0o755)
    else:
        (folder / "bin/python").write_text(evil)
    if attack == "listed":
        (folder / layout.FILES).write_text(take_inventory(folder, Digests()).to_text())
    with pytest.raises(PolicyError, match="its files are not those that were signed"):
        started(interpreter)
    assert not (tmp_path / "ran").exists()


def refused_start() -> bool:
    try:
        started(of_bundle("bundle_a"))
    except EnvmanError:
        return True
    return False


def test_mutations_of_what_was_signed_start_nothing(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the table, the manifest, the list and a file; each as it was is good again."""
    monkeypatch.setattr(signers, "_why", lambda *_: "refused")  # twice as fast
    folder = signing.published.root / ".gen/first"
    files = [
        Path(layout.table_path(signing.root)),
        *(folder / name for name in ("envman.json", "envman.files", "bin/python")),
    ]
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    for file in files:
        content = file.read_bytes()
        for _ in range(150):
            mutated = bytearray(content)
            place = draw.randrange(len(content))
            if draw.random() < 0.5:
                mutated[place] ^= 1 << draw.randrange(8)
            else:
                mutated[place : place + draw.randrange(1, 40)] = draw.randbytes(draw.randrange(9))
            if mutated == content:
                continue
            file.write_bytes(mutated)
            assert refused_start(), (seed, file.name, bytes(mutated))
        file.write_bytes(content)
        assert started(of_bundle("bundle_a")) == 7


def test_a_key_that_leaves_the_policy_starts_nothing_more(signing: Signing, tmp_path: Path) -> None:
    of_bundle("bundle_a").close()
    write_policy(signing.policy, line(make_key(tmp_path, "another")))
    with pytest.raises(PolicyError, match="may not sign it"):
        of_bundle("bundle_a")
    signing.policy.unlink()
    with pytest.raises(PolicyError, match="can't be read"):
        of_bundle("bundle_a")
