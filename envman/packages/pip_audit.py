"""Ask a vulnerability database, through pip-audit in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from envman.errors import EnvmanError, Problem
from envman.packages.audit_report import Pinned, Report, failure, parse_report, question
from envman.system.processes import Processes

MODULE = "pip_audit"
SERVER = "PIP_AUDIT_OSV_URL"
TIMEOUT = 15
"""Seconds to wait for each of the database's answers."""

_QUERY = "/v1/query"
_OPTIONS = "PIP_AUDIT_"
_REPORTED = (0, 1)
"""pip-audit's exit codes without and with findings; it also ends with 1 where it fails."""


class Service(str, Enum):
    """The databases: OSV, or the package index's own advisories."""

    OSV = "osv"
    PYPI = "pypi"


def ask(
    pins: Collection[Pinned],
    service: Service,
    server: str | None,
    ignored: Collection[str],
    processes: Processes,
    environ: Mapping[str, str],
) -> Report:
    """What the database knows of these packages; one request each, nothing is resolved or downloaded.

    `server` speaks the OSV API in place of the public one. Raises EnvmanError where pip-audit is not
    installed, or the database can't be reached or answers something else.
    """
    if find_spec(MODULE) is None:
        what = "pip-audit, which asks vulnerability databases, is not installed"
        raise EnvmanError(Problem("envman", what, "Install it: pip install 'envman[audit]'"))
    if not pins:
        return Report((), ())
    with TemporaryDirectory(prefix="envman-audit-") as folder:
        (Path(folder) / "pylock.toml").write_text(question(pins), encoding="utf-8")
        # no cache beyond this run: an audit asks what is known now
        command = [sys.executable, "-m", MODULE, "--locked", "--vulnerability-service", service.value]
        command += ["--format", "json", "--desc", "on", "--aliases", "on", "--progress-spinner", "off"]
        command += ["--timeout", str(TIMEOUT), "--cache-dir", f"{folder}/cache"]
        command += [f"--ignore-vuln={identifier}" for identifier in sorted(ignored)]
        finished = processes.run([*command, folder], _environment(server, environ, folder), folder)
    if finished.exit_code in _REPORTED and finished.stdout.strip():
        return parse_report(finished.stdout, pins)
    raise failure(finished.stderr)


def _environment(server: str | None, environ: Mapping[str, str], scratch: str) -> dict[str, str]:
    """The server's address is a variable, not an argument: other users see those, and it may hold a token."""
    left = {name: value for name, value in environ.items() if name == SERVER or not name.startswith(_OPTIONS)}
    left |= {"PYTHONWARNINGS": "ignore", "TMPDIR": scratch}  # it leaves a folder there when it is ended
    if certificates := environ.get("SSL_CERT_FILE"):  # the name that counts for uv and for envman itself
        left.setdefault("REQUESTS_CA_BUNDLE", certificates)
    if server:
        left[SERVER] = server if server.endswith("/query") else server.rstrip("/") + _QUERY
    return left
