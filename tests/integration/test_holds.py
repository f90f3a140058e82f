"""`hold`, `unhold` and `rollback --hold`: an environment stays where it is, whatever is built or pulled."""

from __future__ import annotations

import json
from pathlib import Path

from envman.store import layout
from tests.conftest import Deployment
from tests.release_hosts import new_host

WHY = "frame 2.2 breaks sales"


def change(deployment: Deployment) -> None:
    """Another lock for env_a than what is built, and env_b as well."""
    for name, frame in (("env_a", "frame>=2"), ("env_b", "frame<2")):
        deployment.spec(name, [frame, "tool"])
    deployment.ok("lock")


def statuses(deployment: Deployment) -> dict[str, str]:
    rows = deployment.ok("build", "--json").json["result"]
    return {row["environment"]: row["status"] for row in rows}


def listed(deployment: Deployment, name: str) -> dict[str, object]:
    rows = deployment.ok("list", "--json").json["result"]
    (row,) = (row for row in rows if row["environment"] == name)
    return dict(row)


def test_a_rollback_that_holds_stays_until_it_is_lifted(two_teams: Deployment) -> None:
    first = two_teams.current("env_a")
    change(two_teams)
    assert statuses(two_teams) == {"env_a": "built", "env_b": "built"}
    second = two_teams.current("env_a")
    two_teams.ok("rollback", "env_a", "--hold", WHY)
    for _ in range(2):
        result = two_teams.ok("build")
        assert two_teams.current("env_a") == first
        assert WHY in result.stderr
        assert "envman unhold env_a" in result.stderr
    assert listed(two_teams, "env_a")["is_behind"] is True
    shown = two_teams.ok("list")
    assert f"{first} (held)" in shown.stdout
    assert "fresh, not built" in shown.stdout
    assert WHY in shown.stderr
    result = two_teams.run("rollback", "env_a", "--to", second)
    assert (result.exit_code, two_teams.current("env_a")) == (2, first)
    assert "--hold" in result.stderr
    assert WHY in two_teams.ok("unhold", "env_a").stdout
    assert two_teams.ok("unhold", "env_a").stdout.strip() == "env_a has no hold now"
    assert statuses(two_teams)["env_a"] == "switched"
    assert two_teams.current("env_a") == second


def test_others_are_built_beside_one_that_is_held(two_teams: Deployment) -> None:
    first = two_teams.current("env_a")
    two_teams.ok("hold", "env_a", WHY)
    assert WHY in two_teams.ok("hold", "env_a", "another reason").stderr  # the older one is not lost unseen
    change(two_teams)
    assert statuses(two_teams) == {"env_a": "held", "env_b": "built"}
    assert two_teams.current("env_a") == first
    assert statuses(two_teams) == {"env_a": "held", "env_b": "unchanged"}


def test_a_pull_leaves_a_held_environment_where_it_is(two_teams: Deployment, tmp_path: Path) -> None:
    two_teams.ok("push", f"oci:{tmp_path}/release:1")
    host = new_host(tmp_path / "host", two_teams)
    host.ok("pull", f"oci:{tmp_path}/release:1")
    old = host.current("env_a")
    host.ok("hold", "env_a", WHY)
    change(two_teams)
    two_teams.ok("build")
    two_teams.ok("push", f"oci:{tmp_path}/release:2")
    rows = host.ok("pull", f"oci:{tmp_path}/release:2", "--json").json["result"]["environments"]
    assert {row["environment"]: row["status"] for row in rows} == {"env_a": "held", "env_b": "pulled"}
    assert host.current("env_a") == old
    host.ok("unhold", "env_a")
    host.ok("pull", f"oci:{tmp_path}/release:2")
    assert host.current("env_a") == two_teams.current("env_a")


def test_the_history_says_who_has_switched(two_teams: Deployment) -> None:
    ci = {
        "GITHUB_SHA": "1b2c3d4e5f60718293a4b5c6d7e8f90123456789",
        "GITHUB_SERVER_URL": "https://robot:token@git.company.example",
        "GITHUB_REPOSITORY": "data/dags",
        "GITHUB_RUN_ID": "7",
        "SUDO_USER": "ana",
    }
    change(two_teams)
    two_teams.environment.update(ci)
    two_teams.ok("build")
    row = two_teams.ok("history", "env_a", "--json").json["result"][0]
    assert row["by"]["user"] == "ana"
    assert row["by"]["commit"] == ci["GITHUB_SHA"]
    assert row["by"]["job"] == "https://git.company.example/data/dags/actions/runs/7"
    assert "token" not in (two_teams.root / ".state/env_a.history").read_text()
    assert "commit 1b2c3d4e5f60" in two_teams.ok("history", "env_a").stdout


def test_what_can_not_be_held_is_refused(two_teams: Deployment) -> None:
    for words in (("hold", "env_x", WHY), ("unhold", "env_x"), ("hold", "env_a", "two\nlines")):
        assert two_teams.run(*words).exit_code == 2


def test_a_damaged_hold_holds_and_can_be_lifted(two_teams: Deployment) -> None:
    first = two_teams.current("env_a")
    Path(layout.hold_path(str(two_teams.root), "env_a")).write_text("{}")
    change(two_teams)
    result = two_teams.run("build")
    assert (result.exit_code, two_teams.current("env_a")) == (8, first)
    assert "envman unhold env_a" in result.stderr
    assert "is not a hold" in two_teams.run("doctor").stdout
    two_teams.ok("unhold", "env_a")
    two_teams.ok("build")
    assert two_teams.current("env_a") != first


def test_the_doctor_tells_of_a_hold_and_warns_of_an_old_one(two_teams: Deployment) -> None:
    two_teams.ok("hold", "env_a", WHY)

    def level() -> str:
        findings = two_teams.run("doctor", "--json").json["result"]["findings"]
        (found,) = (one for one in findings if WHY in one["what"])
        assert "envman unhold env_a" in found["remedy"]
        return str(found["level"])

    assert level() == "information"
    file = Path(layout.hold_path(str(two_teams.root), "env_a"))
    hold = json.loads(file.read_text())
    file.write_text(json.dumps(hold | {"at": hold["at"] - 8 * 86400}))
    assert level() == "warning"


def test_what_is_no_longer_declared_goes_with_its_hold(two_teams: Deployment) -> None:
    two_teams.ok("hold", "env_a", WHY)
    (two_teams.folder / "environments/env_a.toml").unlink()
    two_teams.write("envman.toml", 'root = "venv"\n')
    two_teams.ok("gc", "--undeclared")
    assert not Path(layout.hold_path(str(two_teams.root), "env_a")).exists()
