"""Which variables a bundle's files name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envman.launch import asked_variables as module
from envman.launch.asked_variables import asked_variables

NAMES = {"AWS_REGION", "API_TOKEN", "EDITOR"}


def test_a_name_counts_that_is_a_whole_string(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "b.py").write_text("import os\nos.environ['AWS_REGION']\n# EDITOR\n'MY_API_TOKEN'\n")
    (tmp_path / "deeper/a.py").write_text('import os\nos.getenv("API_TOKEN")\nos.getenv("AWS_REGION")\n')
    (tmp_path / "notes.txt").write_text("'EDITOR'")
    assert asked_variables(str(tmp_path), NAMES) == {"AWS_REGION": "b.py", "API_TOKEN": "deeper/a.py"}


OPTIONS = {
    "AIRFLOW__SMTP__SMTP_PASSWORD": 'conf.get("smtp", "smtp_password")',
    "AIRFLOW__COMMON_IO__A_PATH": "conf.get(\n    section='common.io',\n    key='a_path',\n)",
    "AIRFLOW__SENTRY__SENTRY_DSN_CMD": 'conf.get("sentry", "SENTRY_DSN", fallback="")',
    "AIRFLOW__PLUGIN__CLIENT_SECRET": 'conf.has_option("plugin", "client_secret")',
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_counts_that_is_asked_of_the_configuration(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("('smtp', smtp_password) # 'smtp', 'smtp_password'\n")
    (tmp_path / "b.py").write_text(f"from airflow.configuration import conf\nx = {OPTIONS[name]}\n")
    teams = name.replace("AIRFLOW__", "AIRFLOW__TEAM_B___")  # nobody asks for those of a team so
    assert asked_variables(str(tmp_path), {name, teams, "EDITOR"}) == {name: "b.py"}


def test_nothing_of_it_can_stop_a_component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "broken.py").symlink_to(tmp_path / "gone")
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    with (tmp_path / "huge.py").open("wb") as stream:
        stream.truncate(10**12)
        stream.seek(10**12)
        stream.write(b"'EDITOR'")
    (tmp_path / "zz.py").write_bytes(b"\xff\xfe'AWS_REGION'\0")
    assert asked_variables(str(tmp_path), NAMES) == {"AWS_REGION": "zz.py"}
    monkeypatch.setattr(module, "MOST_FILES", 1)
    assert asked_variables(str(tmp_path), NAMES) == {}
    assert asked_variables(str(tmp_path / "gone"), NAMES) == {}
    assert asked_variables(str(tmp_path), ()) == {}
