"""Settings of editors are added to, and what people wrote there stays as it is, byte for byte."""

from __future__ import annotations

import json

import pytest

from envman.deployment.editor_settings import UnclearSettingsError, merged

WANTED = {"python.defaultInterpreterPath": "p", "b": True}
COMMENTED = '// mine, "b": 2\n{\n  /* { */ "editor.rulers": [100, 120,], // }\n  "url": "http://x/*y*/",\n}\n'


def test_a_new_file_has_what_is_wanted() -> None:
    assert json.loads(merged("", WANTED).text) == WANTED


@pytest.mark.parametrize(
    "text", [COMMENTED, COMMENTED.replace("\n", "\r\n"), "{}", "{ }\n", '{"a": 1}', "\ufeff{}"[1:]]
)
def test_what_is_there_stays_with_its_comments(text: str) -> None:
    after = merged(text, WANTED)
    assert after.other == ()
    brace = text.index("{") + 1
    assert after.text.startswith(text[:brace])
    assert after.text.endswith(text[brace:])
    assert '"python.defaultInterpreterPath": "p"' in after.text
    assert merged(after.text, WANTED).text == after.text  # so it can be read again, and has both


def test_a_key_that_says_otherwise_is_left_and_told() -> None:
    text = '{"b": false} // mine'
    after = merged(text, {"b": True})
    assert (after.text, after.other) == (text, ("b",))


@pytest.mark.parametrize(
    "text", ["[]", "{", "nonsense", '{"a": 1 "b": 2}', "/* {} ", '{"a": /* 1 }', "[" * 100_000]
)
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(UnclearSettingsError):
        merged(text, WANTED)
