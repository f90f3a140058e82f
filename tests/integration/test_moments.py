"""Every command that takes long, interrupted at twenty moments: each is named by an event in the command."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from envman.inside import shared_modules
from tests.conftest import Deployment
from tests.moments import Moments, private
from tests.wheels import make_wheel

LOCAL = "airflow.dag_processing.bundles.local.LocalDagBundle"
AIRFLOW = {
    "airflow.utils.file": "def list_py_file_paths(folder):\n    return [f'{folder}/first.py']\n",
    "airflow.dag_processing.bundles.local": "class LocalDagBundle:\n    pass\n",
    "airflow.sdk": "",
}
"""A stand-in, as far as `preload` and `doctor` need it; `check` fails for want of the rest."""


def airflow_files() -> dict[str, str]:
    files = {}
    for name in (*shared_modules.AIRFLOW, *AIRFLOW):
        parts = name.split(".")
        for end in range(1, len(parts)):
            files["/".join(parts[:end]) + "/__init__.py"] = ""
    for name in (*shared_modules.AIRFLOW, *AIRFLOW):
        package = name.replace(".", "/") + "/__init__.py"
        files[package if package in files else name.replace(".", "/") + ".py"] = AIRFLOW.get(name, "")
    return files


@pytest.fixture(scope="module")
def estate(
    tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path, clean_environment: dict[str, str]
) -> Deployment:
    """Two built environments, a bundle, and everything that is temporary below one folder."""
    folder = tmp_path_factory.mktemp("estate")
    made = private(Deployment(folder / "project", dict(clean_environment)))
    make_wheel(folder / "wheels", "apache-airflow-core", "3.3.2", files=airflow_files())
    links = json.dumps([str(wheelhouse), str(folder / "wheels")])
    made.write("uv.toml", f"no-index = true\nfind-links = {links}\n")
    made.write(
        "envman.toml",
        'root = "venv"\n[bundles]\nbundle_a = { environment = "env_a" }\nbundle_b = { environment = "env_b" }\n',
    )
    made.write("dags/first.py", "import frame, json\n")
    entry = {"name": "bundle_a", "classpath": LOCAL, "kwargs": {"path": str(made.folder / "dags")}}
    made.environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = json.dumps([entry])
    made.spec("env_a", ["frame>=2", "apache-airflow-core"], '[checks]\nimports = ["frame"]\n')
    made.spec("env_b", ["frame<2"], '[checks]\ncommands = [["python", "-c", "import frame"]]\n')
    made.ok("lock")
    made.ok("build")
    return made


@pytest.fixture
def database() -> Iterator[str]:
    """A database that knows of no vulnerability; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def as_locked(estate: Deployment) -> Callable[[], None]:
    """Puts specs and locks back as they are now."""
    kept = {path: path.read_text() for path in (estate.folder / "environments").iterdir()}

    def prepare() -> None:
        for path, text in kept.items():
            path.write_text(text)

    return prepare


def superseded(estate: Deployment) -> Callable[[], None]:
    """Generations that nobody needs, whole ones."""
    current = estate.root / ".gen" / estate.current("env_b")

    def prepare() -> None:
        for number in range(6):
            if not (copy := estate.root / f".gen/old{number}").exists():
                shutil.copytree(current, copy, symlinks=True)

    return prepare


def unused_cache(estate: Deployment) -> Callable[[], None]:
    def prepare() -> None:
        for number in range(6):
            folder = Path(estate.environment["ENVMAN_CACHE_DIR"]) / f"roots/{number}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "file").write_text("")
            os.utime(folder, (0, 0))

    return prepare


def tried(
    estate: Deployment, *command: str, prepare: Callable[[], None] = lambda: None, code: int = 0
) -> None:
    moments = Moments(estate, estate.folder.parent, command, prepare, code)
    interrupted = moments.interrupt_all()
    assert interrupted >= min(len(moments.events), 20) * 0.7, "too few of the runs came so far"


@pytest.mark.parametrize(
    "command",
    [
        ("lock", "--upgrade"),
        ("build", "--rebuild"),
        ("export", "env_a", "--output", "pylock.toml"),
        ("verify",),
        ("preload", "env_a", "--suggest"),
    ],
    ids=" ".join,
)
def test_it_ends_wherever_it_stands(estate: Deployment, command: tuple[str, ...]) -> None:
    tried(estate, *command)


def test_wheelhouse(estate: Deployment) -> None:
    filled = estate.folder / "filled"
    tried(estate, "wheelhouse", "env_a", "filled", prepare=lambda: shutil.rmtree(filled, ignore_errors=True))


def test_add_and_remove_change_both_files_or_neither(estate: Deployment) -> None:
    prepare = as_locked(estate)
    tried(estate, "add", "env_b", "tool", prepare=prepare)
    prepare()
    estate.ok("add", "env_b", "tool")
    tried(estate, "remove", "env_b", "tool", prepare=as_locked(estate))
    prepare()
    estate.ok("lock", "--check")


def test_audit(estate: Deployment, database: str) -> None:
    tried(estate, "audit", "--url", database)


def test_check(estate: Deployment) -> None:
    tried(estate, "check", "--bundle", "bundle_a", "dags", code=1)


def test_doctor(estate: Deployment) -> None:
    tried(estate, "doctor", "--verify", code=1)


def test_gc_leaves_no_generation_half_removed(estate: Deployment) -> None:
    estate.ok("gc", "--keep", "0")  # what other tests have left would be removed by the first run alone
    tried(estate, "gc", prepare=superseded(estate))


def test_prune(estate: Deployment) -> None:
    tried(estate, "prune", prepare=unused_cache(estate))
