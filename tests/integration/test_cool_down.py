"""`exclude-newer` with the real uv, over an index that says when its files were uploaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.conftest import PYTHON, Deployment
from tests.integration.test_lock import pins
from tests.wheels import make_wheel

AGES = {("tool", "1.0"): 100, ("tool", "2.0"): 2, ("own", "1.0"): 100, ("own", "2.0"): 1}
"""Days since the upload."""


class _Quiet(SimpleHTTPRequestHandler):
    def guess_type(self, path: Any) -> str:
        page = str(path).endswith(".html")
        return "application/vnd.pypi.simple.v1+json" if page else "application/octet-stream"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""


@pytest.fixture
def dated(deployment: Deployment, tmp_path: Path) -> Iterator[Deployment]:
    """A project whose index has a version of yesterday of each package."""
    site = tmp_path / "site"
    now = datetime.now(timezone.utc)
    for name in ("tool", "own"):
        files = []
        for version in ("1.0", "2.0"):
            wheel = make_wheel(site / "files", name, version)
            uploaded = now - timedelta(days=AGES[name, version])
            files.append(
                {
                    "filename": wheel.name,
                    "url": f"/files/{wheel.name}",
                    "hashes": {"sha256": sha256(wheel.read_bytes()).hexdigest()},
                    "upload-time": uploaded.strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            )
        page = {"meta": {"api-version": "1.1"}, "name": name, "versions": ["1.0", "2.0"], "files": files}
        (site / name).mkdir(parents=True)
        (site / name / "index.html").write_text(json.dumps(page))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/"
    deployment.write("uv.toml", f'[[index]]\nurl = "{url}"\ndefault = true\n')
    yield deployment
    server.shutdown()
    thread.join()
    server.server_close()


def spec(deployment: Deployment, more: str) -> None:
    deployment.write(
        "environments/env_a.toml",
        f'requires-python = "=={PYTHON}.*"\ndependencies = ["tool", "own"]\n{more}',
    )


def test_a_cool_down_leaves_out_what_was_uploaded_lately_and_the_lock_answers_to_it(
    dated: Deployment,
) -> None:
    spec(dated, "")
    dated.ok("lock")
    assert pins(dated, "env_a") == {"tool": "2.0", "own": "2.0"}
    spec(dated, 'exclude-newer = "7 days"\nexclude-newer-except = ["own"]\n')
    stale = dated.run("lock", "--check")
    assert (stale.exit_code, "exclude-newer was added" in stale.stderr) == (4, True)
    dated.ok("lock")  # what was locked before and is too new leaves, too
    assert pins(dated, "env_a") == {"tool": "1.0", "own": "2.0"}
    dated.ok("lock", "--check", "--resolve")
    dated.ok("lock", "--upgrade", variables={"UV_EXCLUDE_NEWER": "2099-01-01"})
    assert pins(dated, "env_a") == {"tool": "1.0", "own": "2.0"}  # the spec's wins
    wanted = dated.run("add", "env_a", "tool>=2")
    assert wanted.exit_code == 5
    assert 'exclude-newer-except = ["tool"]' in wanted.stderr
