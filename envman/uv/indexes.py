"""uv's indexes as pip understands them, for the one thing that uv can't do: download files as they are.

Credentials go into pip's environment variables, never onto its command line, where others could read them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from envman.uv.configuration import read_uv_config, uv_environment


def pip_index_environment(caller: Mapping[str, str], config: str | None) -> dict[str, str]:
    """The variables that pip runs with; where uv is told of no index, pip's own configuration counts.

    uv's variables win over the project's configuration, that over the user's and that over the system's.
    Raises SpecError for a file that can't be read.
    """
    table = _merged([read_uv_config(path) for path in uv_configurations(caller, config)])
    default, others = _indexes(caller, table)
    environment = uv_environment(caller)
    if default:
        environment["PIP_INDEX_URL"] = default
    if others:
        environment["PIP_EXTRA_INDEX_URL"] = " ".join(others)
    if links := caller.get("UV_FIND_LINKS", "").replace(",", " ") or " ".join(table.get("find-links", ())):
        environment["PIP_FIND_LINKS"] = links
    if table.get("no-index"):
        environment["PIP_NO_INDEX"] = "1"
    if "SSL_CERT_FILE" in caller and "PIP_CERT" not in caller:
        environment["PIP_CERT"] = caller["SSL_CERT_FILE"]
    return environment


def uv_configurations(caller: Mapping[str, str], config: str | None) -> list[str]:
    """The configuration files that uv reads and that are there: the project's, the user's, the system's."""
    home = caller.get("XDG_CONFIG_HOME") or f"{caller.get('HOME', '')}/.config"
    shared = [f"{home}/uv/uv.toml", "/etc/uv/uv.toml"]
    return ([config] if config else []) + [path for path in shared if Path(path).is_file()]


def local_folders(caller: Mapping[str, str], config: str | None) -> list[str]:
    """The folders of this machine that uv takes files from, by its configuration and variables; those there
    are. Raises SpecError.
    """
    table = _merged([read_uv_config(path) for path in uv_configurations(caller, config)])
    listed = [str(index["url"]) for index in table.get("index", ())]
    listed += [*table.get("find-links", ()), *table.get("extra-index-url", ()), table.get("index-url", "")]
    for name in ("UV_FIND_LINKS", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"):
        listed += [
            entry.partition("=")[2] or entry for entry in caller.get(name, "").replace(",", " ").split()
        ]
    paths = {unquote(urlsplit(entry).path) if entry.startswith("file:") else entry for entry in listed}
    return sorted(path for path in paths if path.startswith("/") and Path(path).is_dir())


def places_of_files(caller: Mapping[str, str], config: str | None) -> list[str]:
    """Files and folders of this machine that packages come from, or that say where from and with which
    credentials, whether they are there or not. Raises SpecError.
    """
    netrc = caller.get("NETRC") or os.path.expanduser("~/.netrc")  # noqa: PTH111
    named = [netrc, caller.get("SSL_CLIENT_CERT", ""), config or "", "/etc/uv"]
    places = [*named, *uv_configurations(caller, config), *local_folders(caller, config)]
    return list(dict.fromkeys(filter(None, places)))


def index_account(caller: Mapping[str, str], config: str | None, url: str) -> tuple[str, str] | None:
    """The user and password that the configuration has for an index at a URL's own host, if it has.

    Raises SpecError.
    """
    table = _merged([read_uv_config(path) for path in uv_configurations(caller, config)])
    default, others = _indexes(caller, table)
    links = [*caller.get("UV_FIND_LINKS", "").replace(",", " ").split(), *table.get("find-links", ())]
    wanted = urlsplit(url)
    for place in filter(None, (default, *others, *links)):
        parts = urlsplit(place)
        same = (parts.scheme, parts.hostname, parts.port) == (wanted.scheme, wanted.hostname, wanted.port)
        if same and parts.username:
            return unquote(parts.username), unquote(parts.password or "")
    return None


def _merged(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """The first file that states a value wins; lists are joined."""
    merged: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            if isinstance(value, list):
                merged[key] = [*merged.get(key, []), *value]
            else:
                merged.setdefault(key, value)
    return merged


def _indexes(caller: Mapping[str, str], table: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The default index (may be empty: pip's own) and the further ones, with credentials."""
    listed = [
        (str(index.get("name", "")), str(index["url"]), bool(index.get("default")))
        for index in table.get("index", ())
        if not index.get("explicit")  # uv takes such a one for packages that name it, and a spec names none
    ]
    defaults = [_with_credentials(caller, name, url) for name, url, default in listed if default]
    others = [_with_credentials(caller, name, url) for name, url, default in listed if not default]
    default = caller.get("UV_DEFAULT_INDEX") or caller.get("UV_INDEX_URL")
    if default:
        defaults = [_named(caller, default)]
    further = f"{caller.get('UV_INDEX', '')} {caller.get('UV_EXTRA_INDEX_URL', '')}".split()
    others = [_named(caller, entry) for entry in further] + others + list(table.get("extra-index-url", ()))
    return (defaults or [str(table.get("index-url", ""))])[0], others


def _named(caller: Mapping[str, str], entry: str) -> str:
    """`name=url`, as uv's variables hold it, or a URL alone."""
    name, separator, url = entry.partition("=")
    if separator and "/" not in name:
        return _with_credentials(caller, name, url)
    return entry


def _with_credentials(caller: Mapping[str, str], name: str, url: str) -> str:
    key = re.sub(r"[^A-Z0-9]", "_", name.upper())
    user, password = (caller.get(f"UV_INDEX_{key}_{part}", "") for part in ("USERNAME", "PASSWORD"))
    parts = urlsplit(url)
    if not (user or password) or "@" in parts.netloc:
        return url
    netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"
    return urlunsplit(parts._replace(netloc=netloc))
