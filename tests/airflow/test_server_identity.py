"""What names a fork server: whatever it was made of."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from envman.airflow import server_identity
from envman.airflow.runtime import Runtime


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An AIRFLOW_HOME with all that a server reads."""
    for name in ("config", "plugins/team"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("airflow.cfg", "config/airflow_local_settings.py", "plugins/team/views.py", "ca.pem"):
        (tmp_path / name).write_text("", encoding="utf-8")
    return tmp_path


def runtime_of(home: Path, **variables: str) -> Runtime:
    return Runtime(
        root="/venv",
        environment="env_a",
        generation="first",
        python="/venv/env_a/bin/python",
        variables={"AIRFLOW_HOME": str(home), "SSL_CERT_FILE": f"{home}/ca.pem", **variables},
        added={},
        warm=True,
        preload=(),
        server_idle=0,
        server_memory="",
        user=None,
        limits={},
    )


def append(*path: str) -> Callable[[Path], object]:
    return lambda home: (home / "/".join(path)).write_text("changed = True\n", encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        append("airflow.cfg"),
        append("config/airflow_local_settings.py"),
        append("config/log_config.py"),
        append("plugins/team/views.py"),
        append("plugins/new.py"),
        append("ca.pem"),
        append("config/policies.json"),
        lambda home: (home / "airflow.cfg").unlink(),
        lambda home: (home / "plugins/team").rename(home / "plugins/other"),
    ],
    ids=["cfg", "settings", "new module", "plugin", "new plugin", "certificate", "data", "no cfg", "renamed"],
)
def test_what_a_server_has_read_is_part_of_its_name(home: Path, change: Callable[[Path], object]) -> None:
    before = server_identity.name_of(runtime_of(home))
    assert server_identity.name_of(runtime_of(home)) == before
    change(home)
    assert server_identity.name_of(runtime_of(home)) != before


def test_what_python_writes_beside_modules_is_not(home: Path) -> None:
    before = server_identity.name_of(runtime_of(home))
    (home / "plugins/__pycache__").mkdir()
    (home / "plugins/__pycache__/views.cpython-311.pyc").touch()
    (home / "plugins/data.csv").touch()
    assert server_identity.name_of(runtime_of(home)) == before


def test_files_that_any_other_variable_names_are_not(home: Path) -> None:
    """One that is written all the time would have each workload start a server."""
    variables = {"COMPANY_DB": str(home / "state.db")}
    (home / "state.db").touch()
    before = server_identity.name_of(runtime_of(home, **variables))
    (home / "state.db").write_text("more", encoding="utf-8")
    assert server_identity.name_of(runtime_of(home, **variables)) == before


def test_plugins_are_found_where_the_configuration_says(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (home / "airflow.cfg").write_text(f"[core]\nplugins_folder = {elsewhere}\n", encoding="utf-8")
    before = server_identity.name_of(runtime_of(home))
    (elsewhere / "new.py").touch()
    assert server_identity.name_of(runtime_of(home)) != before


def test_links_are_followed_and_circles_have_an_end(home: Path, tmp_path: Path) -> None:
    linked = tmp_path / "of_git_sync"
    linked.mkdir()
    (home / "plugins/linked").symlink_to(linked)
    (home / "plugins/loop").symlink_to(home / "plugins")
    before = server_identity.name_of(runtime_of(home))
    (linked / "new.py").touch()
    assert server_identity.name_of(runtime_of(home)) != before


@pytest.mark.parametrize(
    "change",
    [
        "os.nice(1)",
        "os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))",
        "psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)",
    ],
    ids=["nice", "processors", "ulimit", "ionice"],
)
def test_what_the_kernel_hands_on_is_part_of_it(home: Path, change: str) -> None:
    """A child of a server has the server's: a component's own only if nobody else's component started it."""
    if "affinity" in change and len(os.sched_getaffinity(0)) == 1:
        change = "os.nice(2)"
    code = f"""
        import os, psutil, resource
        from pathlib import Path
        from envman.airflow import server_identity
        from tests.airflow.test_server_identity import runtime_of

        before = server_identity.name_of(runtime_of(Path({str(home)!r})))
        {change}
        assert server_identity.name_of(runtime_of(Path({str(home)!r}))) != before
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, cwd=Path(__file__).parents[2])


def test_services_have_servers_of_their_own(tmp_path: Path) -> None:
    """One that is stopped would take the other's workloads with it. The leaf is envman's own, below a service."""
    services = {}
    for name in (
        "/",
        "/envman.components",
        "/system.slice/a.service",
        "/system.slice/a.service/envman.components",
    ):
        file = tmp_path / "cgroup"
        file.write_text(f"4:memory:{name}\n0::{name}\n")
        services[name] = server_identity.unit(str(file))
    top, top_leaf, below, below_leaf = services.values()
    assert top == top_leaf
    assert below == below_leaf
    assert top != below
    assert server_identity.unit("/proc/self/cgroup") != ""
    assert server_identity.unit(str(tmp_path / "missing")) == ""


@pytest.mark.parametrize("kind", ["mnt", "net", "pid", "user"])
def test_another_view_of_the_system_has_a_server_of_its_own(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A component in a namespace of its own, as systemd makes one for ReadOnlyPaths, say."""
    name = server_identity.name_of(runtime_of(home))
    real = os.readlink
    elsewhere = f"/proc/self/ns/{kind}"
    with monkeypatch.context() as patched:
        patched.setattr(os, "readlink", lambda path: "elsewhere" if path == elsewhere else real(path))
        assert server_identity.name_of(runtime_of(home)) != name
    assert server_identity.name_of(runtime_of(home)) == name
