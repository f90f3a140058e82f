from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.resolver.credential import Credential
from envman.spec.merge import merge
from envman.spec.model import Content, EnvironmentSpec
from envman.spec.project import Environment, ResourceLimits
from tests.strategies import law

PYTHON = "==3.12.*"


def spec(extends: tuple[str, ...] = (), **keys: Any) -> EnvironmentSpec:
    data = {key.replace("_", "-"): value for key, value in keys.items()}
    return EnvironmentSpec.model_validate({"extends": extends, **data})


def content(**keys: Any) -> Content:
    return Content.model_validate({key.replace("_", "-"): value for key, value in keys.items()})


def merged(specs: Mapping[str, EnvironmentSpec], defaults: Content | None = None) -> dict[str, Environment]:
    environments, problems = merge(specs, defaults or content(requires_python=PYTHON))
    assert problems == []
    return environments


def refused(specs: Mapping[str, EnvironmentSpec], defaults: Content | None = None) -> dict[str, str]:
    """What is wrong, by place."""
    _, problems = merge(specs, defaults or content(requires_python=PYTHON))
    return {problem.where: problem.what for problem in problems}


def test_an_environment_knows_its_files() -> None:
    environment = merged({"env_a": spec()})["env_a"]
    assert (environment.name, environment.file) == ("env_a", "environments/env_a.toml")
    assert environment.lock_file == "environments/env_a.lock"


def test_what_nobody_states_has_its_default() -> None:
    environment = merged({"env_a": spec()})["env_a"]
    assert environment.platforms == ("linux-x86_64", "linux-aarch64")
    assert environment.airflow is True
    assert environment.dependencies == ()


def test_defaults_come_first_then_bases_then_the_environment_itself() -> None:
    specs = {
        "first": spec(abstract=True, dependencies=["b"]),
        "second": spec(abstract=True, dependencies=["c"]),
        "env_a": spec(("first", "second"), dependencies=["d"]),
    }
    defaults = content(requires_python=PYTHON, dependencies=["a"])
    assert merged(specs, defaults)["env_a"].dependencies == ("a", "b", "c", "d")


def test_of_single_values_the_last_one_stated_wins() -> None:
    specs = {
        "base": spec(requires_python="==3.11.*", platforms=["macos-arm64"], airflow=False),
        "env_a": spec(("base",), requires_python="==3.13.*"),
        "env_b": spec(("base",), platforms=["linux-x86_64"], airflow=True),
    }
    environments = merged(specs, content(requires_python=PYTHON, platforms=["windows-x86_64"], airflow=True))
    a, b = environments["env_a"], environments["env_b"]
    assert (a.requires_python, a.platforms, a.airflow) == ("==3.13.*", ("macos-arm64",), False)
    assert (b.requires_python, b.platforms, b.airflow) == ("==3.11.*", ("linux-x86_64",), True)


def test_how_workloads_run_has_defaults() -> None:
    environment = merged({"env_a": spec()})["env_a"]
    assert (environment.warm, environment.preload, environment.passed) == (True, (), ())
    assert environment.server_idle is None
    assert (environment.user, environment.group, environment.limits) == ("", "", ResourceLimits())


def test_of_how_workloads_run_the_last_layer_that_states_it_wins() -> None:
    specs = {
        "base": spec(abstract=True, warm=False, user="base", limits={"memory": "1G", "cpu": 2}),
        "env_a": spec(("base",), server_idle="2h", limits={"cpu": 0.5, "memory": "16384K"}),
        "env_b": spec(("base",), warm=True, user="1001", group="team_b", limits={"pids": 9}),
        "env_c": spec(),
    }
    defaults = content(
        requires_python=PYTHON,
        warm=True,
        server_idle="90s",
        user="all_teams",
        group="teams",
        limits={"pids": 100},
    )
    environments = merged(specs, defaults)
    a, b, c = (environments[name] for name in ("env_a", "env_b", "env_c"))
    assert (a.server_idle, b.server_idle, c.server_idle) == (7200, 90, 90)
    assert (a.warm, a.user, a.group) == (False, "base", "teams")
    assert (b.warm, b.user, b.group) == (True, "1001", "team_b")
    assert (c.warm, c.user, c.group) == (True, "all_teams", "teams")
    assert a.limits == ResourceLimits(memory=16 * 1024**2, cpu=0.5, pids=100)
    assert b.limits == ResourceLimits(memory=1024**3, cpu=2, pids=9)
    assert c.limits == ResourceLimits(pids=100)


def test_modules_to_preload_and_variables_to_pass_are_joined() -> None:
    specs = {
        "base": spec(abstract=True, preload=["b", "a"], variables={"pass": ["B_*", "A"]}),
        "env_a": spec(("base",), preload=["c", "b"], variables={"pass": ["C", "A"], "keep-out": ["B_1"]}),
    }
    defaults = content(requires_python=PYTHON, preload=["a"], variables={"pass": ["A"]})
    environment = merged(specs, defaults)["env_a"]
    assert environment.preload == ("a", "b", "c")
    assert (environment.passed, environment.keep_out) == (("A", "B_*", "C"), ("B_1",))


@pytest.mark.parametrize("user", ["env_a", "base", "defaults"])
def test_a_group_may_stand_in_another_layer_than_its_user(user: str) -> None:
    stated = {name: {"user": "team_a"} if name == user else {} for name in ("env_a", "base", "defaults")}
    specs = {"base": spec(group="team_a", **stated["base"]), "env_a": spec(("base",), **stated["env_a"])}
    environments, _ = merge(specs, content(requires_python=PYTHON, **stated["defaults"]))
    assert (environments["env_a"].user, environments["env_a"].group) == ("team_a", "team_a")


def test_a_group_without_a_user_is_told_once_where_it_is_stated() -> None:
    specs = {
        "base": spec(abstract=True, group="of_base"),
        "env_a": spec(("base",), group="own"),
        "env_b": spec(("base",)),
        "env_c": spec(),
        "env_d": spec(("base",), user="team_d"),
        "env_e": spec(),
    }
    found = refused(specs, content(requires_python=PYTHON, group="of_all"))
    assert found == {
        "environments/env_a.toml: group": "there is a group and no user for: env_a",
        "environments/base.toml: group": "there is a group and no user for: env_b",
        "envman.toml: defaults.group": "there is a group and no user for: env_c, env_e",
    }


def test_a_group_without_a_user_hides_no_other_error() -> None:
    specs = {"base": spec(group="teams"), "env_a": spec(("base",)), "env_b": spec(("gone",), group="b")}
    environments, problems = merge(specs, content())
    assert environments == {}
    assert [problem.where for problem in problems] == [
        "environments/env_b.toml: extends[0]",
        "environments/base.toml: requires-python",
        "environments/env_a.toml: requires-python",
        "environments/base.toml: group",
    ]
    environments, _ = merge({"env_a": spec(group="a")}, content(requires_python=PYTHON))
    assert list(environments) == ["env_a"]


def test_without_readable_defaults_no_user_is_missed_that_they_may_state() -> None:
    _, problems = merge({"env_a": spec(group="team_a", requires_python=PYTHON)}, None)
    assert problems == []


def test_variables_are_joined_by_name() -> None:
    specs = {
        "base": spec(variables={"set": {"A": "base", "B": "base"}, "keep-out": ["X"]}),
        "env_a": spec(("base",), variables={"set": {"B": "own"}, "keep-out": ["Y", "X"]}),
    }
    defaults = content(requires_python=PYTHON, variables={"set": {"A": "defaults", "C": "defaults"}})
    environment = merged(specs, defaults)["env_a"]
    assert environment.set_variables == {"A": "base", "B": "own", "C": "defaults"}
    assert environment.keep_out == ("X", "Y")


def test_checks_and_overrides_are_joined() -> None:
    specs = {
        "base": spec(checks={"imports": ["a"], "commands": [["x", "1"]]}, overrides=["numpy<2"]),
        "env_a": spec(
            ("base",), checks={"imports": ["b", "a"], "commands": [["x", "2"]]}, overrides=["attrs<20"]
        ),
    }
    environment = merged(specs)["env_a"]
    assert environment.check_imports == ("a", "b")
    assert environment.check_commands == (("x", "1"), ("x", "2"))
    assert environment.overrides == ("numpy<2", "attrs<20")


@pytest.mark.parametrize("key", ["requirements_files", "constraints"])
def test_a_path_counts_from_the_file_that_states_it(key: str) -> None:
    specs = {"env_a": spec(**{key: ["own.txt", "../up.txt", "./sub/../same.txt", "/absolute.txt"]})}
    environment = merged(specs, content(requires_python=PYTHON, **{key: ["from_defaults.txt"]}))["env_a"]
    assert getattr(environment, key) == (
        "from_defaults.txt",
        "environments/own.txt",
        "up.txt",
        "environments/same.txt",
        "/absolute.txt",
    )


def test_the_path_of_a_pyproject_counts_from_the_file_that_states_it() -> None:
    specs = {"env_a": spec(pyprojects=[{"path": "../team/pyproject.toml", "extras": ["x"]}])}
    (source,) = merged(specs)["env_a"].pyprojects
    assert (source.path, source.extras) == ("team/pyproject.toml", ("x",))


def test_a_url_stays_as_it_is() -> None:
    url = "https://index.example/a/../constraints.txt"
    assert merged({"env_a": spec(constraints=[url])})["env_a"].constraints == (url,)


def test_one_file_named_by_two_paths_is_one() -> None:
    specs = {"env_a": spec(requirements_files=["../r.txt", "./../r.txt"])}
    defaults = content(requires_python=PYTHON, requirements_files=["r.txt"])
    assert merged(specs, defaults)["env_a"].requirements_files == ("r.txt",)


def test_an_abstract_spec_is_a_base_and_no_environment() -> None:
    specs = {"base": spec(abstract=True, dependencies=["a"]), "env_a": spec(("base",))}
    environments = merged(specs)
    assert list(environments) == ["env_a"]
    assert environments["env_a"].dependencies == ("a",)


def test_a_base_that_is_reached_twice_counts_once() -> None:
    specs = {
        "root": spec(dependencies=["root"], requires_python="==3.10.*"),
        "left": spec(("root",), dependencies=["left"], requires_python="==3.11.*"),
        "right": spec(("root",), dependencies=["right"]),
        "env_a": spec(("left", "right"), dependencies=["own"]),
    }
    environment = merged(specs)["env_a"]
    assert environment.dependencies == ("root", "left", "right", "own")
    assert environment.requires_python == "==3.11.*"


def test_a_python_version_has_to_be_stated_somewhere() -> None:
    found = refused({"env_a": spec(), "base": spec(abstract=True)}, content())
    assert found == {"environments/env_a.toml: requires-python": "no Python version is declared"}


def test_an_unknown_base_is_a_problem_and_a_near_one_is_offered() -> None:
    environments, problems = merge({"env_a": spec(("bse",)), "base": spec(abstract=True)}, content())
    assert environments == {}
    (problem,) = problems
    assert problem.where == "environments/env_a.toml: extends[0]"
    assert "environments/bse.toml" in problem.what
    assert "'base'" in problem.remedy


def test_an_environment_above_an_unknown_base_is_left_out_without_a_problem_of_its_own() -> None:
    environments, problems = merge(
        {"env_a": spec(("base",)), "base": spec(("gone",), abstract=True)}, content(requires_python=PYTHON)
    )
    assert environments == {}
    assert [problem.where for problem in problems] == ["environments/base.toml: extends[0]"]


def test_a_spec_that_could_not_be_read_is_not_called_missing_but_nothing_is_built_on_it() -> None:
    specs = {"env_a": spec(("wrong",)), "env_b": spec(("env_a",)), "env_c": spec()}
    environments, problems = merge(specs, content(requires_python=PYTHON), unread={"wrong"})
    assert (list(environments), problems) == (["env_c"], [])


def test_without_readable_defaults_nothing_is_missed_that_they_may_state() -> None:
    environments, problems = merge({"env_a": spec(), "env_b": spec(requires_python=PYTHON)}, None)
    assert (list(environments), problems) == (["env_b"], [])


@pytest.mark.parametrize(
    ("extends", "cycle"),
    [
        ({"a": ("a",)}, "a -> a"),
        ({"a": ("b",), "b": ("a",)}, "a -> b -> a"),
        ({"a": ("b",), "b": ("c",), "c": ("a",)}, "a -> b -> c -> a"),
    ],
)
def test_a_cycle_is_refused_with_its_way_round(extends: dict[str, tuple[str, ...]], cycle: str) -> None:
    found = refused({name: spec(bases) for name, bases in extends.items()})
    assert found["environments/a.toml: extends[0]"] == f"a cycle: {cycle}"
    assert len(found) == len(extends)


def test_the_way_round_leaves_out_what_only_branches_off() -> None:
    found = refused({"base": spec(), "a": spec(("b",)), "b": spec(("base", "a"))})
    assert found["environments/a.toml: extends[0]"] == "a cycle: a -> b -> a"


def test_only_the_entry_that_closes_a_cycle_is_named() -> None:
    found = refused({"base": spec(), "a": spec(("base", "b")), "b": spec(("base", "a"))})
    assert list(found) == ["environments/a.toml: extends[1]", "environments/b.toml: extends[1]"]


NODES = [f"n{number}" for number in range(5)]
graphs = st.fixed_dictionaries(
    {node: st.lists(st.sampled_from(NODES), max_size=2, unique=True).map(tuple) for node in NODES}
)


def reachable(start: str, graph: Mapping[str, tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    open_ends = [*graph[start]]
    while open_ends:
        node = open_ends.pop()
        if node not in found:
            found.add(node)
            open_ends += graph[node]
    return found


@law
@given(graphs)
def test_exactly_the_environments_that_no_cycle_is_below_are_merged(
    graph: dict[str, tuple[str, ...]],
) -> None:
    environments, problems = merge(
        {node: spec(bases) for node, bases in graph.items()}, content(requires_python=PYTHON)
    )
    on_cycle = {node for node in NODES if node in reachable(node, graph)}
    assert set(environments) == {node for node in NODES if not ({node} | reachable(node, graph)) & on_cycle}
    assert {problem.where.partition(":")[0] for problem in problems} == {
        f"environments/{node}.toml" for node in on_cycle
    }


@law
@given(graphs)
def test_every_base_comes_once_and_before_what_extends_it(graph: dict[str, tuple[str, ...]]) -> None:
    environments, _ = merge(
        {node: spec(bases, dependencies=[node, node]) for node, bases in graph.items()},
        content(requires_python=PYTHON),
    )
    for name, environment in environments.items():
        order = environment.dependencies
        assert sorted(order) == sorted({name} | reachable(name, graph))
        assert all(order.index(base) < order.index(node) for node in order for base in graph[node])


@law
@given(st.lists(st.none() | st.sampled_from(["==3.11.*", "==3.12.*", ">=3.13"]), min_size=1, max_size=5))
def test_down_a_chain_the_last_stated_python_wins(stated: list[str | None]) -> None:
    specs = {
        f"n{index}": spec(
            (f"n{index - 1}",) if index else (), **({"requires_python": value} if value else {})
        )
        for index, value in enumerate(stated)
    }
    environments, problems = merge(specs, content(requires_python=PYTHON))
    assert problems == []
    expected = [value for value in [PYTHON, *stated] if value][-1]
    assert environments[f"n{len(stated) - 1}"].requires_python == expected


@law
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "warm": st.booleans(),
                "user": st.sampled_from(["a", "b"]),
                "group": st.sampled_from(["a", "b"]),
                "memory": st.integers(16, 64).map(lambda number: f"{number}M"),
                "cpu": st.integers(1, 8) | st.floats(0.01, 8),
                "pids": st.integers(4, 64),
            },
        ),
        min_size=1,
        max_size=4,
    )
)
def test_down_a_chain_the_last_stated_of_each_setting_wins(stated: list[dict[str, Any]]) -> None:
    specs = {}
    for index, layer in enumerate(stated):
        limits = {key: layer[key] for key in ("memory", "cpu", "pids") if key in layer}
        single = {key: layer[key] for key in ("warm", "user", "group") if key in layer}
        specs[f"n{index}"] = spec((f"n{index - 1}",) if index else (), limits=limits, **single)
    environments, problems = merge(specs, content(requires_python=PYTHON))
    environment = environments[f"n{len(stated) - 1}"]
    last = {key: value for layer in stated for key, value in layer.items()}
    assert environment.warm == last.get("warm", True)
    assert (environment.user, environment.group) == (last.get("user", ""), last.get("group", ""))
    memory = int(last["memory"][:-1]) * 1024**2 if "memory" in last else None
    assert environment.limits == ResourceLimits(memory, last.get("cpu"), last.get("pids"))
    assert bool(problems) == any(found.group and not found.user for found in environments.values())


lists = st.lists(st.sampled_from("abcdef"), max_size=4)


@law
@given(lists, lists, lists)
def test_lists_are_joined_in_order_without_repeats(
    first: list[str], second: list[str], own: list[str]
) -> None:
    specs = {"base": spec(abstract=True, dependencies=second), "env_a": spec(("base",), dependencies=own)}
    environment = merged(specs, content(requires_python=PYTHON, dependencies=first))["env_a"]
    assert environment.dependencies == tuple(dict.fromkeys(first + second + own))


def test_credentials_are_joined_by_name_and_the_last_one_stated_wins_as_a_whole() -> None:
    specs = {
        "base": spec(
            abstract=True,
            credentials={
                "token": {"file": "/base/token", "variable": "TOKEN"},
                "key": {"command": ["/bin/key", "a b"], "path-variable": "KEY"},
            },
        ),
        "env_a": spec(
            ("base",), credentials={"token": {"command": ["/bin/token"], "path-variable": "TOKEN_FILE"}}
        ),
        "env_b": spec(),
    }
    found = {name: environment.credentials for name, environment in merged(specs).items()}
    assert found == {
        "env_a": (
            Credential("key", "command", ("/bin/key", "a b"), "KEY", True),
            Credential("token", "command", ("/bin/token",), "TOKEN_FILE", True),
        ),
        "env_b": (),
    }


def test_a_variable_is_of_one_credential_and_no_setting() -> None:
    specs = {
        "base": spec(abstract=True, variables={"set": {"TZ": "UTC"}}),
        "env_a": spec(
            ("base",),
            credentials={
                "one": {"file": "/one", "variable": "ONE"},
                "other": {"file": "/other", "path-variable": "ONE"},
                "zone": {"file": "/zone", "variable": "TZ"},
            },
        ),
    }
    assert refused(specs) == {
        "environments/env_a.toml: credentials.other": "the variable ONE is that of credentials.one, too",
        "environments/env_a.toml: credentials.zone": "the variable TZ is that of variables.set, too",
    }
