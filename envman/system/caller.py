"""Who runs envman: by the system, and by the variables that CI sets."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from envman.system.actor import Actor

_COMMITS = (
    "GITHUB_SHA",
    "CI_COMMIT_SHA",
    "GIT_COMMIT",
    "BUILDKITE_COMMIT",
    "CIRCLE_SHA1",
    "BITBUCKET_COMMIT",
    "BUILD_SOURCEVERSION",
)
"""Variables with the commit: of GitHub, GitLab, Jenkins, Buildkite, CircleCI, Bitbucket, Azure."""

_JOBS = ("CI_JOB_URL", "BUILD_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL")
"""Variables with the address of the job; GitHub has it in three parts."""

_LONGEST = 200


def current_actor(environ: Mapping[str, str] = os.environ) -> Actor:
    """Who runs this process. What the variables of CI say is cut to 200 characters, and printable."""
    commit = next((environ[name] for name in _COMMITS if environ.get(name)), "")
    return Actor(_user(environ), _plain(socket.gethostname()), _plain(commit), _plain(_job(environ)))


def _user(environ: Mapping[str, str]) -> str:
    """The user's name, or number where it has none; under sudo, that of the person who called it."""
    uid = os.geteuid()
    if uid == 0 and (caller := environ.get("SUDO_USER")):
        return _plain(caller)
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _job(environ: Mapping[str, str]) -> str:
    server, repository, run = (
        environ.get(f"GITHUB_{part}", "") for part in ("SERVER_URL", "REPOSITORY", "RUN_ID")
    )
    if server and repository and run:
        return _without_credentials(f"{server}/{repository}/actions/runs/{run}")
    return _without_credentials(next((environ[name] for name in _JOBS if environ.get(name)), ""))


def _without_credentials(address: str) -> str:
    """An address without what stands before its host, and without its query: either may hold a token."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST]
