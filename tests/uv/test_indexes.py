from __future__ import annotations

from pathlib import Path

import pytest

from envman.uv.indexes import index_account, pip_index_environment, places_of_files

MAIN, MORE = "https://index.example/main", "https://more.example/more"


def pip(caller: dict[str, str], config: str | None = None) -> dict[str, str]:
    """What pip is told, without what it is told in any case."""
    environment = pip_index_environment(caller, config)
    return {key: value for key, value in environment.items() if key.startswith("PIP_")}


def config(folder: Path, text: str) -> str:
    (folder / "uv.toml").write_text(text, encoding="utf-8")
    return str(folder / "uv.toml")


def test_where_uv_is_told_of_no_index_pips_own_configuration_counts() -> None:
    own = {"PIP_INDEX_URL": MAIN, "PIP_CONFIG_FILE": "/etc/pip.conf"}
    assert pip(own) == own
    assert pip({}) == {}


def test_hidden_inputs_do_not_reach_pip_either(tmp_path: Path) -> None:
    environment = pip_index_environment({"PYTHONPATH": "/x", "HOME": str(tmp_path)}, None)
    assert "PYTHONPATH" not in environment
    assert environment["HOME"] == str(tmp_path)


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_the_default_index_of_a_variable_is_pips_index(name: str) -> None:
    assert pip({name: MAIN, "PIP_INDEX_URL": MORE}) == {"PIP_INDEX_URL": MAIN}


def test_of_two_variables_the_newer_one_counts() -> None:
    assert pip({"UV_DEFAULT_INDEX": MAIN, "UV_INDEX_URL": MORE}) == {"PIP_INDEX_URL": MAIN}


def test_further_indexes_of_variables_are_pips_further_ones() -> None:
    caller = {"UV_INDEX": f"{MAIN} mine={MORE}", "UV_EXTRA_INDEX_URL": "https://third.example/x"}
    assert pip(caller) == {"PIP_EXTRA_INDEX_URL": f"{MAIN} {MORE} https://third.example/x"}


def test_an_equals_sign_inside_a_url_names_nothing() -> None:
    url = "https://index.example/main?token=abc"
    assert pip({"UV_DEFAULT_INDEX": url}) == {"PIP_INDEX_URL": url}


def test_indexes_are_read_from_the_configuration(tmp_path: Path) -> None:
    text = f"[[index]]\nurl = '{MORE}'\n[[index]]\nname = 'main'\nurl = '{MAIN}'\ndefault = true\n"
    assert pip({}, config(tmp_path, text)) == {"PIP_INDEX_URL": MAIN, "PIP_EXTRA_INDEX_URL": MORE}


def test_the_older_keys_are_read_too(tmp_path: Path) -> None:
    text = f"index-url = '{MAIN}'\nextra-index-url = ['{MORE}']\n"
    assert pip({}, config(tmp_path, text)) == {"PIP_INDEX_URL": MAIN, "PIP_EXTRA_INDEX_URL": MORE}


@pytest.mark.parametrize("variable", ["HOME", "XDG_CONFIG_HOME"])
def test_the_users_configuration_comes_behind_the_projects(tmp_path: Path, variable: str) -> None:
    own = config(tmp_path, f"index-url = '{MAIN}'\nextra-index-url = ['{MORE}']\nfind-links = ['own']\n")
    folder = tmp_path / ("home/.config/uv" if variable == "HOME" else "home/uv")
    folder.mkdir(parents=True)
    config(folder, f"index-url = '{MORE}'\nextra-index-url = ['{MAIN}/user']\nno-index = true\n")
    caller = {variable: str(tmp_path / "home")}
    assert pip(caller) == {
        "PIP_INDEX_URL": MORE,
        "PIP_EXTRA_INDEX_URL": f"{MAIN}/user",
        "PIP_NO_INDEX": "1",
    }
    assert pip(caller, own) == {
        "PIP_INDEX_URL": MAIN,
        "PIP_EXTRA_INDEX_URL": f"{MORE} {MAIN}/user",
        "PIP_FIND_LINKS": f"{tmp_path}/own",
        "PIP_NO_INDEX": "1",
    }


def test_variables_win_over_the_configuration(tmp_path: Path) -> None:
    text = f"find-links = ['/wheels']\n[[index]]\nurl = '{MORE}'\n[[index]]\nurl = '{MORE}/old'\ndefault = true\n"
    caller = {"UV_DEFAULT_INDEX": MAIN, "UV_INDEX": f"{MAIN}/first", "UV_FIND_LINKS": "/a,/b"}
    assert pip(caller, config(tmp_path, text)) == {
        "PIP_INDEX_URL": MAIN,
        "PIP_EXTRA_INDEX_URL": f"{MAIN}/first {MORE}",
        "PIP_FIND_LINKS": "/a /b",
    }


def test_a_wheelhouse_alone_is_passed_on_with_its_path_made_absolute(tmp_path: Path) -> None:
    assert pip({}, config(tmp_path, "no-index = true\nfind-links = ['wheels']\n")) == {
        "PIP_FIND_LINKS": f"{tmp_path}/wheels",
        "PIP_NO_INDEX": "1",
    }


def test_credentials_of_an_index_stand_in_its_address(tmp_path: Path) -> None:
    text = f"[[index]]\nname = 'team-a.main'\nurl = '{MAIN}'\ndefault = true\n"
    caller = {"UV_INDEX_TEAM_A_MAIN_USERNAME": "team a", "UV_INDEX_TEAM_A_MAIN_PASSWORD": "p@ss/word"}
    assert pip(caller, config(tmp_path, text)) == {
        "PIP_INDEX_URL": "https://team%20a:p%40ss%2Fword@index.example/main"
    }


def test_credentials_belong_to_the_index_that_they_name() -> None:
    caller = {"UV_INDEX": f"mine={MAIN} other={MORE}", "UV_INDEX_MINE_PASSWORD": "secret"}
    assert pip(caller) == {"PIP_EXTRA_INDEX_URL": f"https://:secret@index.example/main {MORE}"}


def test_credentials_that_the_address_holds_already_stay() -> None:
    url = "https://user:own@index.example/main"
    caller = {"UV_DEFAULT_INDEX": f"mine={url}", "UV_INDEX_MINE_PASSWORD": "secret"}
    assert pip(caller) == {"PIP_INDEX_URL": url}


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ({"SSL_CERT_FILE": "/ca.pem"}, "/ca.pem"),
        ({"SSL_CERT_FILE": "/ca.pem", "PIP_CERT": "/own.pem"}, "/own.pem"),
    ],
)
def test_pip_trusts_the_certificates_that_uv_trusts(caller: dict[str, str], expected: str) -> None:
    assert pip(caller) == {"PIP_CERT": expected}


@pytest.mark.parametrize(
    ("url", "account"),
    [
        ("https://a.example/files/x.tar.gz", ("me", "pass:word")),
        ("https://a.example:8443/x.tar.gz", None),
        ("http://a.example/x.tar.gz", None),
        ("https://b.a.example/x.tar.gz", None),
        ("https://files.example/x.tar.gz", None),
        ("https://links.example/x.tar.gz", ("you", "")),
    ],
)
def test_an_account_counts_for_its_own_host(
    tmp_path: Path, url: str, account: tuple[str, str] | None
) -> None:
    config = tmp_path / "uv.toml"
    config.write_text(
        'find-links = ["https://you@links.example/all"]\n[[index]]\nname = "team"\nurl = "https://a.example/simple"\n'
    )
    caller = {"UV_INDEX_TEAM_USERNAME": "me", "UV_INDEX_TEAM_PASSWORD": "pass:word"}
    assert index_account(caller, str(config), url) == account


def test_the_places_of_files_are_all_that_says_where_they_come_from(tmp_path: Path) -> None:
    for name in ("links", "more"):
        (tmp_path / name).mkdir()
    file = config(tmp_path, f'find-links = ["{tmp_path}/links", "https://links.example"]\n')
    caller = {
        "NETRC": "/opt/team/netrc",
        "UV_INDEX": f"more=file://{tmp_path}/more",
        "SSL_CLIENT_CERT": "/c.pem",
    }
    expected = ["/opt/team/netrc", "/c.pem", file, "/etc/uv", f"{tmp_path}/links", f"{tmp_path}/more"]
    assert [place for place in places_of_files(caller, file) if place != "/etc/uv/uv.toml"] == expected
