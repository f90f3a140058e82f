"""Credentials never get into what is shown, whatever is in them; other text stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from envman.system.redaction import redact

LETTERS = st.characters(blacklist_categories=["Cs", "Zs", "Zl", "Zp", "Cc"])
NAMES = st.text(st.sampled_from("abz09.-"), min_size=1, max_size=10)
USERS = st.text(LETTERS.filter(lambda letter: letter not in '/?#"'), max_size=10)
PASSWORDS = st.text(LETTERS.filter(lambda letter: letter != '"'), max_size=20).map("§{}§".format)
PATHS = st.sampled_from(["", "/", "/simple/", "/a?b=c", "/a#b", ":8080", ":8080/simple/"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:word@host/a", "https://****@host/a"),
        ("https://token@host/a", "https://****@host/a"),
        ("https://me:w@rd@host/a", "https://****@host/a"),
        ("https://me:w/rd@host/a", "https://****@host/a"),
        ("https://me:w?r#d@host/a", "https://****@host/a"),
        ("https://me:/@host/a", "https://****@host/a"),
        ("https://me:@/@host", "https://****@host"),
        ("https://:word@host/a", "https://****@host/a"),
        ("https://me@company.example:w/rd@host/a", "https://****@host/a"),
        ("https://me:12/34@host/a", "https://****@host/a"),
        ("https://me:word@[::1]:80/a", "https://****@[::1]:80/a"),
        ('https://me:w"rd@host/a', "https://****@host/a"),
        ("git+https://me:word@host/a.git", "git+https://****@host/a.git"),
        ("from https://a:b@c/ to http://d:e@f:80/g.", "from https://****@c/ to http://****@f:80/g."),
        ("https://host/a,https://me:word@host/b", "https://host/a,https://****@host/b"),
        ("docker://me:word@host:5000/name@sha256:0a", "docker://****@host:5000/name@sha256:0a"),
    ],
)
def test_credentials_are_blotted_out(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "://",
        "no address: a@b",
        "see https://host/path and mail a@b",
        "https://host:8080/path and mail a@b",
        "https://host/name@1.0",
        "git+https://host/a/b.git@v1.0",
        "https://host/a:b@c",
        "https://[::1]/name@1.0",
        "docker://host:5000/name:tag@sha256:0a1b",
        "file:///wheels/a@b.whl",
        "file:///a:b@c",
        "git@host:name/project.git",
        '{"url":"https://host","mail":"a@b"}',
        '["https://host:80/","a@b"]',
    ],
)
def test_other_text_stays(text: str) -> None:
    assert redact(text) == text


@given(USERS, PASSWORDS, NAMES, PATHS, st.text(), st.text())
@example("", "§@§", "a", "", "", "")
@example("a", "§12/@b/§", "a", ":80/", "://", "@")
def test_no_password_is_ever_shown(
    user: str, password: str, host: str, path: str, before: str, after: str
) -> None:
    before, after = before.replace("§", ""), after.replace("§", "")
    shown = redact(f"{before} https://{user}:{password}@{host}{path} {after}")
    assert "§" not in shown
    assert f"****@{host}{path} " in shown


@given(USERS, PASSWORDS, NAMES, PATHS)
def test_strings_of_json_stay_apart(user: str, password: str, host: str, path: str) -> None:
    """What envman's children answer is read after it was redacted."""
    value = {"url": f"https://{user}:{password}@{host}{path}", "mail": "a@b"}
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, separators=(",", ":"))):
        shown = json.loads(redact(text))
        assert shown == {"url": f"https://****@{host}{path}", "mail": "a@b"}


@given(st.text(st.sampled_from('a1:/@?#[]", \n://.\\')))
def test_it_is_done_once_and_for_all(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(st.text())
def test_text_without_an_address_stays(text: str) -> None:
    text = text.replace("://", ":/")
    assert redact(text) == text
