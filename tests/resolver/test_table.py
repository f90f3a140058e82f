from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.resolver.table import Table, TableFormatError, render_table, with_first_line
from tests.strategies import free_text, law

TEXT = with_first_line(
    "bundle\tbundle_a\tenv_a\t\n"
    "bundle\tbundle_b\t\tteam_b\n"
    "default\t-\tenv_a\n"
    "environment\tenv_a\t-AWS_*\t-HOME\t+LANG=C\t+TZ=UTC\n"
    "environment\tenv_b\t\n"
    "team\tteam_b\tenv_b\n"
)
TABLE = Table(TEXT)


def test_a_table_is_one_sorted_record_a_line() -> None:
    text = render_table(
        {"bundle_b": ("", "team_b"), "bundle_a": ("env_a", "")},
        {"team_b": "env_b"},
        {"env_b": ((), {}), "env_a": (["AWS_*", "HOME"], {"TZ": "UTC", "LANG": "C"})},
        "env_a",
    )
    assert text == TEXT


def test_what_is_in_the_table_is_found() -> None:
    assert TABLE.bundle("bundle_a") == ("env_a", "")
    assert TABLE.bundle("bundle_b") == ("", "team_b")
    assert TABLE.team("team_b") == "env_b"
    assert TABLE.default() == "env_a"
    assert TABLE.environment("env_a") == (["AWS_*", "HOME"], {"LANG": "C", "TZ": "UTC"})
    assert TABLE.environment("env_b") == ([], {})


def test_what_would_end_a_field_or_a_line_is_escaped() -> None:
    odd = "tab\t feed\n return\r back\\slash \\t"
    text = render_table({}, {odd: "env_a"}, {}, None)
    assert text == with_first_line("team\ttab\\t feed\\n return\\r back\\\\slash \\\\t\tenv_a\n")
    assert Table(text).names("team") == [odd]
    assert Table(text).team(odd) == "env_a"


@pytest.mark.parametrize(
    "name", ["", "bundle", "bundle_", "bundle_a\t", "undle_a", "bundle_a\tenv_a", "env_a", "-"]
)
def test_what_is_not_in_the_table_is_not_found(name: str) -> None:
    assert TABLE.bundle(name) is None
    assert TABLE.team(name) is None
    assert name == "env_a" or TABLE.environment(name) is None


def test_without_a_default_there_is_none() -> None:
    assert Table(render_table({}, {}, {}, None)).default() is None


def test_names_are_listed_by_kind() -> None:
    assert TABLE.names("bundle") == ["bundle_a", "bundle_b"]
    assert TABLE.names("environment") == ["env_a", "env_b"]
    assert TABLE.names("team") == ["team_b"]


RECORDS = TEXT.partition("\n")[2]
EDITED = {
    "nothing": "",
    "another format": with_first_line(RECORDS).replace("envman-table 2", "envman-table 1"),
    "another number": with_first_line(RECORDS).replace("envman-table 2", "envman-table 20"),
    "a line before it": "\n" + TEXT,
    "another file": "{}\n",
    "NUL": "\0",
    "the format alone": "envman-table 2\n",
    "the first line alone": TEXT.partition("\n")[0] + "\n",
    "cut within a line": TEXT[:-1],
    "cut at a line's end": TEXT.replace("team\tteam_b\tenv_b\n", ""),
    "a line at the end": TEXT + "bundle\taaa\tenv_a\t\n",
    "lines out of their order": TEXT.replace("bundle_a", "x")
    .replace("bundle_b", "bundle_a")
    .replace("x", "bundle_b"),
    "spaces for tabs": TEXT.replace("team\tteam_b\tenv_b", "team team_b env_b"),
    "a space behind a team": TEXT.replace("\tteam_b\n", "\tteam_b \n", 1),
    "lines that end as on Windows": TEXT.replace("\n", "\r\n"),
    "a record with too few fields": TEXT.replace("bundle\tbundle_a\tenv_a\t\n", "bundle\tbundle_a\tenv_a\n"),
}


@pytest.mark.parametrize("text", EDITED.values(), ids=EDITED)
def test_a_text_of_another_format_and_one_that_was_edited_or_cut_are_refused(text: str) -> None:
    with pytest.raises(TableFormatError):
        Table(text)


bundles = st.dictionaries(free_text, st.tuples(free_text, free_text), max_size=4)
some_text = free_text.filter(bool)
teams = st.dictionaries(free_text, some_text, max_size=4)
variables = st.dictionaries(
    free_text.map(lambda name: name.replace("=", "")).filter(bool), free_text, max_size=3
)
environments = st.dictionaries(free_text, st.tuples(st.lists(some_text, max_size=3), variables), max_size=3)


@law
@given(bundles, teams, environments, st.none() | free_text.filter(bool))
def test_everything_that_is_written_is_found_again_and_nothing_else(
    bundles: dict[str, tuple[str, str]],
    teams: dict[str, str],
    environments: dict[str, tuple[list[str], dict[str, str]]],
    default: str | None,
) -> None:
    text = render_table(bundles, teams, environments, default)
    table = Table(text)
    for name in {*bundles, *teams, *environments, "another name that is long"}:
        assert table.bundle(name) == bundles.get(name)
        assert table.team(name) == teams.get(name)
        assert table.environment(name) == environments.get(name)
    assert table.default() == default
    assert text.count("\n") == 1 + len(bundles) + len(teams) + len(environments) + (default is not None)


def test_the_other_kinds_of_records_are_sorted_in_and_found() -> None:
    more = [
        ("trigger", "b.*", "-"),
        ("trigger", "a.Trigger", "-"),
        ("components", "-", "core"),
        ("image", "env_a", "registry/image_a@sha256:0"),
        ("team-queue", "team_b", "of the team"),
        ("bundle-queue", "bundle_a", "etl"),
    ]
    text = render_table({"bundle_a": ("env_a", "")}, {"team_b": "env_b"}, {"env_a": ((), {})}, None, more)
    assert text == with_first_line(
        "bundle\tbundle_a\tenv_a\t\n"
        "bundle-queue\tbundle_a\tetl\n"
        "components\t-\tcore\n"
        "environment\tenv_a\t\n"
        "image\tenv_a\tregistry/image_a@sha256:0\n"
        "team\tteam_b\tenv_b\n"
        "team-queue\tteam_b\tof the team\n"
        "trigger\ta.Trigger\t-\n"
        "trigger\tb.*\t-\n"
    )
    table = Table(text)
    assert table.components() == "core"
    assert table.image("env_a") == "registry/image_a@sha256:0"
    assert table.names("trigger") == ["a.Trigger", "b.*"]
    assert (table.names("bundle"), table.names("team")) == (["bundle_a"], ["team_b"])
    assert table.names("image") == ["env_a"]


def test_a_bundles_own_queue_comes_before_its_teams() -> None:
    more = [("bundle-queue", "a", "own"), ("team-queue", "t", "teams")]
    table = Table(render_table({}, {}, {}, None, more))
    assert table.queue("a", "t") == "own"
    assert table.queue("a", "") == "own"
    assert table.queue("b", "t") == "teams"
    assert table.queue("b", "") is None
    assert table.queue("b", "a") is None
    assert table.queue("t", "") is None


def test_without_a_record_there_is_no_image_and_no_environment_for_components() -> None:
    assert TABLE.image("env_a") is None
    assert TABLE.components() is None
    assert TABLE.queue("bundle_a", "team_b") is None
    assert TABLE.names("trigger") == []


def test_how_an_environments_workloads_run_is_found() -> None:
    more = [
        ("warm", "env_a", "false"),
        ("user", "env_a", "team_a:team_a"),
        ("user", "env_b", "1001:"),
        ("limits", "env_a", "memory=2147483648 cpu=1.5 pids=200"),
        ("limits", "env_b", "cpu=2"),
        ("pass", "env_a", "MY_* OTHER"),
        ("preload", "env_a", "pandas numpy airflow.sdk"),
    ]
    text = render_table({}, {}, {"env_a": ((), {}), "env_b": ((), {})}, None, more)
    assert text == with_first_line(
        "environment\tenv_a\t\n"
        "environment\tenv_b\t\n"
        "limits\tenv_a\tmemory=2147483648 cpu=1.5 pids=200\n"
        "limits\tenv_b\tcpu=2\n"
        "pass\tenv_a\tMY_* OTHER\n"
        "preload\tenv_a\tpandas numpy airflow.sdk\n"
        "user\tenv_a\tteam_a:team_a\n"
        "user\tenv_b\t1001:\n"
        "warm\tenv_a\tfalse\n"
    )
    table = Table(text)
    assert (table.is_warm("env_a"), table.is_warm("env_b")) == (False, True)
    assert (table.user("env_a"), table.user("env_b")) == (("team_a", "team_a"), ("1001", ""))
    assert table.limits("env_a") == {"memory": 2147483648, "cpu": 1.5, "pids": 200}
    assert table.limits("env_b") == {"cpu": 2}
    assert (table.passed("env_a"), table.passed("env_b")) == (["MY_*", "OTHER"], [])
    assert (table.preload("env_a"), table.preload("env_b")) == (["pandas", "numpy", "airflow.sdk"], [])


@pytest.mark.parametrize("name", ["env_a", "env", "", "-", "bundle_a"])
def test_without_a_record_workloads_are_forked_as_the_components_user_without_limits(name: str) -> None:
    assert TABLE.is_warm(name)
    assert TABLE.user(name) is None
    assert TABLE.limits(name) == {}
    assert TABLE.passed(name) == TABLE.preload(name) == []


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" \0"), min_size=1, max_size=6)
accounts = st.from_regex(r"[a-z_][a-z0-9_-]{0,6}|[1-9][0-9]{0,4}", fullmatch=True)
limits = st.fixed_dictionaries(
    {},
    optional={
        "memory": st.integers(16 * 2**20, 2**63 - 1),
        "cpu": st.floats(0, 2**62, exclude_min=True),
        "pids": st.integers(4, 2**22),
    },
)
running = st.fixed_dictionaries(
    {
        "warm": st.booleans(),
        "preload": st.lists(words, max_size=3),
        "pass": st.lists(words, max_size=3),
        "user": st.none() | st.tuples(accounts, accounts | st.just("")),
        "limits": limits,
    }
)


@law
@given(st.dictionaries(free_text, running, max_size=3))
def test_how_workloads_run_is_found_again_as_it_was_written(declared: dict[str, dict[str, Any]]) -> None:
    more = []
    for name, settings in declared.items():
        more += [("warm", name, "false")] if not settings["warm"] else []
        more += [("user", name, ":".join(settings["user"]))] if settings["user"] else []
        more += [(kind, name, " ".join(settings[kind])) for kind in ("preload", "pass") if settings[kind]]
        pairs = [f"{key}={value}" for key, value in settings["limits"].items()]
        more += [("limits", name, " ".join(pairs))] if pairs else []
    table = Table(render_table({}, {}, {}, None, more))
    for name, settings in declared.items():
        assert table.is_warm(name) == settings["warm"]
        assert table.preload(name) == settings["preload"]
        assert table.passed(name) == settings["pass"]
        assert table.user(name) == settings["user"]
        assert table.limits(name) == settings["limits"]
    assert table.limits("another name that is long") == {}


records = st.dictionaries(free_text, free_text.filter(bool), max_size=4)


@law
@given(
    records,
    records,
    records,
    st.none() | free_text.filter(bool),
    st.lists(free_text, unique=True, max_size=4),
)
def test_records_of_every_kind_are_found_again_and_nothing_else(
    bundle_queues: dict[str, str],
    team_queues: dict[str, str],
    images: dict[str, str],
    components: str | None,
    triggers: list[str],
) -> None:
    more = [("bundle-queue", name, queue) for name, queue in bundle_queues.items()]
    more += [("team-queue", name, queue) for name, queue in team_queues.items()]
    more += [("image", name, image) for name, image in images.items()]
    more += [("components", "-", components)] if components else []
    more += [("trigger", pattern, "-") for pattern in triggers]
    text = render_table({}, {}, {}, None, more)
    table = Table(text)
    names = {*bundle_queues, *team_queues, *images, "another name that is long"}
    for bundle in names:
        assert table.image(bundle) == images.get(bundle)
        assert table.bundle(bundle) is table.team(bundle) is table.environment(bundle) is None
        for team in names:
            assert table.queue(bundle, team) == bundle_queues.get(bundle, team_queues.get(team))
    assert table.components() == components
    assert sorted(table.names("trigger")) == sorted(triggers)
    assert sorted(table.names("image")) == sorted(images)
    assert text.count("\n") == 1 + len(more)


separators = st.text("ab\\nrt\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", max_size=4)


@law
@given(
    st.dictionaries(
        separators | st.just("x\u2028team"), st.sampled_from(["env_a", "\x85bundle"]), max_size=3
    ),
    st.dictionaries(separators.filter(bool), separators | st.just("\u2028team"), max_size=3),
)
def test_the_names_of_a_kind_are_those_that_were_written(
    teams: dict[str, str], variables: dict[str, str]
) -> None:
    environments = {"env_a": (("AWS_*",), variables)}
    table = Table(render_table({}, teams, environments, "env_a"))
    assert sorted(table.names("team")) == sorted(teams)
    assert table.names("bundle") == []
    assert table.names("environment") == ["env_a"]


@pytest.mark.parametrize("separator", ["\v", "\f", "\x1c", "\x85", "\u2028"])
def test_a_value_that_holds_an_exotic_line_separator_brings_forth_no_names(separator: str) -> None:
    environments = {"env_a": ((), {"A": f"x{separator}bundle", "B": "y"})}
    assert Table(render_table({}, {}, environments, None)).names("bundle") == []


def test_bytes_are_read_as_text_is() -> None:
    assert Table(TEXT.encode()).bundle("bundle_a") == ("env_a", "")
    assert Table(TEXT.encode()).records() == Table(TEXT).records() == RECORDS.split("\n")[:-1]


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(TableFormatError):
        Table(TEXT.encode().replace(b"env_b", b"env_\xff"))


def test_a_name_that_no_text_can_hold_is_not_found() -> None:
    """As Python reads an argument of the command line that is not UTF-8."""
    assert TABLE.bundle("bundle_\udcff") is None


def test_kinds_that_begin_alike_are_told_apart() -> None:
    table = Table(render_table({}, {}, {}, None, [("team-queue", "t", "q"), ("bundle-queue", "b", "q")]))
    assert (table.has("team-queue"), table.has("team"), table.has("bundle"), table.has("zoo")) == (
        *(True, False, False, False),
    )
    assert table.values("team-queue") == ["q"]
    assert (table.names("team"), table.values("bundle")) == ([], [])


def test_a_look_up_reads_a_few_lines_however_many_there_are() -> None:
    """Counted in searches for a line's beginning, not in seconds."""

    class Counted(bytes):
        searches = 0

        def rfind(self, *arguments: Any) -> int:
            Counted.searches += 1
            return super().rfind(*arguments)

    counts = {}
    for size in (10, 10_000):
        bundles = {f"bundle_{number:05}": ("env_a", f"team_{number}") for number in range(size)}
        table = Table(Counted(render_table(bundles, {}, {"env_a": ((), {})}, None).encode()))
        Counted.searches = 0
        assert table.bundle(f"bundle_{size - 1:05}") == ("env_a", f"team_{size - 1}")
        assert table.bundle("bundle_99999") is None
        counts[size] = Counted.searches
    assert 0 < counts[10_000] <= 4 * counts[10]
    assert counts[10_000] <= 2 * 22


def test_a_bundles_shared_folders_are_told_one_by_one() -> None:
    table = Table(render_table({}, {}, {}, None, [("shared", "b", "../common", "../my libs/lib")]))
    assert table.shared("b") == ["../common", "../my libs/lib"]
    assert table.shared("a") == []


@pytest.mark.parametrize("fields", [[""], ["/etc/common"], [".."], ["a-b"], ["../x", "y/x"], ["../x", ""]])
def test_a_shared_folder_that_envman_would_not_write_is_refused(fields: list[str]) -> None:
    table = Table(render_table({}, {}, {}, None, [("shared", "b", *fields)]))
    with pytest.raises(TableFormatError, match="its record 'shared' of 'b'"):
        table.shared("b")
