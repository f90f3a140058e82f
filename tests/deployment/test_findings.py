"""Judging is pure: from facts to findings, no file and no Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from envman.deployment.facts import (
    CORE,
    SDK,
    Configured,
    Confined,
    Database,
    EnvironmentFacts,
    Exposed,
    Facts,
    KeptBack,
    Probed,
    TeamTriggers,
    Unshared,
)
from envman.deployment.finding import Finding, Level
from envman.deployment.findings import CHECKS, judge
from envman.errors import Problem
from envman.resolver.snapshot import AirflowBundles
from envman.resolver.table import Table, render_table

PACKAGES = {CORE: "3.3.2", SDK: "1.3.2"}
CLASS = "module.Class"


def table(
    bundles: Mapping[str, tuple[str, str]] | None = None, more: list[tuple[str, str, str]] | None = None
) -> Table:
    given = bundles if bundles is not None else {"bundle_a": ("env_a", ""), "bundle_b": ("", "team_b")}
    environments = {"core": ((), {}), "env_a": ((), {}), "env_b": ((), {})}
    records = more if more is not None else [("components", "-", "core")]
    return Table(render_table(given, {"team_b": "env_b"}, environments, None, records))


def built(name: str, packages: Mapping[str, str] = PACKAGES) -> EnvironmentFacts:
    return EnvironmentFacts(name, "0123456789ab", True, packages, "CPython 3.12.1, /usr/bin/python3")


def airflow(teams: Mapping[str, str | None], **more: object) -> Configured:
    return Configured(AirflowBundles("airflow.cfg", teams), dict.fromkeys(teams, (CLASS,)), **more)  # type: ignore[arg-type]


SOUND = Facts(
    root="/venv",
    table=table(),
    airflow=airflow({"bundle_a": None, "bundle_b": None}),
    environments=(built("core"), built("env_a"), built("env_b")),
    probes={name: Probed(name, PACKAGES, {CLASS: ""}) for name in ("env_a", "env_b")},
    components=Probed("core", PACKAGES, {CLASS: ""}),
    airflow_version="3.3.2",
    database=Database((("bundle_a", "default"),), 1, (TeamTriggers("", 3, 0),)),
)


def only(facts: Facts, level: Level = Level.ERROR) -> Finding:
    (finding,) = judge(facts)
    assert finding.level is level
    assert finding.where
    assert finding.what
    assert finding.remedy
    assert finding.check in CHECKS
    return finding


def test_a_sound_deployment_has_no_findings() -> None:
    assert judge(SOUND) == ()
    assert judge(replace(SOUND, database=None)) == ()


def test_a_published_table_that_is_behind_is_an_error() -> None:
    finding = only(replace(SOUND, changes=("bundle bundle_a", "default")))
    assert "bundle bundle_a, default" in finding.what
    assert "envman publish" in finding.remedy


def test_a_bundle_without_an_environment_is_an_error() -> None:
    teams = {"bundle_a": None, "bundle_b": None, "lost": None}
    finding = only(replace(SOUND, airflow=airflow(teams)))
    assert (finding.check, finding.where) == ("bundles", "bundle 'lost'")


def test_a_bundle_that_airflow_does_not_have_is_a_warning() -> None:
    finding = only(replace(SOUND, airflow=airflow({"bundle_b": None})), Level.WARNING)
    assert finding.where == "bundle 'bundle_a'"


@pytest.mark.parametrize(
    ("team", "multi_team", "level", "where"),
    [
        ("team_b", True, None, ""),
        ("team_b", False, Level.ERROR, "bundle 'bundle_b'"),
        (None, True, Level.WARNING, "bundle 'bundle_b'"),
        (None, False, None, ""),
    ],
)
def test_teams_of_airflow_and_of_envman(
    team: str | None, multi_team: bool, level: Level | None, where: str
) -> None:
    facts = replace(SOUND, airflow=airflow({"bundle_a": None, "bundle_b": team}, multi_team=multi_team))
    assert [(item.level, item.where) for item in judge(facts)] == ([(level, where)] if level else [])


def test_a_bundle_with_an_environment_of_its_own_still_has_one_team() -> None:
    facts = replace(
        SOUND,
        table=table({"bundle_a": ("env_a", "team_b"), "bundle_b": ("", "team_b")}),
        airflow=airflow({"bundle_a": "other", "bundle_b": "team_b"}, multi_team=True),
    )
    found = judge(facts)
    assert [(item.level, item.where) for item in found] == [
        (Level.ERROR, "bundle 'bundle_a'"),
        (Level.WARNING, "team 'other'"),
    ]


def test_a_team_without_a_bundle_is_a_warning() -> None:
    facts = replace(SOUND, table=table({"bundle_a": ("env_a", ""), "bundle_b": ("env_b", "")}))
    assert only(facts, Level.WARNING).where == "team 'team_b'"


def with_environment(changed: EnvironmentFacts) -> Facts:
    kept = [item for item in SOUND.environments if item.name != changed.name]
    return replace(SOUND, environments=(*kept, changed))


@pytest.mark.parametrize(
    ("changed", "level", "said"),
    [
        (EnvironmentFacts("env_a", None), Level.ERROR, "not built"),
        (EnvironmentFacts("env_a", "0123456789ab"), Level.ERROR, "not whole"),
        (replace(built("env_a"), altered="2 files more"), Level.ERROR, "2 files more"),
        (replace(built("env_a"), base="gone"), Level.ERROR, "is gone"),
        (replace(built("env_a"), base="changed"), Level.WARNING, "was changed"),
        (replace(built("env_a"), behind=True), Level.WARNING, "another lock"),
        (
            replace(built("env_a"), lock=Problem("env_a.lock", "stale", "Run: envman lock")),
            Level.ERROR,
            "stale",
        ),
        (EnvironmentFacts("unused", None), Level.WARNING, "not built"),
    ],
)
def test_what_is_wrong_with_an_environment(changed: EnvironmentFacts, level: Level, said: str) -> None:
    finding = only(with_environment(changed), level)
    assert said in finding.what
    assert finding.check == "environments"


def test_an_environment_that_is_an_image_need_not_be_built() -> None:
    records = [("components", "-", "core"), ("image", "env_a", "registry.example/a:1")]
    facts = replace(with_environment(EnvironmentFacts("env_a", None)), table=table(more=records))
    assert judge(facts) == ()


def test_airflow_of_another_version_is_an_error_that_names_all_places() -> None:
    finding = only(with_environment(built("env_a", {CORE: "3.3.1", SDK: "1.3.2"})))
    assert (finding.check, finding.where) == ("versions", CORE)
    assert "3.3.1 in env_a" in finding.what
    assert "the components (core)" in finding.what
    assert "airflow-version of envman.toml" in finding.what


def test_components_of_another_version_are_an_error() -> None:
    other = Probed("/opt/python", {CORE: "3.3.2", SDK: "1.3.1"}, {CLASS: ""})
    assert only(replace(SOUND, components=other)).where == SDK


def test_an_environment_without_airflow_is_an_error_only_if_it_runs_bundles() -> None:
    assert "runs bundles" in only(with_environment(built("env_a", {}))).what
    assert judge(replace(SOUND, environments=(*SOUND.environments, built("tools", {})))) == ()


@pytest.mark.parametrize(
    ("version", "remedy"), [("3.3.2", "'airflow = false'"), (None, "Set airflow-version")]
)
def test_what_brings_airflow_in_depends_on_whether_its_version_is_known(
    version: str | None, remedy: str
) -> None:
    lacking = (built("core"), built("env_a", {}), built("env_b"))
    found = judge(replace(SOUND, environments=lacking, airflow_version=version))
    assert [remedy in one.remedy for one in found if one.where == "environment 'env_a'"] == [True]


def test_components_without_airflow_are_one_error() -> None:
    finding = only(replace(SOUND, components=Probed("/usr/bin/python3", {}, {CLASS: "ModuleNotFoundError"})))
    assert "no Airflow in /usr/bin/python3" in finding.what


@pytest.mark.parametrize("place", ["environment 'env_b'", "components"])
def test_a_class_that_does_not_import_is_an_error_where_it_is_missing(place: str) -> None:
    broken = {CLASS: "ModuleNotFoundError: No module named 'module'"}
    if place == "components":
        facts = replace(SOUND, components=Probed("core", PACKAGES, broken))
    else:
        facts = replace(SOUND, probes={**SOUND.probes, "env_b": Probed("env_b", PACKAGES, broken)})
    found = judge(facts)
    assert {item.where for item in found} == {place}
    assert all("No module named 'module'" in item.what and CLASS in item.what for item in found)


def test_an_importer_that_does_not_import_is_an_error_of_its_bundle_alone() -> None:
    classes = {"bundle_a": (CLASS,), "bundle_b": (CLASS, "team.Importer")}
    why = {CLASS: "", "team.Importer": "ModuleNotFoundError: No module named 'team'"}
    facts = replace(SOUND, airflow=replace(SOUND.airflow, classes=classes))
    facts = replace(facts, probes={name: Probed(name, PACKAGES, why) for name in SOUND.probes})
    finding = only(facts)
    assert (finding.level, finding.where) == (Level.ERROR, "environment 'env_b'")
    assert finding.what.startswith("team.Importer, which bundle 'bundle_b' needs, can't be imported: ")


def test_what_cannot_be_preloaded_is_an_error() -> None:
    probed = Probed("env_b", PACKAGES, preload={"numpy": "", "client": "starts a thread, which no fork has"})
    finding = only(replace(SOUND, probes={**SOUND.probes, "env_b": probed}))
    assert (finding.level, finding.check, finding.where) == (Level.ERROR, "preload", "environment 'env_b'")
    assert finding.what.startswith("client, which is to be preloaded, starts a thread")


@pytest.mark.parametrize("place", ["environment 'env_b'", "components"])
def test_a_plugin_that_can_not_be_imported_is_a_warning_where_it_is_missing(place: str) -> None:
    broken = {"/plugins/views.py": "No module named 'flask'"}
    probed = Probed("x", PACKAGES, {CLASS: ""}, plugins=broken)
    if place == "components":
        facts = replace(SOUND, components=probed)
    else:
        facts = replace(SOUND, probes={**SOUND.probes, "env_b": probed})
    finding = only(facts, Level.WARNING)
    assert (finding.check, finding.where) == ("plugins", place)
    assert "/plugins/views.py can't be imported: No module named 'flask'" in finding.what


def test_what_a_dag_may_hold_and_its_readers_lack_is_a_warning() -> None:
    probed = Probed("env_b", PACKAGES, {CLASS: ""}, registered=("team.Weekly", "shared.Daily"), pods=True)
    readers = Probed("core", PACKAGES, {CLASS: ""}, registered=("shared.Daily",))
    facts = replace(SOUND, probes={**SOUND.probes, "env_b": probed}, components=readers)
    found = judge(facts)
    assert {(one.level, one.check, one.where) for one in found} == {
        (Level.WARNING, "readable", "environment 'env_b'")
    }
    assert ["team.Weekly" in found[0].what, "pod_override" in found[1].what] == [True, True]
    assert found[0].remedy.endswith("to the components' environment, too: core")
    same = replace(readers, registered=probed.registered, pods=True)
    assert list(judge(replace(facts, components=same))) == []


def test_a_variable_that_files_name_and_workloads_do_not_get_is_a_warning() -> None:
    facts = replace(SOUND, kept_back=(KeptBack("bundle_a", "env_a", "WAREHOUSE", "daily.py"),))
    finding = only(facts, Level.WARNING)
    assert (finding.check, finding.where) == ("variables", "bundle 'bundle_a'")
    assert "daily.py names the variable WAREHOUSE" in finding.what
    assert "environments/env_a.toml: [variables] pass" in finding.remedy


def test_variables_that_reach_no_workload_are_information() -> None:
    facts = replace(SOUND, not_handed_on=("AIRFLOW__SENTRY__SENTRY_DSN", "https_proxy"))
    finding = only(facts, Level.INFORMATION)
    assert (finding.check, finding.where) == ("variables", "components")
    assert finding.what.endswith("reach no workload: AIRFLOW__SENTRY__SENTRY_DSN, https_proxy")
    assert "[variables] pass" in finding.remedy


def test_what_only_pythonpath_finds_is_a_warning() -> None:
    finding = only(replace(SOUND, has_pythonpath=True), Level.WARNING)
    assert (finding.check, finding.where) == ("variables", "components")
    assert "PYTHONPATH is set, and no environment gets it" in finding.what


def test_an_interpreter_that_does_not_answer_is_an_error() -> None:
    silent = Probed("env_b", problem=Problem("environment 'env_b'", "gave no answer", "Look."))
    assert only(replace(SOUND, probes={**SOUND.probes, "env_b": silent})).check == "interpreters"


def test_components_that_nobody_knows_are_a_warning() -> None:
    assert only(replace(SOUND, components=None), Level.WARNING).where == "components"


def test_what_could_not_be_looked_at_is_an_error() -> None:
    assert only(replace(SOUND, problems=(Problem("--database", "can't be asked", "Pass --airflow."),)))


@pytest.mark.parametrize(
    ("everybody", "sticky", "level"),
    [(True, False, Level.ERROR), (True, True, Level.WARNING), (False, False, Level.WARNING)],
)
def test_what_others_may_write(everybody: bool, sticky: bool, level: Level) -> None:
    finding = only(replace(SOUND, exposed=(Exposed("/venv", "777", everybody, sticky),)), level)
    assert finding.remedy == f"Run: chmod {'o-w,g-w' if everybody else 'g-w'} /venv"


def with_queues(*records: tuple[str, str, str]) -> Facts:
    return replace(SOUND, table=table(more=[("components", "-", "core"), *records]))


def test_a_queue_of_two_environments_is_a_warning() -> None:
    shared = with_queues(("bundle-queue", "bundle_a", "etl"), ("team-queue", "team_b", "etl"))
    finding = only(shared, Level.WARNING)
    assert finding.where == "queue 'etl'"
    assert "bundle_a in env_a, bundle_b in env_b" in finding.what


def test_a_queue_that_another_environments_tasks_use_is_a_warning() -> None:
    facts = with_queues(("bundle-queue", "bundle_a", "etl"))
    assert judge(facts) == ()
    used = replace(facts, database=Database((("bundle_a", "etl"), ("bundle_b", "etl")), 1, ()))
    assert only(used, Level.WARNING).where == "queue 'etl'"


def test_coordinators_that_name_envman_leave_other_queues_to_the_component() -> None:
    named = '{"envman": {"classpath": "envman.airflow.worker.BundleCoordinator"}}'
    teams = {"bundle_a": None, "bundle_b": None}
    facts = replace(SOUND, airflow=airflow(teams, coordinators=named, queue_map='{"etl": "envman"}'))
    assert "tasks use default" in only(facts, Level.WARNING).what
    assert "tasks use" not in only(replace(facts, database=None), Level.WARNING).what
    assert judge(replace(SOUND, airflow=airflow(teams, coordinators='{"other": {"classpath": "x.Y"}}'))) == ()


def test_triggers_that_nobody_takes_are_an_error_for_each_team() -> None:
    triggers = (TeamTriggers("", 2, 0), TeamTriggers("team_b", 3, 2))
    finding = only(replace(SOUND, database=Database((), 1, triggers)))
    assert "2 of 3 triggers of the team 'team_b'" in finding.what
    assert "--team team_b" in finding.remedy


def test_no_triggerer_is_a_warning_until_triggers_wait() -> None:
    assert only(replace(SOUND, database=Database((), 0, ())), Level.WARNING).check == "triggerer"
    waiting = Database((), 0, (TeamTriggers("", 1, 1),))
    assert only(replace(SOUND, database=waiting)).check == "triggerer"


def test_errors_come_first_and_nothing_is_told_twice() -> None:
    facts = replace(
        SOUND,
        components=None,
        changes=("default",),
        problems=(Problem("a", "b", "c"), Problem("a", "b", "c")),
    )
    assert [item.level for item in judge(facts)] == [Level.ERROR, Level.ERROR, Level.WARNING]


def confined(**more: object) -> Facts:
    limits = {"memory": 1.5 * 2**30, "cpu": 1.5, "pids": 200.0}
    held = dict.fromkeys(limits, "cgroup v2")
    made = Confined("env_a", ("team_a", "etl"), limits, held)
    return replace(SOUND, confined=(replace(made, **more),))  # type: ignore[arg-type]


def test_what_holds_the_limits_of_an_environment_is_information() -> None:
    (finding,) = judge(confined())
    assert (finding.level, finding.check, finding.remedy) == (Level.INFORMATION, "confinement", "")
    assert finding.where == "environment 'env_a'"
    assert finding.what.endswith(
        "its user is team_a:etl, memory 1.5 GiB by cgroup v2, cpu 1.5 by cgroup v2, pids 200 by cgroup v2"
    )
    (alone,) = judge(confined(user=("team_a", ""), limits={"memory": 64 * 2**20}, mechanisms={}))
    assert alone.what.endswith("its user is team_a")
    small = confined(user=None, limits={"memory": 1000}, mechanisms={"memory": "cgroup v1"})
    assert judge(small)[0].what.endswith("memory 1000 by cgroup v1")
    assert judge(confined(user=None, limits={}, mechanisms={})) == ()


@pytest.mark.parametrize(
    ("limit", "mechanism", "said"),
    [
        ("cpu", "none", "nothing here holds its limit of cpu: no cgroup"),
        ("memory", "rlimit", "each process on its own"),
        ("pids", "rlimit", "all processes of its user"),
    ],
)
def test_a_limit_that_no_cgroup_holds_is_a_warning(limit: str, mechanism: str, said: str) -> None:
    facts = confined(user=None, mechanisms={limit: mechanism}, reasons={limit: "no cgroup"})
    finding = only(facts, Level.WARNING)
    assert said in finding.what
    assert "Delegate=yes" in finding.remedy


def test_a_user_that_cannot_be_taken_is_an_error() -> None:
    refused = "the user 'team_a' does not exist on this host; create it, or correct it; or not"
    first, second = judge(confined(refusal=refused))
    assert (first.level, first.check) == (Level.ERROR, "confinement")
    assert first.what == "the user 'team_a' does not exist on this host"
    assert first.remedy == "Create it, or correct it; or not."
    assert "user" not in second.what


def test_errors_come_before_warnings_and_those_before_information() -> None:
    levels = [item.level for item in judge(replace(confined(refusal="a; b"), components=None))]
    assert levels == [Level.ERROR, Level.WARNING, Level.INFORMATION]


def test_a_shared_folder_that_is_not_there_or_is_hidden_is_told() -> None:
    gone, hidden = (
        Unshared("bundle_a", "../common", "/dags/common"),
        Unshared("bundle_a", "../six", "/six", "/s/six.py"),
    )
    finding = only(replace(SOUND, unshared=(gone,)), Level.ERROR)
    assert (finding.check, finding.what) == ("shared", "there is no folder /dags/common")
    finding = only(replace(SOUND, unshared=(hidden,)), Level.WARNING)
    assert "'import six' gives what is installed in its environment: /s/six.py" in finding.what
