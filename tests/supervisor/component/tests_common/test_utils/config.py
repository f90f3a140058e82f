"""Airflow's configuration, changed for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock


@contextmanager
def conf_vars(overrides: Mapping[tuple[str, str], str | None]) -> Iterator[None]:
    """Have options with other values in this process, and in those that it starts; None leaves an option out."""
    from airflow.configuration import conf
    from airflow.sdk.configuration import conf as sdk_conf

    with mock.patch.dict(os.environ), ExitStack() as changed:
        for (section, option), value in overrides.items():
            variable = f"AIRFLOW__{section}__{option}".upper()
            os.environ.pop(variable, None)
            if value:
                os.environ[variable] = value
            for one in (conf, sdk_conf):
                before = ConfigParser.get(one, section, option, raw=True, fallback=None)
                changed.callback(_set, one, section, option, before)
                _set(one, section, option, value)
        yield


def _set(conf: Any, section: str, option: str, value: str | None) -> None:
    if not ConfigParser.has_section(conf, section):
        ConfigParser.add_section(conf, section)
    if value is None:
        ConfigParser.remove_option(conf, section, option)
    else:
        ConfigParser.set(conf, section, option, value)
