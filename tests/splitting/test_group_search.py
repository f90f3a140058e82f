from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from itertools import combinations
from pathlib import Path

import pytest

from envman.errors import SpecError, UsageError
from envman.splitting.group_members import (
    AskedLine,
    inputs_of,
    python_range,
    read_members,
    rule_each_other_out,
)
from envman.splitting.group_search import (
    MOST_EXACT,
    MOST_QUESTIONS,
    FitAnswers,
    Question,
    group,
    smallest_conflict,
)


class World:
    """Members and sets of them that conflict, by Python; asked for each set of members at most once."""

    def __init__(self, seed: int, count: int, pythons: tuple[str, ...]) -> None:
        chance = random.Random(seed)
        self.pythons = pythons
        self.conflicts = {
            python: [
                frozenset(chance.sample(range(count), min(count, chance.choice((1, 2, 2, 2, 3)))))
                for _ in range(chance.randint(0, 8))
            ]
            for python in pythons
        }
        self.asked: list[Question] = []

    def fits(self, members: Collection[int], python: str) -> bool:
        return not any(one <= frozenset(members) for one in self.conflicts[python])

    def somewhere(self, members: Collection[int]) -> bool:
        return any(self.fits(members, python) for python in self.pythons)

    def answer(self, answers: FitAnswers, questions: Collection[Question]) -> None:
        for members, python in questions:
            self.asked.append((members, python))
            answers.note(members, python, self.fits(members, python))


def partitions(members: list[int]) -> Iterator[list[list[int]]]:
    if not members:
        yield []
        return
    for rest in partitions(members[1:]):
        yield [[members[0]], *rest]
        for index in range(len(rest)):
            yield [*rest[:index], [members[0], *rest[index]], *rest[index + 1 :]]


@pytest.mark.parametrize("seed", range(60))
def test_no_grouping_has_fewer_groups(seed: int) -> None:
    count = 1 + seed % 6
    world = World(seed, count, ("3.11", "3.12")[: 1 + seed % 2])
    found = group(count, world.pythons, FitAnswers(world.answer))
    fitting = [one for one in range(count) if world.somewhere([one])]
    assert [one for one in range(count) if one not in fitting] == list(found.misfits)
    assert sorted(one for members, _ in found.groups for one in members) == fitting
    for members, pythons in found.groups:
        assert pythons == tuple(one for one in world.pythons if world.fits(members, one)) != ()
    fewest = min(len(parts) for parts in partitions(fitting) if all(world.somewhere(part) for part in parts))
    assert found.is_fewest
    assert len(found.groups) == found.least == fewest
    assert len(world.asked) == len(set(world.asked))


def test_many_members_are_grouped_greedily_and_what_is_shown_is_no_more_than_known() -> None:
    count = MOST_EXACT + 3
    world = World(0, count, ("3.12",))
    world.conflicts["3.12"] = [frozenset([one, one + 1]) for one in range(count - 1)]
    world.conflicts["3.12"] += [frozenset([0, 2, 4])]
    found = group(count, world.pythons, FitAnswers(world.answer))
    assert all(world.somewhere(members) for members, _ in found.groups)
    assert found.least == 2
    assert found.is_fewest == (len(found.groups) == 2)


def test_the_search_ends_where_it_would_ask_for_too_much() -> None:
    world = World(0, MOST_EXACT, ("3.12",))
    world.conflicts["3.12"] = [frozenset(some) for some in combinations(range(MOST_EXACT), 6)]
    found = group(MOST_EXACT, world.pythons, FitAnswers(world.answer))
    assert (len(found.groups), found.least, found.is_fewest) == (3, 2, False)
    assert MOST_QUESTIONS < len(world.asked) < MOST_QUESTIONS + 100


def test_members_that_all_fit_are_asked_for_once() -> None:
    world = World(0, 9, ("3.12",))
    world.conflicts["3.12"] = []
    assert group(9, world.pythons, FitAnswers(world.answer)).groups == ((frozenset(range(9)), ("3.12",)),)
    assert len(world.asked) == 1


@pytest.mark.parametrize("conflict", ["ab", "bdf", "g", "abcdefg"])
def test_each_item_of_the_smallest_conflict_is_needed(conflict: str) -> None:
    items = list("abcdefg")
    found = smallest_conflict(items, lambda some: set(conflict) <= set(some))
    assert sorted(found) == list(conflict)


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / name.replace("__", "/")).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name.replace('__', '/')}").write_text(text, encoding="utf-8")


def test_files_are_read_with_all_that_they_include(tmp_path: Path) -> None:
    files = {
        "a.txt": "-r more/b.txt\n-c c.txt\nX_y==1 \\\n  --hash=sha256:abc  # why\nz ; python_version < '3.12'\n",
        "more/b.txt": "included>=2\n",
        "c.txt": "held<3\n",
        "pyproject.toml": '[project]\nname = "p"\nrequires-python = ">=3.11"\ndependencies = ["of-project"]\n',
        "script.py": '# /// script\n# requires-python = "<3.13"\n# dependencies = ["of-script"]\n# ///\nprint()\n',
    }
    write(tmp_path, **{name.replace("/", "__"): text for name, text in files.items()})
    read = read_members([tmp_path / name for name in ("a.txt", "pyproject.toml", "script.py")], tmp_path)
    assert [[line.words() for line in member.lines] for member in read] == [
        ["included>=2", "X_y==1", 'z; python_version < "3.12"', "constraint held<3"],
        ["of-project", "requires-python >=3.11"],
        ["of-script", "requires-python <3.13"],
    ]


HOSTILE = {
    "editable.txt": "-e .\n",
    "index.txt": "--index-url https://user:SECRET@index.example/simple\n",
    "above.txt": "-r ../../../etc/passwd\n",
    "itself.txt": "-r itself.txt\n",
    "long.txt": "a" * 5000,
    "deep.txt": f"x ; {'(' * 200}\n",
    "url.txt": "x @ https://user:SECRET@index.example/x.whl\n",
    "none.py": "print()\n",
    "two.py": "# /// script\n# ///\n# /// script\n# ///\n",
    "wrong.py": "# /// script\n# dependencies = [1, '-e .']\n# requires-python = 'x'\n# ///\n",
    "dynamic.toml": "[project]\nname = 'x'\ndynamic = ['dependencies']\n",
}


def test_everything_that_is_wrong_is_told_at_once_and_no_secret(tmp_path: Path) -> None:
    write(tmp_path, **HOSTILE)
    with pytest.raises(SpecError) as caught:
        read_members([*(tmp_path / name for name in HOSTILE), tmp_path / "absent.txt"], None)
    said = str(caught.value)
    named = {problem.where.partition(":")[0] for problem in caught.value.problems}
    assert {*HOSTILE, "absent.txt"} - {"above.txt"} <= named
    assert "../../etc/passwd" in said
    assert "SECRET" not in said


def asked(*texts: str) -> list[AskedLine]:
    return [AskedLine("requirement", text) for text in texts]


@pytest.mark.parametrize(
    ("texts", "out"),
    [
        (("a==1", "a==2"), True),
        (("A_b==1.0", "a-b>=2"), True),
        (("a==1", "a==1.0"), False),
        (("a==1", "a>=1"), False),
        (("a==1", "a==2; python_version < '3'"), False),
        (("a==1.*", "a==2.*"), False),
        (("a==1", "a==1+cpu"), False),
        (("a==2.0b1", "a>=2.0a1"), False),
        (("a==1", "b==2"), False),
    ],
)
def test_only_what_no_index_can_solve_is_not_asked_for(texts: tuple[str, ...], out: bool) -> None:
    assert rule_each_other_out(asked(*texts)) is out


def test_pythons_are_all_of_a_minor_version_or_from_a_patch_on() -> None:
    assert python_range("3.12") == "==3.12.*"
    assert python_range("3.11.5") == ">=3.11.5,<3.12"
    for wrong in ("x", "3", "3.12.*", ">=3.12", "3.99999"):
        with pytest.raises(UsageError):
            python_range(wrong)
    lines = [*asked("a"), AskedLine("requires-python", ">=3.12")]
    assert inputs_of(lines, "3.11", ("linux-x86_64",), None) is None
    inputs = inputs_of(lines, "3.12", ("linux-x86_64",), "3.3.2")
    assert inputs is not None
    assert (inputs.requires_python, inputs.airflow_version) == ("==3.12.*,>=3.12", "3.3.2")
