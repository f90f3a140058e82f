"""The quick reading of `root` gives what a TOML parser gives, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.spec.parse import parse_toml
from envman.store.root import plain_root
from tests.strategies import law


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ('root = "venv"\n', "venv"),
        ('#:schema x\n\n# a comment\nroot = ".venvs"      # in an image: "/venv"\n[bundles]\n', ".venvs"),
        ('airflow-version = "3.3.2"\nroot="/venv"', "/venv"),
        ('root = "a" # it\'s\r\n', "a"),
    ],
)
def test_a_plain_beginning_is_read(text: str, root: str) -> None:
    assert plain_root(text) == root


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[defaults]\nroot = 'x'\n",
        "root = 'single'\n",
        'root = "a\\u0062"\n',
        'root = """x"""\n',
        'note = """\nroot = "wrong"\n"""\nroot = "right"\n',
        "note = '''\nroot = \"wrong\"\n'''\n",
        'root = "a" "b"\n',
        'x = [\nroot = "a"\n',
        'root = ""\n',
        'a.root = "x"\n',
        '"root" = "x"\n',
        "root = 3\n",
    ],
)
def test_everything_else_is_left_to_the_parser(text: str) -> None:
    assert plain_root(text) is None


pieces = st.sampled_from(
    [
        "root",
        "=",
        " ",
        '"',
        '"""',
        "'",
        "#",
        "\n",
        "a",
        "/venv",
        "\\",
        "[x]",
        "x = 1",
        'k = "v"',
        "\t",
        "-",
        ".",
    ]
)


@law
@given(st.lists(pieces, max_size=14).map("".join))
def test_it_never_differs_from_the_parser(text: str) -> None:
    quick = plain_root(text)
    data, problems = parse_toml(text, "envman.toml")
    if quick is not None and not problems:
        assert data["root"] == quick
