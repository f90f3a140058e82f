"""Five hosts and one registry: what is transferred, who has what, and a pull that is killed at any moment."""

from __future__ import annotations

import json
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from envman.image.oci_values import digest_of
from envman.spec.image_names import parse_reference
from envman.store.folder import Store
from envman.store.locks import try_locked
from envman.system.events import Event, Stage, silent
from envman.usecases.gc import collect
from envman.usecases.pull import PullOptions, PullStatus, pull
from tests.conftest import Deployment
from tests.images import machine
from tests.release_hosts import PullingHost, new_host
from tests.waiting import until
from tests.wheels import make_wheel

VERSION = ("python", "-c", "import frame; print(frame.__version__)")


@pytest.fixture
def releases() -> Iterator[str]:
    """A repository in a registry of this test alone."""
    with machine.registry() as address:
        yield f"{address}/airflow/envs"


@pytest.fixture
def five(two_teams: Deployment, tmp_path: Path) -> list[PullingHost]:
    return [new_host(tmp_path / f"vm_{letter}", two_teams, ("skopeo",)) for letter in "abcde"]


def next_generation(deployment: Deployment, *more: str) -> str:
    deployment.spec("env_a", ["frame>=2", *more], '[checks]\nimports = ["frame"]\n')
    deployment.ok("lock")
    deployment.ok("build")
    return deployment.current("env_a")


def works(host: PullingHost) -> None:
    assert host.ok("exec", "--bundle", "bundle_a", "--", *VERSION).stdout == "2.2\n"
    assert host.ok("exec", "--bundle", "bundle_b", "--", *VERSION).stdout == "1.5\n"


def test_five_hosts_have_the_same_bytes(
    two_teams: Deployment, releases: str, five: list[PullingHost]
) -> None:
    pushed = two_teams.ok("push", f"{releases}:1", "--json").json["result"]
    raw = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{releases}:1"]
    kept = subprocess.run(raw, check=True, capture_output=True, timeout=60).stdout
    assert json.loads(kept)["manifests"]
    assert digest_of(kept) == pushed["digest"]
    assert two_teams.ok("push", f"{releases}:1", "--json").json["result"]["digest"] == pushed["digest"]
    for number, host in enumerate(five):
        host.ok("pull", f"{releases}:1", "--report", "--host", f"vm_{number}")
        works(host)
        host.ok("verify")
        assert not (host.folder / ".pull").exists()
    assert five[0].ok("pull", f"{releases}@{pushed['digest']}").stdout == "2 unchanged\n"
    lists = {(host.folder / ".gen" / host.current("env_a") / "envman.files").read_bytes() for host in five}
    assert len(lists) == 1


def test_who_lags_behind(two_teams: Deployment, releases: str, five: list[PullingHost]) -> None:
    two_teams.ok("push", f"{releases}:stable")
    for number, host in enumerate(five):
        host.ok("pull", f"{releases}:stable", "--host", f"vm_{number}")
    first = two_teams.current("env_a")
    second = next_generation(two_teams, "tool")
    two_teams.ok("push", f"{releases}:stable")
    for number in (0, 2):
        row = five[number].ok("pull", f"{releases}:stable", "--host", f"vm_{number}", "--json").json
        assert row["result"]["environments"][0]["fetched"] == 2
    said = two_teams.ok("hosts", f"{releases}:stable", "--json").json["result"]
    states = {row["host"]: row["state"] for row in said["rows"] if row["environment"] == "env_a"}
    assert states == {f"vm_{n}": "current" if n in {0, 2} else "behind" for n in range(5)}
    assert {row["generation"] for row in said["rows"] if row["environment"] == "env_a"} == {first, second}
    shown = two_teams.ok("hosts", f"{releases}:stable").stdout
    assert shown.splitlines()[-1] == "5 hosts, 3 behind"
    five[2].ok("rollback", "env_a")
    works(five[2])


SSH = """#!/bin/sh
# what ssh does, without a network: the last word is what the host's shell gets
while [ "$1" != -- ]; do shift; done
{host} sh -c "$3" "$2"
"""


def test_hosts_that_are_asked_by_ssh(
    two_teams: Deployment, releases: str, five: list[PullingHost], tmp_path: Path
) -> None:
    """The one thing that is not real here is ssh itself, in whose place a program runs what it is given."""
    two_teams.ok("push", f"{releases}:1")
    five[0].ok("pull", f"{releases}:1")
    tools = tmp_path / "tools"
    tools.mkdir()
    variables = " ".join(f"{key}={value}" for key, value in five[0].environment.items())
    inside = (
        f"env {variables} unshare -m sh -ec 'mount --bind {five[0].folder} {five[0].root}; exec \"$@\"' sh"
    )
    (tools / "ssh").write_text(SSH.format(host=inside))
    (tools / "envman").write_text(f'#!/bin/sh\nexec {sys.executable} -m envman "$@"\n')
    for program in tools.iterdir():
        program.chmod(0o755)
    (Path(five[0].environment["PATH"]) / "envman").symlink_to(tools / "envman")
    path = {"PATH": f"{tools}:{two_teams.environment['PATH']}:/usr/sbin:/sbin"}
    result = two_teams.run("hosts", f"{releases}:1", "--ssh", "ci@vm_a", "--json", variables=path)
    assert result.exit_code == 0, result.stdout + result.stderr
    rows = result.json["result"]["rows"]
    assert {(row["host"], row["state"], row["by"]) for row in rows} == {("vm_a", "current", "ssh")}
    (tools / "ssh").write_text("#!/bin/sh\necho no route to host >&2\nexit 255\n")
    result = two_teams.run("hosts", "--ssh", "vm_b", "--ssh", "-oProxyCommand=evil", variables=path)
    assert result.exit_code == 1
    assert "--ssh vm_b: no route to host" in result.stderr
    assert "is not the name of a host" in result.stderr
    assert two_teams.run("hosts").exit_code == 2


def test_a_record_that_is_none_is_told_of(
    two_teams: Deployment, releases: str, five: list[PullingHost]
) -> None:
    two_teams.ok("push", f"{releases}:1")
    two_teams.ok("push", f"{releases}:host-evil")
    five[0].ok("pull", f"{releases}:1", "--host", "vm_a")
    result = two_teams.run("hosts", f"{releases}:1")
    assert result.exit_code == 1
    assert "host-evil: is not what a host says of itself" in result.stderr
    assert "give it a tag that does not begin with host-" in result.stderr
    assert "vm_a" in result.stdout
    record, stranger = (f"docker://{releases}:host-{name}" for name in ("vm_a", "zzz"))
    words = ["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", record, stranger]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    result = two_teams.run("hosts", f"{releases}:1", "--json")
    assert result.exit_code == 1
    assert "it is the record of vm_a" in result.stdout
    assert {row["host"] for row in result.json["result"]["rows"]} == {"vm_a"}


def test_a_pull_goes_on_from_what_was_fetched(
    two_teams: Deployment, releases: str, five: list[PullingHost]
) -> None:
    """Killed at random moments, of all that happens from its start on."""
    host = five[0]
    two_teams.ok("push", f"{releases}:1")
    host.ok("pull", f"{releases}:1")
    after = next_generation(two_teams, "heavy", "tool")
    two_teams.ok("push", f"{releases}:2")
    chance = random.Random(20261128)
    killed = 0
    for _ in range(15):
        process = subprocess.Popen(
            host.envman("pull", f"{releases}:2"),
            env=dict(host.environment),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        for _ in range(chance.randrange(5)):
            process.stderr.readline()
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        works(host)
    assert killed >= 6
    host.ok("pull", f"{releases}:2")
    assert host.current("env_a") == after
    works(host)
    host.ok("verify")
    assert not (host.folder / ".pull").exists()


def test_a_disk_that_is_full_while_skopeo_fetches(
    two_teams: Deployment, releases: str, five: list[PullingHost]
) -> None:
    """The folder is named, and what helps; what worked before works, and with more room the pull succeeds."""
    host = five[0]
    two_teams.ok("push", f"{releases}:1")
    host.ok("pull", f"{releases}:1")
    lines = "\n".join(f"VALUE = '{random.Random(number).randbytes(40).hex()}'" for number in range(30_000))
    make_wheel(two_teams.folder / "wheels", "noise", "1.0", files={"noise/values.txt": lines})
    settings = (two_teams.folder / "uv.toml").read_text()
    two_teams.write("uv.toml", settings.replace("= [", f'= ["{two_teams.folder}/wheels", '))
    next_generation(two_teams, "noise")
    two_teams.ok("push", f"{releases}:2")
    finished = host.on_a_full_disk(f"{releases}:2", 600)
    assert finished.returncode == 0, finished.stderr
    assert f"{host.root}/.pull: No space left on device" in finished.stderr
    assert "Free space on that file system" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_gc_removes_what_a_killed_pull_has_fetched(
    two_teams: Deployment, releases: str, five: list[PullingHost]
) -> None:
    host = five[0]
    two_teams.ok("push", f"{releases}:1")
    host.ok("pull", f"{releases}:1")
    (host.folder / ".pull/blobs").mkdir(parents=True)
    host.ok("gc", "--dry-run")
    assert (host.folder / ".pull/blobs").is_dir()
    host.ok("gc")
    assert not (host.folder / ".pull").exists()
    works(host)


def test_what_an_earlier_pull_has_fetched_is_not_fetched_again(
    two_teams: Deployment, releases: str, five: list[PullingHost]
) -> None:
    """The files of one environment can't be written: what was fetched for it stays for the next pull."""
    host = five[0]
    two_teams.ok("push", f"{releases}:1")
    (host.folder / ".gen").mkdir()
    blocked = host.folder / ".gen" / two_teams.current("env_a")
    blocked.mkdir()
    (blocked / "envman.json").write_text("damaged")  # a generation that says nothing is not replaced
    assert host.run("pull", f"{releases}:1").exit_code == 8
    fetched = {file.name for file in (host.folder / ".pull/blobs/sha256").iterdir()}
    assert fetched
    assert host.current("env_b") == two_teams.current("env_b")
    assert not (host.folder / ".state/table").exists()
    (blocked / "envman.json").unlink()
    host.ok("pull", f"{releases}:1")
    works(host)
    assert not (host.folder / ".pull").exists()


def test_what_goes_while_a_pull_works_is_fetched(
    two_teams: Deployment, releases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generation that was whole when the pull looked, and that `gc` took before its turn came."""
    two_teams.ok("push", f"{releases}:1")
    first = two_teams.current("env_a")
    next_generation(two_teams, "tool")
    two_teams.ok("push", f"{releases}:2")
    monkeypatch.setenv("HOME", str(tmp_path))
    built = two_teams.root.rename(tmp_path / "built")
    store, removed = Store(str(two_teams.root)), []

    def collected(event: Event) -> None:
        if event.stage is Stage.FETCHING and "layers" in event.detail:
            removed.extend(one.generation for one in collect(store, 1, dry_run=False).removed)

    for release, names in (("1", ["env_a"]), ("2", ["env_a"])):
        assert not pull(
            store, parse_reference(f"{releases}:{release}"), names, PullOptions(), silent
        ).outcomes.errors
    pulled = pull(store, parse_reference(f"{releases}:1"), [], PullOptions(), collected).outcomes
    assert removed == [first]
    assert not pulled.errors, pulled.problems()
    row = next(one for one in pulled.results if one.environment == "env_a")
    assert (row.status, row.generation) == (PullStatus.PULLED, first)
    shutil.rmtree(two_teams.root)
    built.rename(two_teams.root)


def test_a_killed_pulls_skopeo_keeps_the_next_pull_waiting(five: list[PullingHost]) -> None:
    """skopeo goes on for a while: no second one may write into the same folder."""
    host = five[0]
    with socket.create_server(("127.0.0.1", 0)) as silent_registry:
        place = f"127.0.0.1:{silent_registry.getsockname()[1]}/airflow/envs:1"
        words = host.envman("pull", place)
        silent_registry.settimeout(60)
        with subprocess.Popen(words, env=dict(host.environment), stderr=subprocess.DEVNULL) as process:
            asked, _ = silent_registry.accept()  # skopeo waits for an answer
            process.kill()
        lock = host.folder / ".lock/pull"
        with asked, try_locked(lock) as free:
            assert not free

    def is_free() -> bool:
        with try_locked(lock) as free:
            return free

    until(is_free, "the lock stays, although skopeo has no more to wait for")
