"""Secrets of files with Connections and Variables are hidden in whatever is printed, in whatever pieces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from envman.inside.masked_output import Mask, hidden, of_connections, of_variables, read
from tests.strategies import law

SECRETS = {"hunter2-secret", "tok-123456789", "hunter2", "se\"cr\\et'", "-----KEY-----\nabcdefghijkl\nmnop"}
SAID = b"a hunter2-secret tok-123456789hunter2 t hunter2-secretx abcdefghijkl"


@law
@given(st.lists(st.integers(0, len(SAID)), max_size=12))
def test_a_secret_is_hidden_in_whatever_pieces_it_comes(cuts: list[int]) -> None:
    mask = Mask(SECRETS)
    places = [0, *sorted(cuts), len(SAID)]
    pieces = [SAID[start:end] for start, end in pairwise(places)]
    said = b"".join(mask.masked(piece) for piece in pieces) + mask.masked(b"", last=True)
    assert said == b"a *** ****** t ***x ***"


def test_it_is_hidden_as_other_languages_write_it() -> None:
    mask = Mask({"pa/ss w\"or'd"})
    written = ["pa/ss w\"or'd", json.dumps("pa/ss w\"or'd"), "pa%2Fss%20w%22or%27d", repr("pa/ss w\"or'd")]
    said = mask.masked("|".join(written).encode(), last=True)
    assert said.count(b"***") == 4
    assert b"ss" not in said


def test_it_is_hidden_in_what_is_not_printed() -> None:
    assert hidden("can't connect: hunter2-secret \udc80", SECRETS) == "can't connect: *** \udc80"


def test_what_is_secret_is_told_by_names(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(
        json.dumps(
            {
                "uri": "postgres://me:p%40ss@db.example/main?sslpassword=in-query&region=eu",
                "json": '{"conn_type": "aws", "password": "pw-of-json", "extra": {"session_token": "extra-1"}}',
                "object": {
                    "login": "me",
                    "password": "pw-of-object",
                    "extra": '{"api_key": ["extra-2"], "a": "eu"}',
                },
                "several": ["http://u:first-one@h"],
            }
        )
    )
    (tmp_path / "c.env").write_text("# a comment\nx=http://u:env-secret@h/\n")
    found = of_connections(read(str(tmp_path / "c.json"))) | of_connections(read(str(tmp_path / "c.env")))
    assert {
        "p@ss",
        "p%40ss",
        "in-query",
        "pw-of-json",
        "extra-1",
        "pw-of-object",
        "extra-2",
        "first-one",
    } <= found
    assert "env-secret" in found
    assert not {"eu", "me", "db.example"} & found
    variables = {"region": "eu", "api_token": "t-1", "settings": {"passphrase": "t-2", "size": 3}, "n": 5}
    assert of_variables(variables) == {"t-1", "t-2"}


def test_all_that_a_process_and_its_children_print_is_masked() -> None:
    code = (
        "import os, subprocess, sys\n"
        "from envman.inside.masked_output import mask\n"
        "relay = mask({'hunter2-secret', 'tok-1'})\n"
        "print('by print', 'hunter2-secret', end='', flush=True)\n"
        "subprocess.run(['echo', 'by a child: hunter2-secret'])\n"
        "os.write(2, b'hunter2-'); os.write(2, b'secret')\n"
        "os.close(1), os.close(2), os.waitpid(relay, 0)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-u", "-c", code],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.stdout == ""
    assert finished.stderr == "by print ***by a child: ***\n***"
