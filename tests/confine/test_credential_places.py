"""What a team's user can bring about by what it may write: which file is read for it, what is run. Needs root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envman.inside.credential_values import variables_of
from envman.launch.credential_reading import CredentialError, packed
from envman.resolver.credential import COMMAND, FILE, Credential

TEAM = 23433
SECRET = "s3cret-of-another-team"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Another team's, which root alone may read."""
    path = tmp_path / "other.json"
    path.write_text(SECRET)
    path.chmod(0o400)
    return path


@pytest.fixture
def teams(tmp_path: Path) -> Path:
    """A folder of the team's."""
    folder = tmp_path / "team"
    folder.mkdir()
    os.chown(folder, TEAM, TEAM)
    return folder


def got(source: str, path: Path | str) -> str:
    credential = Credential("token", source, (str(path),), "TOKEN", False)
    return variables_of(packed("env_a", [credential])[0])["TOKEN"]


def refused(source: str, path: Path | str) -> str:
    with pytest.raises(CredentialError) as caught:
        got(source, path)
    assert SECRET not in str(caught.value)
    return caught.value.problems[0].what


def program(path: Path, owner: int) -> Path:
    path.write_text("#!/bin/sh\nid -u\n")
    path.chmod(0o755)
    os.chown(path, owner, owner)
    return path


def test_a_file_in_a_teams_folder_is_no_credential(secret: Path, teams: Path) -> None:
    """The team replaces it by a link, or names a folder anew, whenever it likes."""
    (teams / "file").write_text("the team's")
    (teams / "link").symlink_to(secret)
    (teams / "folder").symlink_to(secret.parent)
    (teams / "hard").hardlink_to(secret)
    whose = f"the folder {teams} belongs to the user {TEAM}, and neither to root nor to this user"
    for name in ("file", "link", f"folder/{secret.name}", "hard"):
        assert whose in refused(FILE, teams / name)


def test_a_link_of_roots_into_a_teams_folder_is_none(secret: Path, teams: Path, tmp_path: Path) -> None:
    (teams / "token").symlink_to(secret)
    (tmp_path / "token").symlink_to("team/token")
    assert f"the folder {teams} belongs to the user {TEAM}" in refused(FILE, tmp_path / "token")


def test_a_teams_file_in_roots_folder_is_one(tmp_path: Path) -> None:
    """It can't become a link there: what it says is the team's, and so is who gets it."""
    (tmp_path / "token").write_text("the team's own")
    os.chown(tmp_path / "token", TEAM, TEAM)
    assert got(FILE, tmp_path / "token") == "the team's own"


def test_what_a_team_has_brought_into_a_folder_for_all_is_none(secret: Path, tmp_path: Path) -> None:
    for_all = tmp_path / "for all"
    for_all.mkdir()
    for_all.chmod(0o1777)
    (for_all / "link").symlink_to(secret)
    (for_all / "folder").mkdir()
    for name in ("link", "folder"):
        os.chown(for_all / name, TEAM, TEAM, follow_symlinks=False)
    (for_all / "hard").hardlink_to(secret)
    (for_all / "roots").symlink_to(secret)
    for name in ("link", "hard", "folder/token"):
        (for_all / "folder/token").write_text("")
        assert f"the folder {for_all}" in refused(FILE, for_all / name)
    assert got(FILE, for_all / "roots") == SECRET  # as Kubernetes has it


def test_a_command_that_a_team_may_replace_is_not_run(teams: Path, tmp_path: Path) -> None:
    assert got(COMMAND, program(tmp_path / "roots", 0)) == "0"
    in_teams = program(teams / "command", 0)
    of_teams = program(tmp_path / "command", TEAM)
    (tmp_path / "link").symlink_to(in_teams)
    assert f"the folder {teams} belongs to the user {TEAM}" in refused(COMMAND, in_teams)
    assert f"the folder {teams} belongs to the user {TEAM}" in refused(COMMAND, tmp_path / "link")
    assert f"it belongs to the user {TEAM}, and neither to root" in refused(COMMAND, of_teams)
