"""Under a policy: locks, generations and the table, changed by who may write them, and put in each other's place."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from envman.lock.lockfile import body_digest, parse_pins
from envman.resolver.table import with_first_line
from envman.signing.policy_file import VARIABLE
from tests.conftest import Deployment
from tests.ssh_keys import (
    fingerprint,
    line,
    make_key,
    sign_generation,
    sign_table,
    signature,
    write_policy,
)

EXEC = ("exec", "--bundle", "bundle_a", "--", "python", "-c", "print('ran')")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    make_key(folder, "ci")
    make_key(folder, "stranger")
    write_policy(folder / "allowed_signers", line(folder / "ci"))
    return folder


@pytest.fixture
def signed(two_teams: Deployment, keys: Path) -> Deployment:
    """Two teams, built and signed by CI; from here on each command runs under the policy."""
    two_teams.ok("sign", "--key", str(keys / "ci"))
    for name in ("env_a", "env_b"):
        sign_generation(keys / "ci", str(two_teams.root), name, two_teams.current(name))
    sign_table(keys / "ci", str(two_teams.root))
    two_teams.environment[VARIABLE] = str(keys / "allowed_signers")
    return two_teams


def refused(deployment: Deployment, *words: str, code: int) -> str:
    result = deployment.run(*words)
    assert result.exit_code == code, result.stdout + result.stderr
    assert "ran" not in result.stdout.split()
    assert "Traceback" not in result.stderr
    return result.stderr


def test_what_is_signed_is_built_and_run(signed: Deployment, keys: Path) -> None:
    assert signed.ok("lock", "--check").stdout == "2 of 2 locks answer their specs\n"
    assert signed.ok("build").stdout == "2 unchanged\n"
    assert signed.ok("build", "--sign", str(keys / "ci")).stdout == "2 unchanged\n"
    assert signed.ok(*EXEC).stdout == "ran\n"
    assert signed.ok("publish").exit_code == 0
    assert {item["status"] for item in signed.ok("lock", "--check", "--json").json["result"]} == {"fresh"}


def test_sign_says_what_it_has_signed(two_teams: Deployment, keys: Path) -> None:
    locks = two_teams.ok("sign", "env_a", "--key", str(keys / "ci"), "--json").json["result"]
    assert locks == [{"environment": "env_a", "signed": "environments/env_a.lock"}]
    assert not (two_teams.folder / "envman.toml.sig").exists()
    assert two_teams.ok("sign", "--key", str(keys / "ci")).stdout.splitlines() == [
        "envman.toml, signed",
        "env_a: environments/env_a.lock, signed",
        "env_b: environments/env_b.lock, signed",
    ]
    assert two_teams.ok("sign", "env_b", "--key", str(keys / "ci")).stdout == (
        "env_b: environments/env_b.lock, signed\n"
    )


def test_no_dev_overlay_runs_under_a_policy(signed: Deployment) -> None:
    """And `[dev]` says nothing of what was signed: that stays good."""
    spec = signed.folder / "environments/env_a.toml"
    spec.write_text(spec.read_text() + '[dev]\ndependencies = ["tool"]\n')
    signed.ok("lock", "env_a")
    assert signed.ok("build").stdout == "2 unchanged\n"
    code = ("python", "-c", "print('ran')")
    assert signed.ok("run", "--bundle", "bundle_a", *code).stdout == "ran\n"
    said = refused(signed, "run", "--bundle", "bundle_a", "--dev", *code, code=125)
    assert "a dev overlay never is" in said


# what is declared


CREDENTIAL = """
[credentials.evil]
command = ["/bin/sh", "-c", "echo token"]
variable = "TOKEN"
"""


def declared(text: str) -> Callable[[Deployment], None]:
    def attack(deployment: Deployment) -> None:
        file = deployment.folder / "environments/env_a.toml"
        file.write_text(file.read_text() + text)

    return attack


def default(text: str) -> Callable[[Deployment], None]:
    def attack(deployment: Deployment) -> None:
        file = deployment.folder / "envman.toml"
        file.write_text(file.read_text() + text)

    return attack


SPECS = {
    "credential": declared(CREDENTIAL),
    "variable": declared('[variables]\nset = { PYTHONSTARTUP = "/tmp/evil" }\n'),
    "check": declared('commands = [["true"]]\n'),
    "source build": declared('[source-builds]\nvariables = { CFLAGS = "-fplugin=/tmp/evil" }\n'),
    "limits": declared("[limits]\npids = 5000\n"),
    "of all": default("[defaults.credentials.evil]\nfile = '/etc/shadow'\nvariable = 'TOKEN'\n"),
}


@pytest.mark.parametrize("attack", SPECS.values(), ids=SPECS)
def test_a_spec_that_was_changed_needs_a_new_signature(
    signed: Deployment, keys: Path, attack: Callable[[Deployment], None]
) -> None:
    """Though the lock is as it was. Neither is it built, nor is its table published."""
    table = (signed.root / ".state/table").read_bytes()
    attack(signed)
    assert "it, or its spec, is not as it was signed" in refused(signed, "lock", "--check", code=10)
    said = refused(signed, "build", "--sign", str(keys / "ci"), code=10)
    assert "envman sign env_a --key KEY" in said
    refused(signed, "publish", "--sign", str(keys / "ci"), code=10)
    refused(signed, "build", "env_b", "--sign", str(keys / "ci"), code=10)
    assert (signed.root / ".state/table").read_bytes() == table
    signed.ok("sign", "--key", str(keys / "ci"))
    signed.ok("build", "--sign", str(keys / "ci"))
    assert signed.ok(*EXEC).stdout == "ran\n"


def moved(deployment: Deployment) -> None:
    file = deployment.folder / "envman.toml"
    file.write_text(
        file.read_text().replace('bundle_a = { environment = "env_a"', 'bundle_a = { environment = "env_b"')
    )


def without_signature(deployment: Deployment) -> None:
    (deployment.folder / "envman.toml.sig").unlink()


def of_a_lock(deployment: Deployment) -> None:
    shutil.copy(deployment.folder / "environments/env_a.lock.sig", deployment.folder / "envman.toml.sig")


def another_index(deployment: Deployment) -> None:
    file = deployment.folder / "uv.toml"
    file.write_text((file.read_text() if file.exists() else "") + "offline = true\n")


PROJECTS = {
    "a bundle": moved,
    "an image": default('[images]\nenv_a = "registry.example/evil:1"\n'),
    "triggers": default('[triggerer]\nallow = ["evil.*"]\n'),
    "no signature": without_signature,
    "a lock's signature": of_a_lock,
    "uv's configuration": another_index,
}


@pytest.mark.parametrize("attack", PROJECTS.values(), ids=PROJECTS)
def test_what_envman_toml_says_is_signed_too(
    signed: Deployment, keys: Path, attack: Callable[[Deployment], None]
) -> None:
    table = (signed.root / ".state/table").read_bytes()
    attack(signed)
    for words in (["build"], ["publish"]):
        said = refused(signed, *words, "--sign", str(keys / "ci"), code=10)
        assert "envman.toml: refused by the policy" in said
        assert "envman sign --key KEY" in said
    said = refused(signed, "lock", "--check", code=10)
    assert said.count("envman.toml: refused by the policy") == 1
    assert (signed.root / ".state/table").read_bytes() == table
    signed.ok("sign", "--key", str(keys / "ci"))
    signed.ok("build", "--sign", str(keys / "ci"))


def test_who_may_sign_one_environment_signs_no_project(
    signed: Deployment, keys: Path, tmp_path: Path
) -> None:
    """A team's key is for what the team declares; by default a line of the policy is for all namespaces."""
    policy = write_policy(tmp_path / "policy", line(keys / "ci"), line(keys / "stranger", "env_a", ""))
    signed.environment[VARIABLE] = str(policy)
    signed.ok("sign", "env_a", "--key", str(keys / "stranger"))
    refused(signed, "sign", "env_b", "--key", str(keys / "stranger"), code=10)
    assert "envman.toml" in refused(signed, "sign", "--key", str(keys / "stranger"), code=10)
    signed.ok("build", "--sign", str(keys / "ci"))


@pytest.mark.parametrize("name", ["table", "project"])
def test_no_environments_key_signs_the_table_or_the_project(
    signed: Deployment, keys: Path, tmp_path: Path, name: str
) -> None:
    """Whatever the environment is called."""
    policy = write_policy(
        tmp_path / "policy", line(keys / "ci", "*,!@table"), line(keys / "stranger", name, "")
    )
    signed.environment[VARIABLE] = str(policy)
    assert fingerprint(keys / "stranger") in refused(
        signed, "publish", "--sign", str(keys / "stranger"), code=10
    )
    assert fingerprint(keys / "stranger") in refused(signed, "sign", "--key", str(keys / "stranger"), code=10)


def test_the_form_of_what_is_declared_needs_no_new_signature(signed: Deployment) -> None:
    for file in (signed.folder / "envman.toml", signed.folder / "environments/env_a.toml"):
        file.write_text(f"# a comment\n\n{file.read_text()}")
    assert signed.ok("lock", "--check").stdout == "2 of 2 locks answer their specs\n"
    assert signed.ok("build").stdout == "2 unchanged\n"


def test_the_statement_that_is_signed_is_as_the_page_says(signed: Deployment, keys: Path) -> None:
    """So that anybody can check one without envman."""
    file = signed.folder / "environments/env_a.lock"
    manifest = json.loads((signed.root / "env_a/envman.json").read_text())
    lock = hashlib.sha256(file.read_bytes()).hexdigest()
    said = f"envman lock\nenvironment: env_a\nlock: {lock}\nspec: {manifest['spec']}\n"
    words = ["-I", "env_a", "-n", "envman-lock", "-s", f"{file}.sig", "-f", str(keys / "allowed_signers")]
    subprocess.run(["ssh-keygen", "-Y", "verify", *words], input=said.encode(), check=True, timeout=60)


# locks


def edited(deployment: Deployment) -> None:
    """A lock with another version, and the digest of its pins made anew, as somebody who means it would."""
    file = deployment.folder / "environments/env_a.lock"
    text = file.read_text()
    old = body_digest(parse_pins(text, "", "env_a"))
    text = text.replace("grid==2.0", "grid==2.1")
    file.write_text(text.replace(old, body_digest(parse_pins(text, "", "env_a"))))


def anothers(deployment: Deployment) -> None:
    folder = deployment.folder / "environments"
    shutil.copy(folder / "env_b.lock.sig", folder / "env_a.lock.sig")


def none(deployment: Deployment) -> None:
    (deployment.folder / "environments/env_a.lock.sig").unlink()


def empty(deployment: Deployment) -> None:
    (deployment.folder / "environments/env_a.lock.sig").write_text("")


def a_link_out(deployment: Deployment) -> None:
    none(deployment)
    (deployment.folder / "environments/env_a.lock.sig").symlink_to("/etc/hostname")


@pytest.mark.parametrize("attack", [edited, anothers, none, empty, a_link_out])
def test_a_lock_that_is_not_signed_as_it_is_builds_nothing(
    signed: Deployment, keys: Path, attack: Callable[[Deployment], None]
) -> None:
    before = signed.generations()
    attack(signed)
    assert "env_a.lock" in refused(signed, "lock", "--check", code=10)
    states = {
        item["environment"]: item["status"]
        for item in json.loads(signed.run("lock", "--check", "--json").stdout)["result"]
    }
    assert states == {"env_a": "unsigned", "env_b": "fresh"}
    said = refused(signed, "build", "--rebuild", "--sign", str(keys / "ci"), code=10)
    assert "env_a.lock" in said
    assert "envman sign env_a" in said
    assert signed.current("env_a") in before
    refused(signed, "export", "env_a", code=10)


def test_a_lock_is_not_signed_by_whom_the_policy_does_not_allow(signed: Deployment, keys: Path) -> None:
    file = signed.folder / "environments/env_a.lock.sig"
    before = file.read_bytes()
    said = refused(signed, "sign", "env_a", "--key", str(keys / "stranger"), code=10)
    assert fingerprint(keys / "stranger") in said
    assert file.read_bytes() == before
    del signed.environment[VARIABLE]  # as on the stranger's own machine
    signed.ok("sign", "env_a", "--key", str(keys / "stranger"))
    signed.environment[VARIABLE] = str(keys / "allowed_signers")
    assert fingerprint(keys / "stranger") in refused(signed, "build", code=10)


def test_a_new_lock_has_no_signature_of_the_old_one(signed: Deployment) -> None:
    signed.spec("env_a", ["frame>=2", "tool"])
    signed.ok("lock")
    assert not (signed.folder / "environments/env_a.lock.sig").exists()
    assert (signed.folder / "environments/env_b.lock.sig").exists()
    assert "it is not signed" in refused(signed, "build", code=10)


def test_a_stale_lock_is_not_signed(two_teams: Deployment, keys: Path) -> None:
    two_teams.spec("env_a", ["frame>=2", "tool"])
    result = two_teams.run("sign", "--key", str(keys / "ci"))
    assert result.exit_code == 4
    assert not list((two_teams.folder / "environments").glob("*.sig"))


def test_a_key_that_is_none_signs_nothing(two_teams: Deployment, keys: Path, tmp_path: Path) -> None:
    (tmp_path / "damaged").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    (tmp_path / "damaged").chmod(0o600)
    for key in (tmp_path / "missing", tmp_path / "damaged", tmp_path):
        for words in (["sign", "--key"], ["publish", "--sign"], ["build", "--sign"]):
            before = two_teams.generations()
            result = two_teams.run(*words, str(key))
            assert result.exit_code == 10, result.stderr
            assert f"{key}: can't be signed with" in result.stderr
            assert "Traceback" not in result.stderr
            assert two_teams.generations() == before
    assert not list(two_teams.folder.rglob("*.sig"))


def test_an_agents_key_signs(two_teams: Deployment, keys: Path, tmp_path: Path) -> None:
    """By its public part, as where the private one never is on a disk."""
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE, text=True)
    try:
        assert agent.stdout is not None
        agent.stdout.readline()  # it listens
        environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        subprocess.run(["ssh-add", "-q", str(keys / "ci")], check=True, env=environment, timeout=60)
        (tmp_path / "ci.pub").write_bytes((keys / "ci.pub").read_bytes())
        two_teams.environment["SSH_AUTH_SOCK"] = str(socket)
        two_teams.environment[VARIABLE] = str(keys / "allowed_signers")
        two_teams.ok("sign", "--key", str(tmp_path / "ci.pub"))
    finally:
        agent.kill()
        agent.wait()
        assert agent.stdout is not None
        agent.stdout.close()


def test_a_passphrase_is_asked_for_on_the_terminal(two_teams: Deployment, keys: Path, tmp_path: Path) -> None:
    shutil.copy(keys / "ci", tmp_path / "ci")
    shutil.copy(keys / "ci.pub", tmp_path / "ci.pub")
    change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "of a person", "-f", str(tmp_path / "ci")]
    subprocess.run(change, check=True, timeout=60, stdout=subprocess.DEVNULL)
    two_teams.environment[VARIABLE] = str(keys / "allowed_signers")
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", "--wait", *two_teams.command("sign", "--key", str(tmp_path / "ci"))]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=two_teams.folder, env=two_teams.environment
    )
    os.close(theirs)
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        said = b""
        while b"passphrase" not in said:
            said += terminal.read(1)
        terminal.write(b"of a person\n")
        assert process.wait(60) == 0
    assert two_teams.ok("lock", "--check").stdout == "2 of 2 locks answer their specs\n"


def test_without_a_terminal_nobody_waits_for_a_passphrase(
    two_teams: Deployment, keys: Path, tmp_path: Path
) -> None:
    shutil.copy(keys / "ci", tmp_path / "ci")
    change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "of a person", "-f", str(tmp_path / "ci")]
    subprocess.run(change, check=True, timeout=60, stdout=subprocess.DEVNULL)
    words = ["setsid", "--wait", *two_teams.command("sign", "--key", str(tmp_path / "ci"))]
    ended = subprocess.run(
        words,
        cwd=two_teams.folder,
        env=two_teams.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 10, ended.stderr
    assert "can't be signed with" in ended.stderr
    assert "ssh-agent" in ended.stderr


# the table


def test_a_table_that_ci_has_not_published_is_refused(signed: Deployment) -> None:
    file = signed.root / ".state/table"
    records = file.read_text().partition("\n")[2]
    file.write_text(with_first_line(records.replace("bundle_a\tenv_a", "bundle_a\tenv_b")))
    assert "table: refused by the policy" in refused(signed, *EXEC, code=125)
    assert "table" in refused(signed, "launch", "dag-processor", code=125)
    refused(signed, "resolve", "--bundle", "bundle_a", code=10)


@pytest.mark.parametrize("command", [["publish"], ["build"]])
def test_a_table_that_changes_is_signed_before_it_is_published(
    signed: Deployment, keys: Path, command: list[str]
) -> None:
    text = (signed.folder / "envman.toml").read_text()
    signed.write(
        "envman.toml", text.replace("bundle_a = ", 'bundle_c = { environment = "env_b" }\nbundle_a = ')
    )
    before = (signed.root / ".state/table").read_bytes()
    refused(signed, *command, "--sign", str(keys / "ci"), code=10)
    signed.ok("sign", "--key", str(keys / "ci"))
    refused(signed, *command, code=10)
    refused(signed, *command, "--sign", str(keys / "stranger"), code=10)
    assert (signed.root / ".state/table").read_bytes() == before
    assert signed.ok(*EXEC).stdout == "ran\n"
    signed.ok(*command, "--sign", str(keys / "ci"))
    assert signed.ok("exec", "--bundle", "bundle_c", "--", "python", "-c", "print(1)").stdout == "1\n"


def test_a_table_of_another_root_is_refused(signed: Deployment, keys: Path, tmp_path: Path) -> None:
    """Signed by the same CI, for the same bundles: its signature names its root."""
    other = tmp_path / "other"
    del signed.environment[VARIABLE]
    signed.ok("build", "--root", str(other), "--sign", str(keys / "ci"))
    signed.environment[VARIABLE] = str(keys / "allowed_signers")
    assert signed.ok("exec", "--root", str(other), *EXEC[1:]).stdout == "ran\n"
    for file in (signed.root / ".state").glob("table*"):
        file.unlink()
    for file in (other / ".state").glob("table*"):
        shutil.copy(file, signed.root / ".state")
    assert "table" in refused(signed, *EXEC, code=125)


# generations


def test_a_link_to_an_unsigned_generation_is_refused(signed: Deployment, keys: Path) -> None:
    del signed.environment[VARIABLE]
    signed.ok("build", "env_a", "--rebuild")
    signed.environment[VARIABLE] = str(keys / "allowed_signers")
    said = refused(signed, *EXEC, code=125)
    assert "as it is not signed" in said
    assert signed.current("env_a") in said


def test_a_link_to_another_environments_generation_is_refused(signed: Deployment) -> None:
    target = signed.current("env_b")
    (signed.root / "env_a").unlink()
    (signed.root / "env_a").symlink_to(f".gen/{target}")
    refused(signed, *EXEC, code=125)
    state = signed.root / ".state"
    shutil.copy(state / f"env_b@{target}.sig", state / f"env_a@{target}.sig")
    assert "incorrect signature" in refused(signed, *EXEC, code=125)


def changed(folder: Path) -> None:
    """A file is another one, of the same size and the same times."""
    file = next(folder.glob("lib/python3*/site-packages/frame/__init__.py"))
    status, text = file.stat(), file.read_bytes()
    file.unlink()  # it is a hard link
    file.write_bytes(bytes([text[0] ^ 1]) + text[1:] if text else b"")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def added(folder: Path) -> None:
    (next(folder.glob("lib/python3*/site-packages")) / "evil.pth").write_text("import sys; print('ran')\n")


def removed(folder: Path) -> None:
    next(folder.glob("lib/python3*/site-packages/frame/__init__.py")).unlink()


def led_elsewhere(folder: Path) -> None:
    link = folder / "bin/python"
    link.unlink()
    link.symlink_to("/bin/echo")


def made_executable(folder: Path) -> None:
    file = folder / "pyvenv.cfg"
    file.chmod(0o755)


def a_pipe(folder: Path) -> None:
    file = folder / "pyvenv.cfg"
    file.unlink()
    os.mkfifo(file)


def an_empty_folder(folder: Path) -> None:
    """Which Python imports as a package (PEP 420), in place of one of the base's further on its path."""
    (next(folder.glob("lib/python3*/site-packages")) / "evil").mkdir()


def empty_folders_in_one_another(folder: Path) -> None:
    (next(folder.glob("lib/python3*/site-packages")) / "evil/of/many").mkdir(parents=True)


def an_empty_folder_writable(folder: Path) -> None:
    """One that the build has made, for others to write to."""
    (folder / "include").chmod(0o777)


def an_empty_folder_gone(folder: Path) -> None:
    (folder / "include").rmdir()


def a_pipe_for_a_list(folder: Path) -> None:
    (folder / "envman.files").unlink()
    os.mkfifo(folder / "envman.files")


def a_link_out_of_the_root(folder: Path) -> None:
    """All of it as it was signed, where somebody else may change it after a look."""
    elsewhere = folder.parents[2] / "elsewhere"
    shutil.rmtree(elsewhere, ignore_errors=True)
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)


def with_its_list(folder: Path) -> None:
    """A file is added, and the list of the files is made to know it."""
    added(folder)
    listing = folder / "envman.files"
    path = next(folder.glob("lib/python3*/site-packages/evil.pth"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = json.dumps([f"{path.lstat().st_mode:o}", digest, str(path.relative_to(folder))])
    lines = sorted([*listing.read_text().splitlines(), entry], key=lambda one: json.loads(one)[2])
    listing.write_text("".join(f"{one}\n" for one in lines))


def with_its_manifest(folder: Path) -> None:
    """The manifest is made to know the new list, too: all of it is consistent."""
    with_its_list(folder)
    manifest = folder / "envman.json"
    data = json.loads(manifest.read_text())
    data["files"] = f"sha256:{hashlib.sha256((folder / 'envman.files').read_bytes()).hexdigest()}"
    manifest.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")


def without_list(folder: Path) -> None:
    (folder / "envman.files").unlink()


def with_garbage_for_a_list(folder: Path) -> None:
    (folder / "envman.files").write_bytes(b"\xff[[[")


ATTACKS = [
    *(changed, added, removed, led_elsewhere, made_executable, a_pipe),
    *(an_empty_folder, empty_folders_in_one_another, an_empty_folder_writable, an_empty_folder_gone),
    *(with_its_list, with_its_manifest, without_list, with_garbage_for_a_list),
    *(a_pipe_for_a_list, a_link_out_of_the_root),
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_generation_that_was_changed_is_refused(
    signed: Deployment, keys: Path, attack: Callable[[Path], None]
) -> None:
    attack(signed.root / ".gen" / signed.current("env_a"))
    said = refused(signed, *EXEC, code=125)
    assert "refused by the policy" in said
    assert signed.ok("exec", "--bundle", "bundle_b", "--", "python", "-c", "print(1)").stdout == "1\n"


# what a build signs


def planted(folder: Path) -> None:
    """Consistent, with the digests that an honest build would have written."""
    with_its_manifest(folder)


PLANTS = [changed, added, removed, a_pipe, an_empty_folder, planted, without_list, a_link_out_of_the_root]


@pytest.mark.parametrize("with_policy", [True, False])
@pytest.mark.parametrize("attack", PLANTS)
def test_a_build_signs_what_it_has_made_and_nothing_that_it_finds(
    signed: Deployment, keys: Path, attack: Callable[[Path], None], with_policy: bool
) -> None:
    """What stands there is made again, whether the builder has the policy or only its key."""
    folder = signed.root / ".gen" / signed.current("env_a")
    attack(folder)
    if not with_policy:
        del signed.environment[VARIABLE]
    built = signed.ok("build", "--sign", str(keys / "ci"), "--json")
    assert {one["environment"]: one["status"] for one in built.json["result"]} == {
        "env_a": "built",
        "env_b": "unchanged",
    }
    assert signed.current("env_a") != folder.name
    signed.environment[VARIABLE] = str(keys / "allowed_signers")
    assert signed.ok(*EXEC).stdout == "ran\n"
    signed.environment[VARIABLE] = str(keys / "allowed_signers")
    assert signed.ok("build", "--sign", str(keys / "ci")).stdout == "2 unchanged\n"


@pytest.mark.parametrize("with_policy", [True, False])
def test_a_folder_that_was_planted_under_the_next_name_is_not_signed(
    signed: Deployment, keys: Path, with_policy: bool
) -> None:
    """Whoever knows lock and interpreter knows the name; here it is even the one that was signed once."""
    generation = signed.current("env_a")
    planted(signed.root / ".gen" / generation)
    (signed.root / "env_a").unlink()
    for file in (signed.root / ".state").glob("env_a*"):
        file.unlink()
    if not with_policy:
        del signed.environment[VARIABLE]
    said = signed.ok("build", "--sign", str(keys / "ci")).stderr
    assert "is not signed, or not as it was signed: it is made again" in said
    signed.environment[VARIABLE] = str(keys / "allowed_signers")
    assert signed.current("env_a") != generation
    assert signed.ok(*EXEC).stdout == "ran\n"
    assert not (signed.root / f".state/env_a@{generation}.sig").exists()


def test_who_begins_to_sign_builds_once_more(two_teams: Deployment, keys: Path) -> None:
    before = {name: two_teams.current(name) for name in ("env_a", "env_b")}
    two_teams.ok("sign", "--key", str(keys / "ci"))
    built = two_teams.ok("build", "--sign", str(keys / "ci"), "--json").json["result"]
    assert [one["status"] for one in built] == ["built", "built"]
    assert two_teams.ok("build", "--sign", str(keys / "ci")).stdout == "2 unchanged\n"
    two_teams.environment[VARIABLE] = str(keys / "allowed_signers")
    assert two_teams.ok(*EXEC).stdout == "ran\n"
    assert not set(before.values()) & {two_teams.current(name) for name in before}


def test_another_keys_signature_is_taken_where_the_policy_allows_it(
    signed: Deployment, keys: Path, tmp_path: Path
) -> None:
    both = write_policy(tmp_path / "both", line(keys / "ci"), line(keys / "stranger"))
    signed.environment[VARIABLE] = str(both)
    assert signed.ok("build", "--sign", str(keys / "stranger")).stdout == "2 unchanged\n"
    del signed.environment[VARIABLE]  # nobody says now that ci may
    built = signed.ok("build", "env_b", "--sign", str(keys / "stranger"), "--json").json["result"]
    assert [one["status"] for one in built] == ["built"]


def test_two_environments_of_one_run_share_what_it_has_made(signed: Deployment, keys: Path) -> None:
    """And one that comes later does not take over what was signed for another."""
    shutil.copy(signed.folder / "environments/env_a.toml", signed.folder / "environments/twin.toml")
    signed.ok("lock", "twin")  # of which the next line signs the lock
    signed.ok("sign", "--key", str(keys / "ci"))
    signed.ok("build", "--sign", str(keys / "ci"))
    assert signed.current("twin") != signed.current("env_a")
    signed.ok("build", "env_a", "twin", "--sign", str(keys / "ci"), "--rebuild", "--jobs", "1")
    run = ("exec", "--environment", "twin", "--", "python", "-c", "print('ran')")
    assert signed.ok(*run).stdout == "ran\n"
    assert signed.ok(*EXEC).stdout == "ran\n"


def test_the_table_that_is_signed_is_the_projects(signed: Deployment, keys: Path) -> None:
    file = signed.root / ".state/table"
    records = file.read_text().partition("\n")[2]
    file.write_text(with_first_line(records.replace("bundle_a\tenv_a", "bundle_a\tenv_b")))
    for words in (["publish"], ["build"]):
        signed.ok(*words, "--sign", str(keys / "ci"))
        assert "bundle_a\tenv_a" in file.read_text()
        assert signed.ok(*EXEC).stdout == "ran\n"
    assert signed.run("sign", "--published", "--key", str(keys / "ci")).exit_code == 2


@pytest.mark.parametrize("place", ["manifest", "table"])
def test_a_pipe_keeps_nobody_waiting(signed: Deployment, place: str) -> None:
    """At whose other end is nobody; with a policy and without one."""
    file = signed.root / "env_a/envman.json" if place == "manifest" else signed.root / ".state/table"
    file = file.resolve()
    file.unlink()
    os.mkfifo(file)
    assert str(file) in refused(signed, *EXEC, code=125)
    del signed.environment[VARIABLE]
    assert str(file) in refused(signed, *EXEC, code=125)


def test_the_folder_of_the_generations_is_no_link(signed: Deployment) -> None:
    (signed.root / ".gen").rename(signed.folder / "elsewhere")
    (signed.root / ".gen").symlink_to(signed.folder / "elsewhere")
    assert "is a link" in refused(signed, *EXEC, code=125)
    (signed.root / ".gen").unlink()
    (signed.folder / "elsewhere").rename(signed.root / ".gen")
    assert signed.ok(*EXEC).stdout == "ran\n"


@pytest.mark.parametrize("way", ["-O", "-OO", "PYTHONOPTIMIZE", "PYTHONDONTWRITEBYTECODE="])
def test_an_interpreter_leaves_a_generation_as_it_was_signed(signed: Deployment, way: str) -> None:
    """Its bytecode is another one, for which there is no file yet; the user may write there."""
    options = [way] if way.startswith("-") else []
    if way == "PYTHONOPTIMIZE":
        signed.environment[way] = "1"
    elif not options:
        signed.environment["PYTHONDONTWRITEBYTECODE"] = ""
        options = ["-O"]
    run = ("exec", "--bundle", "bundle_a", "--", "python", *options, "-c", "import frame; print(1)")
    for _ in range(2):
        assert signed.ok(*run).stdout == "1\n"
    signed.ok("verify")


def test_where_no_policy_stands_a_bundles_bytecode_is_kept(two_teams: Deployment, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("ONE = 1\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import helper; print(helper.ONE)"
    assert two_teams.ok(*EXEC[:-1], code).stdout == "1\n"
    assert list(tmp_path.glob("__pycache__/helper.*.pyc"))


def test_a_policy_by_a_relative_path_is_refused(signed: Deployment, keys: Path) -> None:
    shutil.copy(keys / "allowed_signers", signed.folder / "signers")
    signed.environment[VARIABLE] = "signers"
    assert "current folder" in refused(signed, *EXEC, code=125)


def test_what_ignores_sigchld_starts_what_is_signed(signed: Deployment) -> None:
    """As some supervisors leave it to their children."""
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *signed.command(*words)[1:]]
        return subprocess.run(
            command,
            cwd=signed.folder,
            env=signed.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert run(*EXEC).stdout == "ran\n"
    show = "import signal; print(signal.getsignal(signal.SIGCHLD).name)"
    assert run(*EXEC[:-1], show).stdout == "SIG_IGN\n"
    (signed.root / f".state/env_a@{signed.current('env_a')}.sig").write_text("garbage")
    assert run(*EXEC).returncode == 125


def test_the_whole_root_by_a_stranger_is_refused(signed: Deployment, keys: Path) -> None:
    """Who writes the root builds what they want, and signs all of it with their own key."""
    del signed.environment[VARIABLE]
    signed.ok("build", "--rebuild", "--sign", str(keys / "stranger"))
    assert signed.ok(*EXEC).stdout == "ran\n"
    signed.environment[VARIABLE] = str(keys / "allowed_signers")
    assert fingerprint(keys / "stranger") in refused(signed, *EXEC, code=125)


def test_doctor_and_verify_say_what_would_be_refused(signed: Deployment, keys: Path) -> None:
    signed.ok("verify")
    findings = signed.run("doctor", "--json").json["result"]["findings"]
    assert [one["level"] for one in findings if one["check"] == "policy"] == ["information"]
    assert not [one for one in findings if "refused by the policy" in one["what"]]
    (signed.root / f".state/env_a@{signed.current('env_a')}.sig").unlink()
    assert "env_a" in refused(signed, "verify", code=10)
    findings = signed.run("doctor", "--json").json["result"]["findings"]
    (found,) = (one for one in findings if "refused by the policy" in one["what"])
    assert (found["level"], found["where"].partition(":")[0]) == ("error", "environment 'env_a'")
    (signed.root / "env_b" / "added").touch()
    assert "env_b/added" in refused(signed, "verify", code=8)


def test_a_git_signature_of_the_same_words_does_not_count(
    signed: Deployment, keys: Path, tmp_path: Path
) -> None:
    file = signed.folder / "environments/env_a.lock"
    Path(f"{file}.sig").write_bytes(signature(keys / "ci", "git", file.read_bytes()))
    assert "namespace does not match" in refused(signed, "build", code=10)


def test_a_build_signs_before_the_name_leads_there(signed: Deployment, keys: Path) -> None:
    before = signed.current("env_a")
    refused(signed, "build", "env_a", "--rebuild", code=10)
    refused(signed, "build", "env_a", "--rebuild", "--sign", str(keys / "stranger"), code=10)
    assert signed.current("env_a") == before
    assert signed.ok(*EXEC).stdout == "ran\n"
    signed.ok("build", "env_a", "--rebuild", "--sign", str(keys / "ci"))
    assert signed.current("env_a") != before
    assert signed.ok(*EXEC).stdout == "ran\n"


def test_on_call_people_roll_back_without_a_key_and_to_signed_generations_only(
    signed: Deployment, keys: Path
) -> None:
    first = signed.current("env_a")
    signed.ok("build", "env_a", "--rebuild", "--sign", str(keys / "ci"))
    signed.ok("rollback", "env_a")
    assert signed.current("env_a") == first
    assert signed.ok(*EXEC).stdout == "ran\n"
    del signed.environment[VARIABLE]
    signed.ok("build", "env_a", "--rebuild")
    unsigned = signed.current("env_a")
    signed.ok("rollback", "env_a")
    signed.environment[VARIABLE] = str(keys / "allowed_signers")
    assert "not signed" in refused(signed, "rollback", "env_a", "--to", unsigned, code=10)
    assert signed.current("env_a") == first


def test_signatures_go_with_their_generations(signed: Deployment, keys: Path) -> None:
    first = signed.current("env_a")
    for _ in range(2):
        signed.ok("build", "env_a", "--rebuild", "--sign", str(keys / "ci"))
    signed.ok("gc", "--keep", "1")
    left = {file.name for file in (signed.root / ".state").glob("*@*.sig")}
    assert left == {f"{name}@{signed.current(name)}.sig" for name in ("env_a", "env_b")}
    assert first not in signed.generations()


def test_two_that_sign_at_once_leave_what_is_good(signed: Deployment, keys: Path) -> None:
    started = [signed.start("build", "--sign", str(keys / "ci")) for _ in range(2)]
    started += [signed.start("publish", "--sign", str(keys / "ci")) for _ in range(2)]
    assert [one.wait(120) for one in started] == [0, 0, 0, 0]
    assert signed.ok(*EXEC).stdout == "ran\n"


def test_a_signer_that_is_killed_leaves_the_old_signature(
    signed: Deployment, keys: Path, tmp_path: Path
) -> None:
    """Killed as it is about to replace it."""
    state = signed.root / ".state"
    before = {file.name: file.read_bytes() for file in state.glob("*.sig")}
    code = (
        "import os, pathlib, signal, sys\n"
        "pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from envman.__main__ import main\n"
        f"sys.argv = ['envman', 'publish', '--sign', {str(keys / 'ci')!r}]\n"
        "main()\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code], cwd=signed.folder, env=signed.environment, timeout=120, check=False
    )
    assert killed.returncode == -9
    assert {file.name: file.read_bytes() for file in state.glob("*.sig")} == before
    assert signed.ok(*EXEC).stdout == "ran\n"


# the policy


def test_a_policy_that_is_not_there_refuses_everything(signed: Deployment, tmp_path: Path) -> None:
    signed.environment[VARIABLE] = str(tmp_path / "nothing")
    assert f"{tmp_path}/nothing: the policy can't be read" in refused(signed, *EXEC, code=125)
    refused(signed, "build", code=10)
    refused(signed, "lock", "--check", code=10)
    refused(signed, "rollback", "env_a", code=2)


def test_the_hosts_own_policy_is_not_turned_off_by_a_variable(
    signed: Deployment, keys: Path, tmp_path: Path
) -> None:
    """In a mount namespace of its own, as the file is everybody's."""
    inner = (
        "cp /etc/passwd {folder} && mount -t tmpfs -o mode=755 none /etc && cp {folder}/passwd /etc"
        " && mkdir /etc/envman && cp {policy} /etc/envman/allowed_signers"
        " && chmod 644 /etc/envman/allowed_signers && exec {command}"
    )
    strangers = write_policy(keys / "of_a_stranger", line(keys / "stranger"))
    words = " ".join(f"'{word}'" for word in signed.command(*EXEC[:-1], "print(1)"))

    def run(policy: Path, variable: Path) -> subprocess.CompletedProcess[str]:
        script = inner.format(folder=tmp_path, policy=policy, command=words)
        return subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script],
            cwd=signed.folder,
            env={**signed.environment, VARIABLE: str(variable)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    good = run(keys / "allowed_signers", Path("/nowhere"))
    assert (good.returncode, good.stdout) == (0, "1\n"), good.stderr
    bad = run(strangers, keys / "allowed_signers")
    assert (bad.returncode, bad.stdout) == (125, ""), bad.stderr
    assert "/etc/envman/allowed_signers" in bad.stderr
