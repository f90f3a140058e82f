"""`envman audit` with the real pip-audit, which asks a server on this machine that speaks the OSV API."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.conftest import Deployment


@dataclass
class Database:
    """Vulnerabilities by name and version, and what was asked; `broken`: a status and a body for all."""

    url: str = ""
    known: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    broken: tuple[int, bytes] | None = None

    def vulnerability(self, name: str, version: str, identifier: str, *aliases: str, fixed: str = "") -> None:
        events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
        package = {"name": name, "ecosystem": "PyPI"}
        affected = [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]
        entry = {"id": identifier, "aliases": list(aliases), "summary": "Bad.", "affected": affected}
        self.known.setdefault((name, version), []).append(entry)

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        query = json.loads(body)
        key = (query["package"]["name"], query["version"])
        self.asked.append(key)
        self.paths.add(path)
        if self.broken:
            return self.broken
        return 200, json.dumps({"vulns": self.known[key]} if key in self.known else {}).encode()


@pytest.fixture
def database() -> Iterator[Database]:
    made = Database()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = made.answer(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def locked(deployment: Deployment) -> Deployment:
    """Two environments that share grid 1.0, one with two versions of it; nothing is built."""
    deployment.write(
        "envman.toml",
        'root = "venv"\ndefault-environment = "env_b"\n'
        "[bundles]\n"
        'bundle_a = { environment = "env_a" }\nbundle_b = { team = "team_b" }\nbundle_c = {}\n'
        '[teams]\nteam_b = { environment = "env_b" }\n',
    )
    both = "\"grid<1.1 ; python_version < '3.14'\", \"grid>=2 ; python_version >= '3.14'\""
    deployment.write("environments/env_a.toml", f'requires-python = ">=3.10"\ndependencies = [{both}]\n')
    deployment.spec("env_b", ["frame<2", "grid<1.1"])
    deployment.ok("lock")
    return deployment


def test_a_finding_names_the_environments_and_bundles_that_it_hits(
    locked: Deployment, database: Database
) -> None:
    database.vulnerability("grid", "1.0", "GHSA-1", "CVE-2026-1", "PYSEC-2026-1", fixed="1.1")
    database.vulnerability("frame", "1.5", "CVE-2026-2")
    result = locked.run("audit", "--url", database.url, "--json")
    assert result.exit_code == 1
    found = result.json["result"]
    assert (found["service"], found["environments"], found["packages"]) == ("osv", ["env_a", "env_b"], 3)
    frame, grid = found["findings"]
    assert grid == {
        "package": "grid",
        "version": "1.0",
        "id": "PYSEC-2026-1",
        "aliases": ["CVE-2026-1", "GHSA-1"],
        "fixed_in": ["1.1"],
        "description": "Bad.",
        "environments": ["env_a", "env_b"],
        "bundles": grid["bundles"],
    }
    assert {"bundle_a", "bundle_b", "bundle_c"} <= set(grid["bundles"])
    assert (frame["environments"], frame["fixed_in"]) == (["env_b"], [])
    assert {"bundle_b", "bundle_c"} <= set(frame["bundles"])
    assert "bundle_a" not in frame["bundles"]
    assert [problem["where"] for problem in result.json["problems"]] == ["frame 1.5", "grid 1.0"]
    assert "envman lock env_a env_b -P grid" in result.json["problems"][1]["remedy"]


def test_each_version_of_each_package_is_asked_about_once_and_nothing_is_built(
    locked: Deployment, database: Database
) -> None:
    locked.ok("audit", "--url", f"{database.url}/v1/query")
    locked.ok("audit", "--url", f"{database.url}/", "env_b")
    assert sorted(database.asked[:3]) == [("frame", "1.5"), ("grid", "1.0"), ("grid", "2.0")]
    assert sorted(database.asked[3:]) == [("frame", "1.5"), ("grid", "1.0")]
    assert database.paths == {"/v1/query"}
    assert not locked.root.exists()


def test_the_table_shows_what_was_found(locked: Deployment, database: Database) -> None:
    database.vulnerability("grid", "2.0", "CVE-2026-3", fixed="2.1")
    result = locked.run("audit", "--url", database.url)
    assert result.exit_code == 1
    header, row, said = result.stdout.splitlines()
    assert header.split() == ["package", "version", "id", "fixed", "in", "environments", "bundles"]
    assert row.split()[:5] == ["grid", "2.0", "CVE-2026-3", "2.1", "env_a"]
    assert "bundle_a" in row
    assert said == "3 packages of env_a, env_b: 1 known vulnerability"


@pytest.mark.parametrize("identifier", ["CVE-2026-1", "GHSA-1"])
def test_what_is_ignored_by_its_id_or_an_alias_is_no_finding(
    locked: Deployment, database: Database, identifier: str
) -> None:
    database.vulnerability("grid", "1.0", "GHSA-1", "CVE-2026-1")
    result = locked.ok("audit", "--url", database.url, "--ignore", identifier, "--json")
    assert (result.json["ok"], result.json["result"]["findings"]) == (True, [])


def test_a_token_of_the_server_is_not_shown(locked: Deployment, database: Database) -> None:
    database.broken = (503, b"")
    url = database.url.replace("//", "//user:sesame@")
    result = locked.run("audit", "--url", url)
    assert "503" in result.stderr
    assert "sesame" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ((503, b"down"), "it answered 503 Server Error"),
        ((200, b"<html>"), "no answer that can be used: Expecting value"),
        ((200, b'{"vulns": [{"nothing": 1}]}'), "no answer that can be used"),
        ((200, b'{"vulns": "many"}'), "no answer that can be used"),
    ],
)
def test_an_answer_that_is_none_is_a_failure_and_no_all_clear(
    locked: Deployment, database: Database, broken: tuple[int, bytes], words: str
) -> None:
    database.broken = broken
    result = locked.run("audit", "--url", database.url, "--json")
    assert (result.exit_code, result.json["ok"], result.json["result"]) == (1, False, None)
    (problem,) = result.json["problems"]
    assert problem["where"] == "vulnerability database"
    assert words in problem["what"]
    assert "Traceback" not in result.stdout + result.stderr


def test_a_database_that_can_t_be_reached_is_said(locked: Deployment) -> None:
    result = locked.run("audit", "--url", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "can't be reached: [Errno 111] Connection refused" in result.stderr


def test_pip_audit_s_own_variables_change_nothing(locked: Deployment, database: Database) -> None:
    database.vulnerability("grid", "1.0", "CVE-2026-1")
    variables = {"PIP_AUDIT_FORMAT": "markdown", "PIP_AUDIT_OUTPUT": "elsewhere", "PIP_AUDIT_DESC": "off"}
    variables["PIP_AUDIT_OSV_URL"] = f"{database.url}/v1/query"  # but this one names the server
    result = locked.run("audit", "--json", variables=variables)
    assert [one["description"] for one in result.json["result"]["findings"]] == ["Bad."]


def test_locks_that_are_missing_or_altered_are_reported_together(locked: Deployment) -> None:
    (locked.folder / "environments/env_a.lock").unlink()
    altered = locked.folder / "environments/env_b.lock"
    altered.write_text(altered.read_text().replace("frame==1.5", "frame==1.6"), encoding="utf-8")
    result = locked.run("audit", "--url", "http://127.0.0.1:1")
    assert result.exit_code == 4
    assert "the environment 'env_a' has no lock" in result.stderr
    assert "its pins were changed" in result.stderr


def test_without_pip_audit_the_remedy_is_to_install_it(
    locked: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    hidden = tmp_path_factory.mktemp("hidden")
    code = "import sys\n\nsys.modules['pip_audit'] = None\n"
    (hidden / "sitecustomize.py").write_text(code, encoding="utf-8")
    path = os.pathsep.join([str(hidden), os.environ.get("PYTHONPATH", "")])
    result = locked.run("audit", variables={"PYTHONPATH": path})
    assert result.exit_code == 1
    assert "pip-audit, which asks vulnerability databases, is not installed" in result.stderr
    assert "pip install 'envman[audit]'" in result.stderr


def test_an_own_server_and_the_index_s_advisories_exclude_each_other(locked: Deployment) -> None:
    result = locked.run("audit", "--service", "pypi", "--url", "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert "speaks the OSV API" in result.stderr


def test_a_lock_without_packages_asks_nobody(deployment: Deployment) -> None:
    deployment.spec("env_a", [])
    deployment.ok("lock")
    result = deployment.ok("audit", "--url", "http://127.0.0.1:1")
    assert "0 packages of env_a: no known vulnerabilities" in result.stdout


def test_a_diff_of_revisions_tells_which_vulnerabilities_come_and_go(
    locked: Deployment, database: Database
) -> None:
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), (*AUTHOR, "commit", "-q", "-m", "one")):
        subprocess.run(["git", *words], cwd=locked.folder, check=True, timeout=60)
    locked.spec("env_b", ["frame<2", "grid>=1.1"])
    locked.ok("lock", "env_b")
    database.vulnerability("grid", "1.0", "CVE-2026-1", fixed="1.1")
    database.vulnerability("grid", "1.1", "CVE-2026-2")
    for version in ("1.0", "1.1"):
        database.vulnerability("grid", version, "CVE-2026-3")  # neither comes nor goes
    wanted = ("diff", "--git", "main", "--audit-url", database.url)
    found = locked.ok(*wanted, "--json").json["result"]["vulnerabilities"]
    assert [(one["id"], one["comes"]) for one in found] == [("CVE-2026-1", False), ("CVE-2026-2", True)]
    assert "| **comes** | `grid` | `1.1` | `CVE-2026-2` |" in locked.ok(*wanted, "--markdown").stdout
    database.broken = (503, b"")
    said = locked.ok(*wanted)
    assert "known vulnerabilities were not looked up" in said.stderr
    assert "No known vulnerability" not in said.stdout


AUTHOR = ("-c", "user.name=n", "-c", "user.email=n@example.org")
