"""Credentials as components read them: files and commands that are not what they should be end in a sentence."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from envman.inside.credential_values import CredentialsRefusedError, variables_of
from envman.launch import credential_reading
from envman.launch.credential_reading import LARGEST, LARGEST_VARIABLE, CredentialError, packed, refusing
from envman.launch.own_credentials import own_credentials
from envman.resolver.credential import COMMAND, FILE, Credential
from tests.stand_in import descriptors_of
from tests.waiting import until

SECRET = b"s3cret-of-the-tests"


def of_file(path: Path | str, is_path: bool = False) -> Credential:
    return Credential("token", FILE, (str(path),), "TOKEN", is_path)


def of_command(*words: str, is_path: bool = False) -> Credential:
    return Credential("token", COMMAND, words, "TOKEN", is_path)


def script(folder: Path, text: str) -> str:
    path = folder / "command"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def refused(*credentials: Credential) -> str:
    with pytest.raises(CredentialError) as caught:
        packed("env_a", credentials)
    (problem,) = caught.value.problems
    assert problem.where == "environment 'env_a': credential 'token'"
    assert problem.remedy
    text = str(caught.value)
    assert SECRET.decode() not in text
    return problem.what


def variable(*credentials: Credential) -> str:
    return variables_of(packed("env_a", credentials)[0])["TOKEN"]


@contextlib.contextmanager
def kept(credential: Credential) -> Iterator[Path]:
    """The path of this process's own copy."""
    path = Path(variable(credential))
    yield path
    keeper = int(path.parts[2])
    os.kill(keeper, signal.SIGKILL)
    os.waitpid(keeper, 0)
    assert not path.exists()


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n"])
def test_a_file_becomes_a_variable_without_the_line_ends_behind_it(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(SECRET + end)
    content, secrets = packed("env_a", [of_file(path)])
    assert variables_of(content) == {"TOKEN": SECRET.decode()}
    assert secrets == [SECRET.decode()]


def test_a_link_is_followed_as_kubernetes_mounts_secrets_as_links(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026/token").write_bytes(SECRET)
    (tmp_path / "token").symlink_to("..2026/token")
    assert variable(of_file(tmp_path / "token")) == SECRET.decode()


def test_a_secret_that_is_exchanged_meanwhile_is_always_found(tmp_path: Path) -> None:
    """As Kubernetes does it: a new folder, a link renamed onto the old one, and the old folder is removed."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    folder.chmod(0o1777)
    over = threading.Event()

    def exchange(number: int) -> None:
        new = folder / f"..{number}"
        new.mkdir()
        (new / "token").write_text(str(number))
        before = (folder / "..data").readlink() if number else None
        (folder / "..new").symlink_to(new.name)
        (folder / "..new").rename(folder / "..data")
        if before is not None:
            shutil.rmtree(folder / before)

    def exchange_it() -> None:
        for number in itertools.takewhile(lambda _: not over.is_set(), itertools.count(1)):
            exchange(number)

    exchange(0)
    (folder / "token").symlink_to("..data/token")
    thread = threading.Thread(target=exchange_it)
    thread.start()
    try:
        found = [int(variable(of_file(folder / "token"))) for _ in range(300)]
    finally:
        over.set()
        thread.join()
    assert found == sorted(found)
    assert found[-1] > 0


def test_a_file_in_memory_of_this_process_is_no_credential() -> None:
    """A component has those of other environments' workloads open, while these start."""
    with os.fdopen(os.memfd_create("credentials"), "wb") as file:
        file.write(SECRET)
        file.flush()
        for process in ("self", str(os.getpid()), "thread-self"):
            assert "can't be read" in refused(of_file(f"/proc/{process}/fd/{file.fileno()}"))


def test_each_reading_is_of_this_moment(tmp_path: Path) -> None:
    path = tmp_path / "token"
    found = []
    for text in ("first", "second"):
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)
        found.append(variable(of_file(path)))
    path.unlink()
    assert found == ["first", "second"]
    assert "can't be read: No such file" in refused(of_file(path))


def fifo(path: Path) -> None:
    os.mkfifo(path)


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(2**30)


NO_FILES = {
    "a pipe without a writer": (fifo, "is no regular file"),
    "a folder": (Path.mkdir, "is no regular file"),
    "a gigabyte": (sparse, "gives more than 1 MiB"),
    "nothing": (Path.touch, "gives nothing"),
    "a link to itself": (lambda path: path.symlink_to(path), "Too many levels"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "is no regular file"),
    "a component's variables": (lambda path: path.symlink_to("/proc/self/environ"), "it lies in proc"),
    "the kernel's messages": (lambda path: path.symlink_to("/proc/kmsg"), "it lies in proc"),
    "its file of mounts": (lambda path: path.symlink_to("/proc/thread-self/mounts"), "it lies in proc"),
    "a file of sysfs": (lambda path: path.symlink_to("/sys/kernel/notes"), "it lies in sysfs"),
}


@pytest.mark.parametrize("is_path", [False, True])
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_of_a_credential_is_refused_at_once(tmp_path: Path, kind: str, is_path: bool) -> None:
    make, what = NO_FILES[kind]
    make(tmp_path / "token")
    began = time.process_time()
    assert what in refused(of_file(tmp_path / "token", is_path))
    assert time.process_time() - began < 1


NO_VARIABLES = {
    "not UTF-8": (SECRET + b"\xff", "not UTF-8"),
    "a NUL": (SECRET + b"\0tail", "a NUL"),
    "line ends": (b"\n\n", "gives nothing"),
    "more than a variable holds": (b"x" * (LARGEST_VARIABLE + 1), "more than 127 KiB"),
}


@pytest.mark.parametrize("kind", NO_VARIABLES)
def test_what_no_variable_can_hold_is_refused(tmp_path: Path, kind: str) -> None:
    content, what = NO_VARIABLES[kind]
    (tmp_path / "token").write_bytes(content)
    assert what in refused(of_file(tmp_path / "token"))


@pytest.mark.parametrize("content", [one for one, _ in NO_VARIABLES.values()], ids=NO_VARIABLES)
def test_a_file_may_hold_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with kept(of_file(tmp_path / "token", is_path=True)) as path:
        assert path.read_bytes() == content


def test_what_keeps_a_file_is_a_child_that_goes_on(tmp_path: Path) -> None:
    """So who waits for any child until there is none waits without end."""
    (tmp_path / "token").write_bytes(SECRET)
    with kept(of_file(tmp_path / "token", is_path=True)) as path:
        assert os.waitpid(int(path.parts[2]), os.WNOHANG) == (0, 0)


def test_as_much_as_it_may_hold(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"x" * LARGEST)
    with kept(of_file(tmp_path / "token", is_path=True)) as path:
        assert path.stat().st_size == LARGEST


LED_ASTRAY: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "its folder": (
        lambda place: (place / "a").chmod(0o777),
        "a/token",
        "the folder {place}/a may be written by others",
    ),
    "a folder of a group": (
        lambda place: (place / "a").chmod(0o775),
        "a/token",
        "the folder {place}/a may be written",
    ),
    "a folder above": (
        lambda place: place.chmod(0o777),
        "a/token",
        "the folder {place} may be written by others",
    ),
    "where a link stands": (
        lambda place: (
            (place / "b").mkdir(),
            (place / "b/token").symlink_to("../a/token"),
            (place / "b").chmod(0o777),
        ),
        "b/token",
        "the folder {place}/b may be written by others",
    ),
    "where a link leads": (
        lambda place: ((place / "b").symlink_to("a"), (place / "a").chmod(0o777)),
        "b/token",
        "the folder {place}/a may be written by others",
    ),
    "where a link on the way leads on": (
        lambda place: (
            (place / "b").mkdir(),
            (place / "c").symlink_to("b/d"),
            (place / "b/d").symlink_to("../a"),
            (place / "b").chmod(0o777),
        ),
        "c/token",
        "the folder {place}/b may be written by others",
    ),
    "a folder that it leaves again": (
        lambda place: ((place / "b").mkdir(), (place / "b").chmod(0o777), (place / "b/c").mkdir()),
        "b/c/../../a/token",
        "the folder {place}/b may be written by others",
    ),
    "a file in a folder for all": (
        lambda place: (place / "a").chmod(0o1777),
        "a/token",
        "the folder {place}/a may be written by others than its owner, who may have brought there what is in it",
    ),
}


@pytest.mark.parametrize("source", [of_file, of_command])
@pytest.mark.parametrize("case", LED_ASTRAY)
def test_what_others_could_lead_elsewhere_is_neither_read_nor_run(
    tmp_path: Path, case: str, source: Callable[[str], Credential]
) -> None:
    make, path, what = LED_ASTRAY[case]
    (tmp_path / "a").mkdir()
    (tmp_path / "a/token").write_text(f"#!/bin/sh\necho {SECRET.decode()}\n")
    (tmp_path / "a/token").chmod(0o755)
    assert SECRET.decode() in variable(source(str(tmp_path / "a/token")))
    make(tmp_path)
    assert what.format(place=tmp_path) in refused(source(f"{tmp_path}/{path}"))


def test_a_command_that_others_may_write_is_not_run(tmp_path: Path) -> None:
    command = script(tmp_path, "echo one")
    Path(command).chmod(0o775)
    assert "can't be run: it may be written by others than its owner" in refused(of_command(command))
    Path(command).chmod(0o755)
    Path(tmp_path, "link").symlink_to(command)
    assert variable(of_command(f"{tmp_path}/link")) == "one"


def test_a_folder_in_one_for_all_is_its_owners(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all").chmod(0o1777)
    (tmp_path / "all/mine").mkdir()
    (tmp_path / "all/mine/token").write_bytes(SECRET)
    assert variable(of_file(tmp_path / "all/mine/token")) == SECRET.decode()


def test_a_commands_output(tmp_path: Path) -> None:
    assert variable(of_command(script(tmp_path, 'echo "$1-$2"'), "one two", "three")) == "one two-three"


def test_a_command_gets_the_variables_of_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", SECRET.decode())
    monkeypatch.setenv("VAULT_TOKEN", "for it")
    tell = of_command(script(tmp_path, 'echo "$VAULT_TOKEN,$AIRFLOW__DATABASE__SQL_ALCHEMY_CONN,$HOME"'))
    monkeypatch.setenv("HOME", "/home")
    assert variable(tell) == ",,/home"
    monkeypatch.setenv("ENVMAN_PROGRAMS_GET", "VAULT_*")
    assert variable(tell) == "for it,,/home"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"echo {SECRET.decode()}; exit 3", "ends with 3"),
        (f"echo {SECRET.decode()} >&2; kill -9 $$", "ends with -9"),
        ("cat /dev/zero", "gives more than 1 MiB"),
        ("true", "gives nothing"),
    ],
)
def test_a_command_that_fails_is_refused_without_what_it_said(tmp_path: Path, text: str, what: str) -> None:
    assert what in refused(of_command(script(tmp_path, text)))


@pytest.fixture
def ignoring() -> Iterator[None]:
    """SIGCHLD is ignored, as by who has started this process: the kernel keeps no exit status then."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


FAILING = ("echo half; exit 3", "echo half; kill -9 $$", "echo half; exec >&-; exit 1")


@pytest.mark.usefixtures("ignoring")
@pytest.mark.parametrize("text", [*FAILING, "echo whole"])
def test_a_command_whose_end_is_not_known_counts_as_failed(tmp_path: Path, text: str) -> None:
    assert "has ended, and how is not known" in refused(of_command(script(tmp_path, text)))


@pytest.mark.usefixtures("ignoring")
def test_a_program_that_is_started_where_sigchld_is_ignored_knows_how_its_commands_end(
    tmp_path: Path,
) -> None:
    for text in FAILING:
        with pytest.raises(CredentialError, match=r"ends with (3|-9|1);"):
            own_credentials("env_a", [of_command(script(tmp_path, text))])
    assert own_credentials("env_a", [of_command(script(tmp_path, "echo whole"))]) == {"TOKEN": "whole"}
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN  # as the program is to find it


def test_a_command_for_which_somebody_else_waits_counts_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread of the component that waits for any child has its status."""
    waitid = os.waitid

    def taken(kind: int, pid: int, how: int) -> object:
        until(lambda: os.waitpid(-1, os.WNOHANG)[0] == pid, "it goes on")
        return waitid(kind, pid, how)

    monkeypatch.setattr(os, "waitid", taken)
    for text in FAILING:
        assert "how is not known" in refused(of_command(script(tmp_path, text)))


def test_a_command_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "can't be run: No such file" in refused(of_command(str(tmp_path / "none")))


HANGING = {
    "it waits": "echo $$ > {pid}; echo half; exec sleep 1000",
    "it has closed its output": "echo $$ > {pid}; echo all; exec >&-; exec sleep 1000",
    "something of its own holds its output": "sleep 1000 & echo $! > {pid}; echo all",
}


@pytest.mark.parametrize("text", HANGING.values(), ids=HANGING)
def test_a_command_that_hangs_is_ended_with_what_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(credential_reading, "COMMAND_LIMIT", 1.0)
    pid = tmp_path / "pid"
    assert "has not ended after 1 s" in refused(of_command(script(tmp_path, text.format(pid=pid))))
    process = Path("/proc", pid.read_text().strip(), "stat")
    until(lambda: not process.exists() or ") Z " in process.read_text(), "it goes on")


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    hanging = of_command(script(tmp_path, "echo one"))
    before = descriptors_of(os.getpid())
    for _ in range(3):
        variable(hanging)
        refused(of_command("/does/not/exist"))
        refused(of_file("/dev/null"))
    assert descriptors_of(os.getpid()) == before


def cut(content: bytes) -> Iterable[bytes]:
    return (content[:end] for end in range(len(content)))


def test_what_is_cut_short_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    """As where whoever sends it is killed meanwhile."""
    (tmp_path / "token").write_bytes(SECRET)
    content, _ = packed("env_a", [of_file(tmp_path / "token")])
    for part in cut(content[:-1]):  # the last NUL says nothing more
        with pytest.raises((CredentialsRefusedError, ValueError)):
            variables_of(part)


def test_the_reason_arrives_as_it_is() -> None:
    with pytest.raises(CredentialsRefusedError, match=r"^It can't be read: why$"):
        variables_of(refusing("It can't be read: why"))
