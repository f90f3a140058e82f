"""What counts as signed: real keys, real signatures, and whatever else stands where one is looked for."""

from __future__ import annotations

import base64
import os
import random
import resource
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from envman.errors import PolicyError
from envman.signing import keygen, signers
from envman.signing.policy_file import VARIABLE, policy_file
from envman.signing.signers import LOCK, TABLE, Statement, check_signed, read_policy, read_signature
from tests.ssh_keys import fingerprint, line, make_key, signature, write_policy

TEXT = b"frame==2.2 \\\n    --hash=sha256:00\n"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("keys"), "ci")


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known as good from an earlier test."""
    monkeypatch.setattr(signers, "_good", {})


@pytest.fixture
def policy(tmp_path: Path, key: Path) -> Path:
    return write_policy(tmp_path / "allowed_signers", line(key))


def statement(text: bytes = TEXT, identity: str = "env_a", namespace: str = LOCK) -> Statement:
    return Statement("environments/env_a.lock", namespace, identity, text)


def refusal(policy: Path, asked: Statement, signed: bytes | None) -> str:
    with pytest.raises(PolicyError) as caught:
        check_signed(str(policy), asked, signed)
    (problem,) = caught.value.problems
    assert problem.remedy
    return f"{problem.where}: {problem.what}"


def test_what_an_allowed_key_has_signed_is_good(policy: Path, key: Path) -> None:
    check_signed(str(policy), statement(), signature(key, LOCK, TEXT))


def test_what_is_not_signed_is_refused(policy: Path) -> None:
    assert refusal(policy, statement(), None).endswith("as it is not signed")


def test_a_changed_text_is_refused(policy: Path, key: Path) -> None:
    said = refusal(policy, statement(TEXT + b"more"), signature(key, LOCK, TEXT))
    assert said.startswith(
        "environments/env_a.lock: refused by the policy, as it, or its spec, is not as it was signed: "
    )


def test_a_stranger_is_told_by_the_fingerprint(policy: Path, tmp_path: Path) -> None:
    stranger = make_key(tmp_path, "stranger")
    said = refusal(policy, statement(), signature(stranger, LOCK, TEXT))
    assert fingerprint(stranger) in said
    assert "may not sign it" in said


@pytest.mark.parametrize(
    ("principals", "options"),
    [
        ("env_b", 'namespaces="envman-*"'),
        ("*,!env_a", 'namespaces="envman-*"'),
        ("*", 'namespaces="envman-table,envman-generation"'),
        ("*", 'namespaces="git"'),
        ("*", 'valid-before="20200101"'),
        ("*", 'valid-after="29990101"'),
        ("*", "cert-authority"),
    ],
)
def test_a_line_of_the_policy_says_for_whom_what_and_when(
    tmp_path: Path, key: Path, principals: str, options: str
) -> None:
    policy = write_policy(tmp_path / "allowed_signers", line(key, principals, options))
    assert fingerprint(key) in refusal(policy, statement(), signature(key, LOCK, TEXT))


def test_a_line_may_be_for_one_environment(tmp_path: Path, key: Path) -> None:
    policy = write_policy(tmp_path / "allowed_signers", line(key, "env_a", 'namespaces="envman-lock"'))
    signed = signature(key, LOCK, TEXT)
    check_signed(str(policy), statement(), signed)
    refusal(policy, statement(identity="env_b"), signed)
    refusal(policy, statement(namespace=TABLE), signature(key, TABLE, TEXT))


@pytest.mark.parametrize("namespace", ["git", "file", "envman", "envman-table", "ENVMAN-LOCK"])
def test_a_signature_for_something_else_is_refused(tmp_path: Path, key: Path, namespace: str) -> None:
    policy = write_policy(tmp_path / "allowed_signers", line(key, options=""))
    check_signed(str(policy), statement(), signature(key, LOCK, TEXT))
    assert "namespace does not match" in refusal(policy, statement(), signature(key, namespace, TEXT))


def test_a_key_that_was_taken_out_of_the_policy_is_refused_at_once(
    policy: Path, key: Path, tmp_path: Path
) -> None:
    signed = signature(key, LOCK, TEXT)
    check_signed(str(policy), statement(), signed)
    write_policy(policy, line(make_key(tmp_path, "another")))
    refusal(policy, statement(), signed)


def test_what_was_good_is_not_checked_again_for_some_minutes(
    policy: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = signature(key, LOCK, TEXT)
    check_signed(str(policy), statement(), signed)
    monkeypatch.setattr(keygen, "PROGRAM", "/nowhere/ssh-keygen")
    check_signed(str(policy), statement(), signed)
    monkeypatch.setattr(signers.time, "monotonic", lambda: 1e12)
    assert "no signature can be checked" in refusal(policy, statement(), signed)


def test_a_key_may_be_in_an_agent_and_be_certified(tmp_path: Path) -> None:
    authority, key = make_key(tmp_path, "authority"), make_key(tmp_path, "member")
    certify = ["ssh-keygen", "-q", "-s", str(authority), "-I", "member", "-n", "env_a", f"{key}.pub"]
    subprocess.run(certify, check=True, timeout=60)
    policy = write_policy(
        tmp_path / "allowed_signers", line(authority, "env_a", 'cert-authority,namespaces="envman-lock"')
    )
    signed = signature(Path(f"{key}-cert.pub"), LOCK, TEXT)
    check_signed(str(policy), statement(), signed)
    refusal(policy, statement(), signature(key, LOCK, TEXT))


def test_thousands_of_mutations_are_refused(policy: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the text, and of the signature; where a signature is only written otherwise, it is the same."""
    monkeypatch.setattr(signers, "_why", lambda *_: "refused")  # twice as fast
    signed = signature(key, LOCK, TEXT)
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    for _ in range(1200):
        text, mutated = TEXT, signed
        if draw.random() < 0.3:
            text = _mutated(TEXT, draw)
        else:
            mutated = _mutated(signed, draw)
        if (text, mutated) == (TEXT, signed):
            continue
        try:
            check_signed(str(policy), statement(text), mutated)
        except PolicyError:
            continue
        assert text == TEXT, (seed, text)
        assert _blob(mutated) == _blob(signed), (seed, mutated)


def _mutated(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        place = draw.randrange(len(changed))
        match draw.randrange(4):
            case 0:
                changed[place] ^= 1 << draw.randrange(8)
            case 1:
                del changed[place : place + draw.randrange(1, 9)]
            case 2:
                changed[place:place] = draw.randbytes(draw.randrange(1, 9))
            case _:
                changed = changed[:place] + changed[place:][::-1]
        changed = changed or bytearray(b"\0")
    return bytes(changed)


def _blob(armoured: bytes) -> bytes:
    """What an armoured signature says, as ssh-keygen reads it: whatever stands behind its end is left out, and
    so is the format's version, as it takes older ones than its own for its own.
    """
    body = armoured.split(b"-----BEGIN SSH SIGNATURE-----")[1].split(b"-----END SSH SIGNATURE-----")[0]
    blob = base64.b64decode(b"".join(body.split()))
    return blob.removeprefix(b"SSHSIG")[4:]


# the policy's file


def test_no_policy_stands_where_there_is_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = "envman.signing.policy_file.POLICY"
    monkeypatch.setattr(own, str(tmp_path / "none/allowed_signers"))
    assert policy_file({}) is None
    assert policy_file({VARIABLE: ""}) is None
    assert policy_file({VARIABLE: "/nowhere"}) == "/nowhere"
    (tmp_path / "link").symlink_to("nothing")
    monkeypatch.setattr(own, str(tmp_path / "link"))
    assert policy_file({VARIABLE: "/nowhere"}) == str(tmp_path / "link")


def unusable(policy: Path) -> str:
    with pytest.raises(PolicyError) as caught:
        read_policy(str(policy))
    (problem,) = caught.value.problems
    assert problem.where == str(policy) or not policy.is_absolute()
    return problem.what


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o622])
def test_a_policy_that_others_may_write_is_refused(policy: Path, mode: int) -> None:
    policy.chmod(mode)
    assert "may be written by others" in unusable(policy)


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_so_is_one_in_a_folder_that_others_may_write(policy: Path, tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    assert f"its folder {tmp_path} may be written by others" in unusable(policy)
    tmp_path.chmod(0o755)
    assert read_policy(str(policy))


def test_so_is_one_in_such_a_folder_that_a_link_leads_to(policy: Path, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open/inner").mkdir()
    policy.rename(tmp_path / "open/inner/allowed_signers")
    (tmp_path / "closed").symlink_to("open/inner")
    assert "its folder" in unusable(tmp_path / "closed/allowed_signers")


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_no_link_leads_to_a_policy(policy: Path, tmp_path: Path, depth: int) -> None:
    """A link in an open folder is led elsewhere by anybody, and named by none of the paths' ends."""
    real, opened, closed = tmp_path / "real/deep", tmp_path / "open", tmp_path / "closed"
    for folder in (real, opened, closed):
        folder.mkdir(parents=True)
    policy = policy.rename(real / "allowed_signers")
    assert read_policy(str(policy))
    opened.chmod(0o777)
    (opened / "middle").symlink_to(real)
    (closed / "first").symlink_to(opened / "middle")
    (tmp_path / "whole").symlink_to(tmp_path / "real")
    path = (closed / "first", opened / "middle", tmp_path / "whole/deep")[depth] / "allowed_signers"
    what = unusable(path)
    assert "is a link" in what or "may be written by others" in what
    opened.chmod(0o755)
    assert f"is a link: name it {policy}" in unusable(path)


def test_a_policy_has_an_absolute_path(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workload's current folder is anybody's."""
    monkeypatch.chdir(policy.parent)
    for path in ("allowed_signers", "./allowed_signers", f"../{policy.parent.name}/allowed_signers"):
        assert "current folder" in unusable(Path(path))
    assert read_policy(str(policy))


def test_a_policy_that_is_a_link_is_refused(policy: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(policy)
    assert "can't be read" in unusable(tmp_path / "link")


def test_a_policy_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o644)
    (tmp_path / "folder").mkdir()
    assert "is no file" in unusable(tmp_path / "fifo")
    assert "is no file" in unusable(tmp_path / "folder")
    assert "is no file" in unusable(Path("/dev/null"))
    assert "can't be read" in unusable(tmp_path / "missing")


def test_a_policy_of_a_gigabyte_is_refused(policy: Path) -> None:
    os.truncate(policy, 2**30)
    assert "bytes" in unusable(policy)


@pytest.mark.parametrize("text", ["", "\n\n", "# nobody\n", "  \n# ci ssh-ed25519 AAAA\n"])
def test_a_policy_without_a_key_is_refused(policy: Path, text: str) -> None:
    policy.write_text(text)
    assert "allows no key" in unusable(policy)


@pytest.mark.parametrize(
    "text", ["garbage", "* ssh-ed25519 AAAA\n", '* namespaces="envman-* ssh-ed25519 A\n', "\0" * 100]
)
def test_a_damaged_policy_allows_nothing(policy: Path, key: Path, text: str) -> None:
    policy.write_text(text)
    assert "may not sign it" in refusal(policy, statement(), signature(key, LOCK, TEXT))


# a signature's file


def test_a_signature_that_is_no_small_file_is_refused(tmp_path: Path) -> None:
    assert read_signature(str(tmp_path / "missing")) is None
    assert read_signature(str(tmp_path / "missing/missing")) is None
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 2**30)
    for name in ("fifo", "folder", "link", "large"):
        with pytest.raises(PolicyError):
            read_signature(str(tmp_path / name))


# ssh-keygen itself


def test_without_ssh_keygen_everything_is_refused(
    policy: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = signature(key, LOCK, TEXT)
    monkeypatch.setattr(keygen, "PROGRAM", "/nowhere/ssh-keygen")
    assert refusal(policy, statement(), signed).startswith("/nowhere/ssh-keygen: no signature can be checked")


@pytest.mark.parametrize(
    "script",
    [
        "exit 0",
        "echo garbage; exit 0",
        "echo 'Good \"envman-table\" signature for env_a with ED25519 key SHA256:x'; exit 0",
        "echo 'Good \"envman-lock\" signature for env_a with ED25519 key SHA256:x'; exit 255",
        "echo 'Good \"envman-lock\" signature for env_a with ED25519 key SHA256:x'; kill -9 $$",
        "head -c 100000 /dev/zero; exit 0",
    ],
)
def test_another_answer_than_good_is_none(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(keygen, "PROGRAM", program(tmp_path, script))
    refusal(policy, statement(), b"signature")


def test_one_that_hangs_is_ended(policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        keygen, "PROGRAM", program(tmp_path, f"echo $$ > {tmp_path}/pid; exec tail -f /dev/null")
    )
    monkeypatch.setattr(keygen, "PATIENCE", 0.3)
    assert "was not done after" in refusal(policy, statement(), b"signature")
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_the_callers_variables_and_descriptors_do_not_reach_it(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/nowhere/evil.so")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(keygen, "PROGRAM", program(tmp_path, f"/usr/bin/env > {tmp_path}/seen"))
    refusal(policy, statement(), b"signature")
    seen = (tmp_path / "seen").read_text()
    assert "LC_ALL=C" in seen
    assert "LD_PRELOAD" not in seen
    assert str(tmp_path) not in "".join(one for one in seen.splitlines() if one.startswith("PATH="))


def test_one_on_the_callers_path_is_not_run(
    policy: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = signature(key, LOCK, TEXT)
    Path(program(tmp_path, f"touch {tmp_path}/ran")).rename(tmp_path / "ssh-keygen")
    monkeypatch.setenv("PATH", str(tmp_path))
    check_signed(str(policy), statement(), signed)
    assert not (tmp_path / "ran").exists()


def remedy(policy: Path, signed: bytes) -> str:
    with pytest.raises(PolicyError) as caught:
        check_signed(str(policy), statement(), signed)
    return caught.value.problems[0].remedy


def test_the_remedy_is_of_the_cause(policy: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = signature(key, LOCK, TEXT)
    limits, opened = resource.getrlimit(resource.RLIMIT_NOFILE), list[int]()
    highest = max(int(one.name) for one in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, limits[1]))
    try:
        with suppress(OSError):
            while True:
                opened.append(os.dup(0))
        with pytest.raises(PolicyError) as caught:
            keygen.ssh_keygen([], b"", b"", b"")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in opened:
            os.close(descriptor)
    (problem,) = caught.value.problems
    assert "Too many open files" in problem.what
    assert "ulimit -n" in problem.remedy
    monkeypatch.setattr(keygen, "PROGRAM", "/nowhere/ssh-keygen")
    assert "openssh-client" in remedy(policy, signed)
    monkeypatch.setattr(keygen, "PROGRAM", "/etc/hostname")
    assert "openssh-client" not in remedy(policy, signed)


def test_where_sigchld_is_ignored_a_status_is_had_all_the_same(
    policy: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = signature(key, LOCK, TEXT)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        check_signed(str(policy), statement(), signed)
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
        refusal(policy, statement(TEXT + b"more"), signed)
        monkeypatch.setattr(signers, "_good", {})
        with ThreadPoolExecutor(1) as threads:  # where it can't be changed, and nothing is good
            assert "SIGCHLD" in threads.submit(remedy, policy, signed).result(60)
    finally:
        signal.signal(signal.SIGCHLD, before)


def program(folder: Path, script: str) -> str:
    file = folder / "program"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)
