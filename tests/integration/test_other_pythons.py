"""`exec` runs no program of another interpreter's, whatever stands in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from envman.launch.other_pythons import why_another_pythons
from tests.conftest import Deployment, Result

SHIMS = {
    "pyenv": '#!/usr/bin/env bash\nset -e\nexport PYENV_ROOT="/p"\nexec "/p/libexec/pyenv" exec "${0##*/}" "$@"\n',
    "asdf": '#!/usr/bin/env bash\n# asdf-plugin: python 3.9\nexec /a/bin/asdf exec "pytest" "$@" # asdf_allow: asdf\n',
    "asdf, two plugins": '#!/usr/bin/env bash\n# asdf-plugin: nodejs 1\n# asdf-plugin: python 3\nexec asdf exec "pytest"\n',
    "conda": '#!/bin/sh\nexec conda run -n other pytest "$@"\n',
    "uv": '#!/bin/sh\nuv --quiet run pytest "$@"\n',
    "pipx": "#!/usr/bin/env -S pipx run\n",
    "a path behind env": "#!/usr/bin/env -S /usr/bin/python3 -I\n",
    "PyPy": "#!/opt/pypy/bin/pypy3\n",
    "somebody's": '#!/bin/sh\n# runs the other one\nX=1 exec "/opt/other/bin/python3.9" -m pytest "$@"\n',
    "by a variable": '#!/bin/sh\nexec "${VENV:-/opt/o}/bin/python" -m pytest "$@"\n',
    "beside itself": '#!/bin/sh\nexec "$(dirname -- "$(realpath -- "$0")")"/\'python3\' "$0" "$@"\n',
    "an installer's": "#!/bin/sh\n'''exec' /a/very/long/path/bin/python \"$0\" \"$@\"\n' '''\nimport sys\n",
}


@pytest.mark.parametrize("manager", SHIMS)
def test_a_shim_is_refused(two_teams: Deployment, tmp_path: Path, manager: str) -> None:
    refused = run_pytest(two_teams, tmp_path / "shims", SHIMS[manager])
    assert refused.exit_code == 127
    assert "belongs to another interpreter" in refused.stderr


def test_a_link_to_a_version_manager_is_refused(two_teams: Deployment, tmp_path: Path) -> None:
    """As mise makes them."""
    (tmp_path / "mise").write_text("#!/bin/sh\necho wrong\n")
    (tmp_path / "mise").chmod(0o755)
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / "pytest").symlink_to(tmp_path / "mise")
    variables = {"PATH": f"{shims}:{two_teams.environment['PATH']}"}
    refused = two_teams.run("exec", "--bundle", "bundle_a", "--", "pytest", variables=variables)
    assert refused.exit_code == 127
    assert "wrong" not in refused.stdout


@pytest.mark.parametrize(
    "script",
    [
        "#!/bin/sh\necho fine\n",
        "#!/bin/sh\n# run it as /opt/other/bin/python would\necho fine\n",
        '#!/usr/bin/env bash\n# asdf-plugin: nodejs 22.1.0\nasdf() { echo fine; }\nasdf exec node "$@"\n',
        '#!/bin/sh\npython -c \'print("fine")\' "$@"\n',
        "#!/usr/bin/env python\nprint('fine')\n",
        "#!/bin/sh\ncat <<EOF >&2\ninstall it: exec uv run foo $@\nEOF\necho fine\n",
        '#!/bin/sh\n[ -x /usr/bin/python3 ] && :; exec echo fine "$@"\n',
        "#!/bin/sh\nls /usr/lib/python3 >/dev/null 2>&1\necho fine # uv run x\n",
    ],
)
def test_another_program_of_the_machine_runs(two_teams: Deployment, tmp_path: Path, script: str) -> None:
    """What calls `python` gets the environment's."""
    result = run_pytest(two_teams, tmp_path / "bin", script)
    assert (result.exit_code, result.stdout) == (0, "fine\n")


@pytest.mark.parametrize(
    "script", ["#!/bin/sh\n# nothing\n", "#!/bin/sh\n", "#!/bin/sh\ncat <<\n", "#!\n", "#!/usr/bin/env\n", ""]
)
def test_a_script_with_nothing_in_it_ends_no_launch(tmp_path: Path, script: str) -> None:
    (tmp_path / "tool").write_text(script)
    assert why_another_pythons(str(tmp_path / "tool"), "tool") == ""


def run_pytest(deployment: Deployment, folder: Path, script: str) -> Result:
    """Run `pytest`, of which a folder has this script and the environment none."""
    folder.mkdir()
    (folder / "pytest").write_text(script)
    (folder / "pytest").chmod(0o755)
    variables = {"PATH": f"{folder}:{deployment.environment['PATH']}"}
    return deployment.run("exec", "--bundle", "bundle_a", "--", "pytest", variables=variables)
