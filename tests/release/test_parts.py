"""Which files of a generation go together."""

from __future__ import annotations

from envman.release.parts import in_parts, source_of

SITE = "lib/python3.12/site-packages"


def test_a_distribution_goes_with_its_bytecode_and_without_what_names_the_generation() -> None:
    paths = [
        "bin/python",
        "bin/tool",
        "pyvenv.cfg",
        f"{SITE}/_virtualenv.py",
        f"{SITE}/grid/__init__.py",
        f"{SITE}/grid/__pycache__/__init__.cpython-312.pyc",
        f"{SITE}/grid-1.dist-info/RECORD",
        f"{SITE}/tool/__init__.py",
        f"{SITE}/tool-1.dist-info/RECORD",
        "share/man/tool.1",
    ]
    recorded = {
        "grid-1": [f"{SITE}/grid/__init__.py", f"{SITE}/grid-1.dist-info/RECORD", f"{SITE}/gone.py"],
        "tool-1": [
            "bin/tool",
            f"{SITE}/tool/__init__.py",
            "share/man/tool.1",
            f"{SITE}/tool-1.dist-info/RECORD",
        ],
    }
    assert in_parts(paths, recorded, {"bin/python", "bin/tool"}) == (
        (
            f"{SITE}/grid-1.dist-info/RECORD",
            f"{SITE}/grid/__init__.py",
            f"{SITE}/grid/__pycache__/__init__.cpython-312.pyc",
        ),
        (f"{SITE}/tool/__init__.py", "share/man/tool.1"),
        (
            "bin/python",
            "bin/tool",
            f"{SITE}/_virtualenv.py",
            f"{SITE}/tool-1.dist-info/RECORD",
            "pyvenv.cfg",
        ),
    )


def test_a_file_that_two_distributions_name_is_in_one_part() -> None:
    recorded = {"b-1": ["x.py", "b.py"], "a-1": ["x.py"]}
    assert in_parts(["x.py", "b.py"], recorded, set()) == (("x.py",), ("b.py",))


def test_the_source_of_bytecode() -> None:
    assert source_of("a/__pycache__/b.cpython-312.pyc") == "a/b.py"
    assert source_of("a/__pycache__/b.cpython-312.opt-1.pyc") == "a/b.py"
    assert source_of("__pycache__/b.cpython-312.pyc") == "b.py"
    assert source_of("a/b.pyc") == source_of("a/b.py") == ""
