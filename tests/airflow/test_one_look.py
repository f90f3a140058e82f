"""One look at the world for each workload and each start: nothing is read twice, and nothing is mixed."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from envman.airflow.bundle_interpreter import (
    BundleInterpreter,
    acquire_for_bundle,
    look,
    of_bundle,
)
from envman.airflow.start import bundles_at_home, check_bundles, has_local_settings
from envman.errors import ResolveError, SpecError, StoreError
from envman.launch.own_component import DEFAULT_QUEUE
from tests.airflow.published import Published, Record, on_open, opened
from tests.stand_in import descriptors_of

TEAMS_VARIABLE = "AIRFLOW__{}___OPERATORS__DEFAULT_OWNER"


def records(environment: str, word: str, number: int) -> list[Record]:
    return [
        ("limits", environment, f"pids={number}"),
        ("pass", environment, f"PASSED_{word.upper()}"),
        ("preload", environment, word),
        ("warm", environment, "false"),
    ]


class World:
    """Two states of one deployment, `old` and `new`, in which everything that a workload gets is different."""

    def __init__(self, published: Published) -> None:
        self.published = published

    def publish(self, word: str) -> None:
        """Publish a state: its team and environment, and other settings for those of the other one, too."""
        number = {"old": 100, "new": 200}[word]
        for environment in ("env_old", "env_new"):
            self.published.build(environment, f"{word}-{environment}")
        self.published.publish(
            {"bundle": ("", f"team_{word}")},
            {f"team_{word}": f"env_{word}"},
            {"env_old": {"STATE": word}, "env_new": {"STATE": word}},
            [
                *records("env_old", word, number),
                *records("env_new", word, number),
                ("team-queue", f"team_{word}", f"queue_{word}"),
            ],
        )


def told(interpreter: BundleInterpreter) -> dict[str, object]:
    """All that was decided for a workload."""
    runtime = interpreter.runtime
    variables = runtime.variables
    return {
        "environment": runtime.environment,
        "generation": runtime.generation,
        "limits": runtime.limits,
        "preload": runtime.preload,
        "warm": runtime.warm,
        "state": variables["STATE"],
        "queue": variables[DEFAULT_QUEUE],
        "passed": [name for name in variables if name.startswith("PASSED_")],
        "teams": [team for team in ("OLD", "NEW") if TEAMS_VARIABLE.format(f"TEAM_{team}") in variables],
    }


def all_of(word: str) -> dict[str, object]:
    return {
        "environment": f"env_{word}",
        "generation": f"{word}-env_{word}",
        "limits": {"pids": {"old": 100, "new": 200}[word]},
        "preload": (word,),
        "warm": False,
        "state": word,
        "queue": f"queue_{word}",
        "passed": [f"PASSED_{word.upper()}"],
        "teams": [word.upper()],
    }


@pytest.fixture
def world(published: Published, monkeypatch: pytest.MonkeyPatch) -> World:
    for word in ("OLD", "NEW"):
        monkeypatch.setenv(TEAMS_VARIABLE.format(f"TEAM_{word}"), "set")
        monkeypatch.setenv(f"PASSED_{word}", "set")
    made = World(published)
    published.configure({"bundle": None})
    made.publish("old")
    return made


def test_a_workload_reads_the_table_and_airflows_configuration_once(world: World) -> None:
    with opened() as names:
        of_bundle("bundle").close()
    counts = Counter(names)
    assert (counts["table"], counts["airflow.cfg"]) == (1, 1)


def test_a_workload_whose_bundle_has_an_environment_does_not_read_airflows_configuration(
    published: Published,
) -> None:
    published.build("env_a", "first")
    published.publish({"bundle": ("env_a", "")}, {}, {"env_a": {}})
    with opened() as names:
        of_bundle("bundle").close()
    counts = Counter(names)
    assert (counts["table"], counts["airflow.cfg"]) == (1, 0)


@pytest.mark.parametrize("moment", ["table", "airflow.cfg", "envman.json"])
def test_what_is_published_between_two_reads_is_not_mixed_in(world: World, moment: str) -> None:
    """As the file is about to be opened, somebody publishes a state in which everything is different."""
    moments: list[str] = []

    def publish_once(path: str) -> None:
        if Path(path).name == moment and not moments:
            moments.append(path)
            world.publish("new")

    with on_open(publish_once):
        interpreter = of_bundle("bundle")
    interpreter.close()
    assert len(moments) == 1
    assert told(interpreter) == all_of("new")


def test_a_look_that_is_handed_on_stays_what_it_was(world: World) -> None:
    snapshot = look()
    assert snapshot.resolve("bundle").environment == "env_old"
    assert snapshot.generation("env_old") == "old-env_old"
    world.publish("new")
    world.published.configure({"bundle": "another"})
    assert not snapshot.is_current()
    with opened() as names:
        interpreter = acquire_for_bundle(snapshot, "bundle")
    interpreter.close()
    assert told(interpreter) == all_of("old")
    assert not {"table", "airflow.cfg"} & {*names}


def test_a_generation_that_was_collected_since_the_look_is_replaced_by_the_current_one(world: World) -> None:
    snapshot = look()
    snapshot.generation("env_old")
    world.published.build("env_old", "newer")
    (world.published.root / ".gen/old-env_old/envman.json").unlink()
    with_newer = acquire_for_bundle(snapshot, "bundle")
    with_newer.close()
    assert with_newer.runtime.generation == "newer"
    assert with_newer.runtime.python.startswith(f"{world.published.root}/.gen/newer/")


def test_a_table_that_is_published_all_the_time_is_told(world: World) -> None:
    states = ["new", "old"] * 200

    def publish_always(path: str) -> None:
        if path.endswith("/envman.json"):
            world.publish(states.pop())

    before = descriptors_of(os.getpid())
    with on_open(publish_always), pytest.raises(ResolveError, match="published 100 times"):
        of_bundle("bundle")
    assert descriptors_of(os.getpid()) == before


@pytest.mark.parametrize("airflow", [None, "3.3.1"])
def test_whatever_is_refused_is_not_held(published: Published, airflow: str | None) -> None:
    published.build("env_a", "first", airflow=airflow)
    published.publish({"bundle": ("env_a", ""), "lost": ("gone", "")}, {}, {"env_a": {}})
    before = descriptors_of(os.getpid())
    with pytest.raises(ResolveError, match="Airflow"):
        of_bundle("bundle")
    with pytest.raises(ResolveError, match="environment 'gone'"):
        of_bundle("lost")
    (published.root / ".gen/first/envman.json").write_text("{")
    with pytest.raises((StoreError, ResolveError)):
        of_bundle("bundle")
    assert descriptors_of(os.getpid()) == before


def test_a_manifest_that_can_not_be_read_is_damage(published: Published) -> None:
    published.build("env_a", "first")
    (published.root / ".gen/first/envman.json").write_text('{"interpreter": []}')
    published.publish({"bundle": ("env_a", "")}, {}, {"env_a": {}})
    with pytest.raises(StoreError, match=r"first/envman\.json: the manifest can't be read"):
        of_bundle("bundle")


def test_a_user_who_is_not_there_is_refused_before_anything_is_held(published: Published) -> None:
    published.build("env_a", "first")
    published.publish({"bundle": ("env_a", "")}, {}, {"env_a": {}}, [("user", "env_a", "no-such-user:")])
    before = descriptors_of(os.getpid())
    with pytest.raises(ResolveError, match="user: the user 'no-such-user' does not exist"):
        of_bundle("bundle")
    assert descriptors_of(os.getpid()) == before


def test_a_bundles_interpreter_gets_the_variables_of_its_team_and_of_no_other(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    for team in ("A", "B", "C"):
        monkeypatch.setenv(TEAMS_VARIABLE.format(f"TEAM_{team}"), "set")
    published.build("env_a", "first")
    bundles = {"one": ("env_a", "team_a"), "two": ("", "team_b"), "other": ("env_c", "team_c")}
    published.publish(bundles, {"team_b": "env_a"}, {"env_a": {}, "env_c": {}})
    for bundle, own in (("one", "A"), ("two", "B")):
        with opened() as names:
            interpreter = acquire_for_bundle(look(), bundle)
        interpreter.close()
        variables = interpreter.runtime.variables
        assert [team for team in "ABC" if TEAMS_VARIABLE.format(f"TEAM_{team}") in variables] == [own]
        assert Counter(names)["table"] == 1


# the start of a component


def estate(published: Published, bundles: int, environments: int) -> None:
    names = [f"env_{number}" for number in range(environments)]
    for number, name in enumerate(names):
        published.build(name, f"generation-{number}")
    teams = {f"team_{number}": name for number, name in enumerate(names)}
    published.publish({}, teams, {name: {} for name in names})
    published.configure({f"bundle_{one:04}": f"team_{one % environments}" for one in range(bundles)})


def test_a_start_reads_as_much_for_a_thousand_bundles_as_for_ten(published: Published) -> None:
    reads = {}
    for count in (10, 1000):
        estate(published, count, 5)
        with opened() as names:
            rows = check_bundles(look(), [], with_images=False)
        assert len(rows) == count
        reads[count] = Counter(names)
    assert reads[10]["table"] == reads[10]["airflow.cfg"] == 1
    assert reads[10]["table"] == reads[1000]["table"]
    assert reads[1000]["airflow.cfg"] == 1
    assert reads[1000]["envman.json"] <= reads[10]["envman.json"] <= 2 * 5


def test_a_start_says_what_runs_where(published: Published) -> None:
    estate(published, 3, 2)
    rows = [
        ("bundle_0000", "env_0", "CPython 3.12.1", "generation-0"),
        ("bundle_0001", "env_1", "CPython 3.12.1", "generation-1"),
        ("bundle_0002", "env_0", "CPython 3.12.1", "generation-0"),
    ]
    assert check_bundles(look(), [], with_images=False) == rows
    assert check_bundles(look(), ["bundle_0001"], with_images=False) == rows[1:2]
    assert bundles_at_home(look(), "env_0") == ["bundle_0000", "bundle_0002"]
    assert bundles_at_home(look(), "env_9") == []


def test_a_start_tells_all_that_is_wrong_each_thing_once(published: Published) -> None:
    published.build("env_a", "first", airflow="3.0.0")
    bundles = {"a": ("env_a", ""), "a_too": ("env_a", ""), "gone": ("env_gone", ""), "b": ("env_b", "")}
    published.publish(bundles, {}, {"env_a": {}, "env_b": {}})
    published.configure({"nobody": None, "a": None, "a_too": None, "b": None, "gone": None})
    with pytest.raises(ResolveError) as caught:
        check_bundles(look(), [], with_images=False)
    assert [problem.where for problem in caught.value.problems] == [
        "bundle 'nobody'",
        "environment 'env_a'",
        "environment 'env_b'",
        "environment 'env_gone'",
    ]


def test_a_scheduler_does_without_a_built_environment_that_has_an_image(published: Published) -> None:
    published.publish({"a": ("env_a", "")}, {}, {"env_a": {}}, [("image", "env_a", "registry/a")])
    published.configure({"a": None})
    assert check_bundles(look(), [], with_images=True) == [("a", "env_a", "registry/a", "image")]
    with pytest.raises(ResolveError, match="not built"):
        check_bundles(look(), [], with_images=False)


def test_an_airflow_configuration_that_can_not_be_read_stops_the_start(published: Published) -> None:
    published.publish({}, {}, {})
    Path(published.airflow_home, "airflow.cfg").write_text("[dag_processor]\ndag_bundle_config_list = {\n")
    with pytest.raises(SpecError, match="not valid JSON"):
        check_bundles(look(), [], with_images=False)


def test_local_settings_are_seen_without_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they set may decide which fork servers are needed, so none starts before."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.delenv("AIRFLOW_CONFIG", raising=False)
    assert not has_local_settings()
    (tmp_path / "config").mkdir()
    (tmp_path / "config/airflow_local_settings.py").write_text("raise SystemExit('imported')\n")
    assert has_local_settings()
