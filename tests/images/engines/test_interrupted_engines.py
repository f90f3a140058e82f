"""A build by an engine that is interrupted while uv, in the engine's container, waits for an index."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images.engines.conftest import CREDENTIALS, Project, options_of
from tests.images.machine import look_for_secrets
from tests.moments import PATIENCE, processes_of, server

pytestmark = [pytest.mark.registry, pytest.mark.xdist_group("engines")]


@pytest.mark.parametrize(
    ("engine", "signum"),
    [("buildah", signal.SIGINT), ("podman", signal.SIGTERM), ("docker", signal.SIGHUP)],
)
def test_it_ends_and_what_runs_in_the_container_too(
    project: Project, tmp_path: Path, engine: str, signum: signal.Signals
) -> None:
    blocked = project.not_built_yet(tmp_path / "project")
    (tmp_path / "tmp").mkdir()
    blocked.environ["TMPDIR"] = str(tmp_path / "tmp")
    with server() as (address, asked):
        (blocked.folder / "uv.toml").write_text(f'[[index]]\nname = "private"\nurl = "{address}/simple/"\n')
        words = ["image", "build", "env_a", *options_of(engine), "--tag", f"localhost/never-{engine}:1"]
        with subprocess.Popen(
            [sys.executable, "-m", "envman", *words],
            cwd=blocked.folder,
            env={**blocked.environ, **CREDENTIALS},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                connection = asked(process)
                process.send_signal(signum)
                _, said = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
        connection.settimeout(PATIENCE)
        while connection.recv(65536):  # uv's request, then its end
            pass
    assert process.returncode == 128 + signum, said
    assert "Traceback" not in said
    assert processes_of(tmp_path, {os.getpid()}) == []
    for folder in (project.storage_of(engine), tmp_path / "tmp"):
        assert look_for_secrets(folder).stdout == ""
    left = {entry.name.rstrip("0123456789") for entry in (tmp_path / "tmp").iterdir()}
    cache = set() if engine == "docker" else {"buildah-cache"}
    assert left - cache <= ({"buildah"} if engine == "podman" else set())
