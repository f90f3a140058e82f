"""The shared triggerer's parts: who owns which trigger, the runners' life, and one look for each round.

Airflow and its database are stand-ins, and so are the runners' processes.
"""

from __future__ import annotations

import datetime
import importlib
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from envman.airflow.bundle_interpreter import look
from envman.airflow.bundle_version import BundleVersion
from envman.resolver.snapshot import Snapshot
from tests.airflow.client_side import FRESH, LIBRARIES, forget
from tests.airflow.published import Published, opened
from tests.stand_in import MODULES, write_modules

TRIGGER = """
class Trigger:
    max_trigger_to_select_per_loop = 10
    failed = {}
    cleaned = []
    @classmethod
    def submit_failure(cls, trigger_id, exc, *, triggerer_id=None):
        assert triggerer_id == 7
        cls.failed[trigger_id] = exc[0]
    @classmethod
    def clean_unused(cls, *, session):
        cls.cleaned.append(session)
"""
RETRIES = """
import contextlib
def run_with_db_retries(): return [contextlib.nullcontext()]
"""
SESSION = """
import contextlib
def create_session(): return contextlib.nullcontext("a session")
"""
RUNNER = """
class stats:
    gauges = {}
    @classmethod
    def gauge(cls, name, value, tags): cls.gauges[name] = value
    @classmethod
    def incr(cls, *_, tags): pass
class messages:
    class TriggerStateChanges: pass
class TriggerRunnerSupervisor:
    health_check_threshold = 30
"""
STAND_INS = {
    "airflow.jobs.triggerer_job_runner": RUNNER,
    "airflow.jobs.job": "def perform_heartbeat(job, **_): job.beats += 1\n",
    "airflow.models.trigger": TRIGGER,
    "airflow.utils.retries": RETRIES,
    "airflow.utils.session": SESSION,
    "airflow.models.crypto": "def get_fernet(): pass\n",
    "sqlalchemy.exc": "class OperationalError(Exception): pass\n",
    "cryptography.fernet": "class InvalidToken(Exception): pass\n",
}
PARTS = tuple(
    f"envman.airflow.{name}" for name in ("trigger_runner", "trigger_owners", "runner_pool", "triggerer")
)
A, B = BundleVersion("bundle_a"), BundleVersion("bundle_b")
LONG_AGO = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


class Rows(ModuleType):
    """In the place of `trigger_rows`: the database's answers."""

    class Scope:
        def __init__(self, queues: set[str] | None, team: str | None) -> None:
            self.queues, self.team = queues, team

    def __init__(self) -> None:
        super().__init__("envman.airflow.trigger_rows")
        self.bundles: dict[int, str] = {}
        self.mine: dict[int, datetime.datetime] = {}
        self.classes: dict[int, str] = {}
        self.waits: list[int] = []

    def waiting(self, *_: object) -> list[int]:
        return self.waits

    def assigned(self, *_: object) -> dict[int, datetime.datetime]:
        return dict(self.mine)

    def assign(self, _job: int, chosen: list[int], _alive: float) -> None:
        self.mine.update(dict.fromkeys(chosen, LONG_AGO))
        self.waits = [one for one in self.waits if one not in chosen]

    def bundles_of(self, triggers: list[int]) -> dict[int, BundleVersion]:
        return {one: BundleVersion(*self.bundles[one].split("@")) for one in triggers if one in self.bundles}

    def classpaths_of(self, triggers: list[int]) -> dict[int, str]:
        return {one: self.classes.get(one, "airflow.Trigger") for one in triggers}


class Runner:
    """In the place of a runner's process."""

    started: ClassVar[list[Runner]] = []

    def __init__(self, bundle: BundleVersion, snapshot: Snapshot) -> None:
        self.bundle = bundle
        self.environment = snapshot.resolve(bundle.name).environment
        self.generation = snapshot.generation(self.environment)
        self.runtime = self
        self.refusal = ""
        self.kept: set[int] = set()
        self.creating: set[int] = set()
        self.running_triggers: set[int] = set()
        self.signals: list[signal.Signals] = []
        self.code: int | None = None
        self.blocked = self.closed = False
        self.breach = ""
        self.prompt_since = 0.0
        self.idle_since = float("inf")
        self.start_time = 0.0
        self.pid = 1
        self.settled = 0
        self._process_exit_monotonic = 0.0

    @classmethod
    def start(cls, *, bundle: BundleVersion, snapshot: Snapshot, **_: object) -> Runner:
        cls.started.append(cls(bundle, snapshot))
        return cls.started[-1]

    health_check_threshold = 30

    def keep_to(self, triggers: set[int]) -> None:
        self.kept = self.running_triggers = set(triggers)

    def known(self) -> set[int]:
        return self.running_triggers

    def exit_code(self) -> int | None:
        return self.code

    def ended(self) -> bool:
        return self.code is not None

    def stuck(self, prompt_since: float) -> bool:
        self.prompt_since = prompt_since
        return self.blocked

    def signal(self, number: signal.Signals) -> None:
        self.signals.append(number)
        self.code = -number

    def settle(self) -> None:
        self.settled += 1

    def close(self) -> None:
        self.closed = True


class Job:
    id = 7
    hostname = "host"
    beats = 0


class Triggerer:
    """The parts, over stand-ins, and what they bring about."""

    def __init__(self, rows: Rows, published: Published) -> None:
        self.rows = rows
        self.published = published
        self.owners: Any = importlib.import_module("envman.airflow.trigger_owners").TriggerOwners(7)
        self.module: Any = importlib.import_module("envman.airflow.triggerer")
        self.pool: Any = importlib.import_module("envman.airflow.runner_pool").RunnerPool(Job(), 10)
        self.failed: dict[int, str] = importlib.import_module("airflow.models.trigger").Trigger.failed

    def mine(self, **bundles: str) -> dict[int, datetime.datetime]:
        """Triggers of bundles are assigned: t1="bundle_a"."""
        self.rows.bundles = {int(name[1:]): bundle for name, bundle in bundles.items()}
        self.rows.mine = dict.fromkeys(self.rows.bundles, LONG_AGO)
        return self.rows.mine


@pytest.fixture
def triggerer(published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Triggerer]:
    modules = tmp_path / "modules"
    write_modules(modules, {**MODULES, **LIBRARIES, **STAND_INS})
    monkeypatch.syspath_prepend(modules)
    forget((*FRESH, *PARTS))
    rows = Rows()
    monkeypatch.setitem(sys.modules, rows.__name__, rows)
    monkeypatch.setattr(importlib.import_module("envman.airflow"), "trigger_rows", rows, raising=False)
    for name in ("runner_pool", "triggerer"):
        monkeypatch.setattr(importlib.import_module(f"envman.airflow.{name}"), "BundleRunner", Runner)
    monkeypatch.setattr("time.sleep", lambda _: None)  # a round's second, without a runner to wait for
    monkeypatch.setattr(Runner, "started", [])
    for name in ("a", "b"):
        published.build(f"env_{name}", f"{name}-first")
    published.publish(
        {"bundle_a": ("env_a", ""), "lost": ("", "")}, {"team_b": "env_b"}, {"env_a": {}, "env_b": {}}
    )
    published.configure({"bundle_a": None, "bundle_b": "team_b", "lost": None})
    yield Triggerer(rows, published)
    forget((*FRESH, *PARTS, "cryptography", "cryptography.fernet", "sqlalchemy", "sqlalchemy.exc"))


# who owns which triggers


def test_each_trigger_belongs_to_its_bundle(triggerer: Triggerer) -> None:
    triggerer.owners.update(look(), triggerer.mine(t1="bundle_a", t2="bundle_b", t3="bundle_a"))
    assert triggerer.owners.by_bundle() == {A: {1, 3}, B: {2}}
    assert triggerer.owners.held([1, 2, 9], {"bundle_a": "env_a", "bundle_b": "env_b"}) == Counter(
        env_a=1, env_b=1
    )
    triggerer.owners.update(look(), triggerer.mine(t2="bundle_b"))
    assert triggerer.owners.by_bundle() == {B: {2}}
    assert triggerer.failed == {}


def test_a_trigger_without_an_environment_fails_with_the_reason_once(triggerer: Triggerer) -> None:
    assigned = triggerer.mine(t1="lost", t2="nobody")
    triggerer.owners.update(look(), assigned)
    assert triggerer.owners.by_bundle() == {}
    assert "has no environment of its own" in triggerer.failed[1]
    assert "no such bundle" in triggerer.failed.pop(2)
    triggerer.owners.update(look(), assigned)
    assert 2 not in triggerer.failed


def test_a_trigger_that_is_too_young_is_not_failed_yet(triggerer: Triggerer) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    triggerer.rows.bundles = {1: "lost"}
    triggerer.owners.update(look(), {1: now})
    assert triggerer.failed == {}
    triggerer.owners.update(look(), {1: LONG_AGO})
    assert [*triggerer.failed] == [1]


def test_a_number_that_was_given_to_another_trigger_has_another_owner(triggerer: Triggerer) -> None:
    triggerer.owners.update(look(), triggerer.mine(t1="bundle_a"))
    triggerer.rows.bundles = {1: "bundle_b"}
    triggerer.owners.update(look(), {1: LONG_AGO + datetime.timedelta(seconds=1)})
    assert triggerer.owners.by_bundle() == {B: {1}}


def test_a_class_that_is_not_allowed_fails_its_trigger(triggerer: Triggerer) -> None:
    triggerer.published.publish(
        {"bundle_a": ("env_a", "")}, {}, {"env_a": {}}, [("trigger", "airflow.*", "-")]
    )
    triggerer.rows.classes = {2: "of_a_team.Trigger"}
    triggerer.owners.update(look(), triggerer.mine(t1="bundle_a", t2="bundle_a"))
    assert triggerer.owners.by_bundle() == {A: {1}}
    assert "of_a_team.Trigger is not allowed in this deployment: airflow.*" in triggerer.failed[2]


def test_what_no_runner_can_run_is_refused_together(triggerer: Triggerer) -> None:
    triggerer.owners.update(look(), triggerer.mine(t1="bundle_a", t2="bundle_b", t3="bundle_a"))
    triggerer.owners.refuse({1, 3, 9}, "the reason")
    assert triggerer.failed == {1: "the reason", 3: "the reason"}
    assert triggerer.owners.by_bundle() == {B: {2}}


# the runners' life


def test_a_runner_starts_with_its_bundles_first_trigger(triggerer: Triggerer) -> None:
    triggerer.pool.share(look(), {A: {1}, B: set()})
    triggerer.pool.share(look(), {A: {1, 2}})
    assert [(one.environment, one.kept) for one in Runner.started] == [("env_a", {1, 2})]
    assert triggerer.pool.running() == 2
    triggerer.pool.share(look(), {})
    assert Runner.started[0].kept == set()


def test_new_triggers_go_to_the_current_generation_and_an_older_one_keeps_what_it_has(
    triggerer: Triggerer,
) -> None:
    triggerer.pool.share(look(), {A: {1}})
    triggerer.published.build("env_a", "a-second")
    triggerer.pool.share(look(), {A: {1, 2}})
    old, new = Runner.started
    assert (old.generation, old.kept, new.generation, new.kept) == ("a-first", {1}, "a-second", {2})
    triggerer.pool.share(look(), {A: {2}})
    triggerer.pool.tend(None)
    assert old.signals == []  # without a look nobody knows that it is outdated
    triggerer.pool.tend(look())
    assert (old.signals, new.signals) == ([signal.SIGTERM], [])


def test_each_version_of_a_bundle_has_a_runner_of_its_own(triggerer: Triggerer) -> None:
    triggerer.owners.update(look(), triggerer.mine(t1="bundle_a@1", t2="bundle_a@2", t3="bundle_a"))
    triggerer.pool.share(look(), triggerer.owners.by_bundle())
    started = sorted((one.bundle.version, *one.kept) for one in Runner.started)
    assert started == [("", 3), ("1", 1), ("2", 2)]


def test_new_triggers_of_a_bundle_that_moves_go_to_its_new_environment(triggerer: Triggerer) -> None:
    triggerer.pool.share(look(), {A: {1}})
    triggerer.published.publish({"bundle_a": ("env_b", "")}, {}, {"env_a": {}, "env_b": {}})
    triggerer.pool.share(look(), {A: {1, 2}})
    assert [(one.environment, one.kept) for one in Runner.started] == [("env_a", {1}), ("env_b", {2})]
    triggerer.pool.share(look(), {A: {2}})
    triggerer.pool.tend(look())
    assert [one.signals for one in Runner.started] == [[signal.SIGTERM], []]


def test_new_triggers_of_a_bundle_that_another_team_gets_have_that_teams_variables(
    triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR__TEAM_A___KEY", "a secret")
    given = {"env_a": {}, "env_b": {}}
    for team in ("team_a", "team_b"):
        triggerer.published.publish({"bundle_a": ("env_a", team)}, {"team_b": "env_b"}, given)
        triggerer.pool.share(look(), {A: {1, 2} if Runner.started else {1}})
    assert [one.kept for one in Runner.started] == [{1}, {2}]


def test_the_runners_of_one_bundle_do_not_wait_for_those_of_another(triggerer: Triggerer) -> None:
    triggerer.pool.share(look(), {A: {1}})
    Runner.started[0].code = 1
    triggerer.pool.tend(look())
    triggerer.pool.share(look(), {A: {1}, B: {2}})
    assert [one.bundle for one in Runner.started] == [A, B]


def test_a_runner_that_does_not_answer_is_killed_and_started_again_after_a_pause(
    triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = importlib.import_module("envman.airflow.runner_pool")
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    triggerer.pool.share(look(), {A: {1}})
    Runner.started[0].blocked = True
    triggerer.pool.tend(look())
    assert Runner.started[0].signals == [signal.SIGKILL]
    assert triggerer.pool.tend(look()) == []
    triggerer.pool.share(look(), {A: {1}})
    assert len(Runner.started) == 1
    assert Runner.started[0].closed
    now[0] += 1.0
    triggerer.pool.share(look(), {A: {1}})
    assert len(Runner.started) == 2


def test_a_round_that_took_long_is_not_held_against_runners(
    triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they have sent meanwhile was not read: they may have answered long ago."""
    module: Any = importlib.import_module("envman.airflow.runner_pool")
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    pool = module.RunnerPool(Job(), 10)
    pool.share(look(), {A: {1}})
    seen = []
    for seconds in (1.0, module.SLOW_ROUND, 10.0, 1.0):
        now[0] += seconds
        pool.tend(look())
        seen.append(Runner.started[0].prompt_since)
    assert seen == [1000.0, 1000.0, 1014.0, 1014.0]


def test_a_runner_that_ends_before_it_has_any_trigger_is_no_triggers_fault(triggerer: Triggerer) -> None:
    for _ in range(10):
        triggerer.pool._not_before.clear()
        triggerer.pool.share(look(), {A: {1}})
        Runner.started[-1].running_triggers, Runner.started[-1].code = set(), 1
        assert triggerer.pool.tend(look()) == []
    assert len(Runner.started) == 10


def test_triggers_that_no_runner_can_run_are_told_with_the_reason(triggerer: Triggerer) -> None:
    triggerer.pool.share(look(), {A: {1}})
    Runner.started[0].refusal, Runner.started[0].code = "has no Airflow", 1
    assert triggerer.pool.tend(look()) == [({1}, "has no Airflow")]
    assert triggerer.pool.tend(look()) == []


def test_an_idle_runner_ends(triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = importlib.import_module("envman.airflow.runner_pool")
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    triggerer.pool.share(look(), {A: {1}})
    triggerer.pool.tend(look())
    triggerer.pool.share(look(), {})
    now[0] += module.IDLE_LIMIT
    triggerer.pool.tend(look())
    assert Runner.started[0].signals == []
    now[0] += 1.0
    triggerer.pool.tend(look())
    assert Runner.started[0].signals == [signal.SIGTERM]


def test_there_is_a_runner_for_each_bundle_only_while_it_has_triggers(
    triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a bundle that never has one none starts, and an hour without one costs nothing."""
    module: Any = importlib.import_module("envman.airflow.runner_pool")
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    wanted: list[dict[BundleVersion, set[int]]] = [{}, {A: {1}}, {A: {1}, B: {2}}, {A: {1}}, {A: {1}}, {}, {}]
    there = []
    for round_ in wanted:
        triggerer.pool.share(look(), round_)
        triggerer.pool.tend(look())
        there.append([one.bundle for one in Runner.started if one.code is None])
        now[0] += module.IDLE_LIMIT + 1.0
    assert there == [[], [A], [A, B], [A], [A], [], []]
    triggerer.pool.share(look(), {A: {3}})
    assert [one.bundle for one in Runner.started if one.code is None] == [A]
    assert len(Runner.started) == 3


def test_all_runners_are_ended_and_their_results_written(triggerer: Triggerer) -> None:
    triggerer.pool.share(look(), {A: {1}, B: {2}})
    triggerer.pool.kill(signal.SIGINT, 5.0, force=True)
    assert [one.signals for one in Runner.started] == [[signal.SIGINT]] * 2
    assert all(one.closed and one.settled for one in Runner.started)


# the loop


def test_a_round_takes_one_look_and_hands_it_on(triggerer: Triggerer) -> None:
    triggerer.rows.bundles = {1: "bundle_a", 2: "bundle_b", 3: "lost"}
    triggerer.rows.waits = [1, 2, 3]
    job = Job()
    runners = triggerer.module.BundleRunners.start(job=job, capacity=10)
    with opened() as names:
        runners.run_once()
    assert Counter(names)["table"] == Counter(names)["airflow.cfg"] == 1
    assert sorted((one.environment, *one.kept) for one in Runner.started) == [("env_a", 1), ("env_b", 2)]
    assert [*triggerer.failed] == [3]
    assert job.beats == 1
    assert importlib.import_module("airflow.models.trigger").Trigger.cleaned == ["a session"]
    runners.kill(signal.SIGTERM)
    assert all(one.closed for one in Runner.started)


def test_a_keyword_of_the_job_that_nobody_knows_is_an_error(triggerer: Triggerer) -> None:
    with pytest.raises(TypeError, match="from_a_newer_airflow"):
        triggerer.module.BundleRunners.start(job=Job(), capacity=10, from_a_newer_airflow=1)


def test_on_an_older_airflow_a_failure_is_of_whoever_has_the_trigger(
    triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = importlib.import_module("airflow.models.trigger").Trigger
    failed = {}
    monkeypatch.setattr(trigger, "submit_failure", lambda trigger_id, exc: failed.update({trigger_id: exc}))
    triggerer.owners.update(look(), triggerer.mine(t1="lost"))
    assert [*failed] == [1]


def test_what_runs_goes_on_while_somebody_edits_the_configuration(triggerer: Triggerer) -> None:
    triggerer.rows.bundles = {1: "bundle_a", 2: "bundle_b"}
    triggerer.rows.waits = [1]
    runners = triggerer.module.BundleRunners.start(job=Job(), capacity=10)
    runners.run_once()
    triggerer.rows.waits = [2]
    configuration = triggerer.published.airflow_home / "airflow.cfg"
    text = configuration.read_text()
    configuration.write_text("[dag_processor]\ndag_bundle_config_list = [\n")
    runners.run_once()
    assert [(one.environment, one.kept) for one in Runner.started] == [("env_a", {1})]
    assert Runner.started[0].settled == 2
    assert triggerer.failed == {}
    configuration.write_text(text)
    runners.run_once()
    assert [one.environment for one in Runner.started] == ["env_a", "env_b"]


def test_a_table_that_is_gone_for_a_moment_ends_no_runner(triggerer: Triggerer) -> None:
    triggerer.rows.bundles = {1: "bundle_a"}
    triggerer.rows.waits = [1]
    runners = triggerer.module.BundleRunners.start(job=Job(), capacity=10)
    runners.run_once()
    (triggerer.published.root / ".state/table").rename(triggerer.published.root / ".state/elsewhere")
    runners.run_once()
    assert (Runner.started[0].signals, Runner.started[0].kept) == ([], {1})
