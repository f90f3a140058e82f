from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from envman.usecases.images.build_secrets import variables_text, write_build_secrets


def variables(text: str) -> dict[str, str]:
    return dict(shlex.split(line)[0].split("=", 1) for line in text.splitlines())


def test_where_packages_come_from_is_passed_and_nothing_else() -> None:
    environ = {
        "UV_INDEX_COMPANY_PASSWORD": "it's $x `y`",
        "UV_DEFAULT_INDEX": "https://pypi.company.example/",
        "UV_CACHE_DIR": "/home/me/cache",
        "UV_PYTHON": "3.12",
        "HTTPS_PROXY": "http://me:word@proxy:3128",
        "no_proxy": "localhost",
        "AWS_SECRET_ACCESS_KEY": "x",
        "PATH": "/bin",
        "PIP_CERT": "/etc/cert.pem",
        "SSL_CERT_FILE": "/etc/cert.pem",
    }
    assert variables(variables_text(environ, None)) == {
        "HTTPS_PROXY": "http://me:word@proxy:3128",
        "PIP_INDEX_URL": "https://pypi.company.example/",
        "UV_DEFAULT_INDEX": "https://pypi.company.example/",
        "UV_INDEX_COMPANY_PASSWORD": "it's $x `y`",
        "no_proxy": "localhost",
    }


def test_pip_gets_the_indexes_of_the_projects_configuration(tmp_path: Path) -> None:
    config = tmp_path / "uv.toml"
    config.write_text(
        '[[index]]\nname = "company"\nurl = "https://pypi.company.example/"\n', encoding="utf-8"
    )
    environ = {"UV_INDEX_COMPANY_USERNAME": "ci", "UV_INDEX_COMPANY_PASSWORD": "word"}
    passed = variables(variables_text(environ, str(config)))
    assert passed["PIP_EXTRA_INDEX_URL"] == "https://ci:word@pypi.company.example/"


@pytest.mark.parametrize(
    ("links", "there"), [("/opt/wheels", False), ("https://a/ file:///b", False), ("https://a/", True)]
)
def test_folders_of_this_machine_are_not_passed(links: str, there: bool) -> None:
    assert ("PIP_FIND_LINKS" in variables(variables_text({"PIP_FIND_LINKS": links}, None))) is there


def test_files_are_named_where_they_are(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "secrets"
    (home / ".config/uv").mkdir(parents=True)
    folder.mkdir()
    for path in (home / "netrc", home / ".config/uv/uv.toml", home / "ca.pem"):
        path.touch()
    environ = {"HOME": str(home), "NETRC": str(home / "netrc"), "SSL_CERT_FILE": str(home / "ca.pem")}
    assert write_build_secrets(folder, environ, None) == {
        "netrc": home / "netrc",
        "uv-config": home / ".config/uv/uv.toml",
        "certificates": home / "ca.pem",
        "variables": folder / "variables",
    }
    assert (folder / "variables").stat().st_mode & 0o777 == 0o600


def test_what_is_not_there_is_no_secret(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "no"), "SSL_CERT_FILE": str(tmp_path / "no")}
    assert list(write_build_secrets(tmp_path, environ, None)) == ["variables"]
