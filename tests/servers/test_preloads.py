"""What is worth preloading."""

from __future__ import annotations

from typing import Any

from envman.servers.preloads import Module, ranked, suggestion


def module(name: str, files: int, seconds: float | None, **more: Any) -> Module:
    fields: dict[str, Any] = {"preloaded": False, "memory": 1, "problem": "", **more}
    return Module(module=name, files=files, seconds=seconds, **fields)


def test_what_saves_most_stands_first() -> None:
    modules = [
        module("one", 1, 0.5),
        module("many", 9, 0.1),
        module("never", 50, 2.0, problem="starts a thread"),
    ]
    assert [one.module for one in ranked(modules)] == ["many", "one", "never"]
    assert ranked(modules)[2].saved == 0.0


def test_only_what_saves_each_file_something_is_suggested() -> None:
    modules = [module("light", 900, 0.019), module("heavy", 1, 0.02), module("broken", 3, None, problem="no")]
    assert suggestion(modules) == ("heavy",)
    assert suggestion([]) == ()


def test_what_another_suggestion_imports_is_left_out() -> None:
    modules = [
        module("numpy", 9, 0.1),
        module("pandas", 3, 0.5, brings=("numpy",)),
        module("refused", 5, 0.5, brings=("lonely",), problem="opens a connection"),
        module("lonely", 1, 0.1),
    ]
    assert suggestion(modules) == ("pandas", "lonely")


def test_of_two_that_import_each_other_the_better_one_stays() -> None:
    pair = [module("a", 1, 0.1, brings=("b",)), module("b", 5, 0.1, brings=("a",))]
    assert suggestion(pair) == ("b",)


def test_what_is_preloaded_stays_if_it_may_be() -> None:
    modules = [
        module("of_tasks", 0, 0.001, preloaded=True),
        module("refused", 4, 0.5, preloaded=True, problem="starts a thread"),
    ]
    assert suggestion(modules) == ("of_tasks",)
