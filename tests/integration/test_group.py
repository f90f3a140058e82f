"""`envman group`, resolved by the real uv from a wheelhouse."""

from __future__ import annotations

from tests.conftest import PYTHON, Deployment


def test_files_are_grouped_and_what_splits_them_is_named(deployment: Deployment) -> None:
    deployment.write("sales/requirements.txt", "frame<2\n-c held.txt\n")
    deployment.write("sales/held.txt", "grid<1.1\n")
    deployment.write("risk/requirements.txt", "grid>=2 ; python_version >= '3'\ntool\n")
    deployment.write(
        "ops/pyproject.toml",
        f'[project]\nname = "ops"\ndependencies = ["heavy"]\nrequires-python = ">={PYTHON}"\n',
    )
    deployment.write("lone.py", '# /// script\n# dependencies = ["frame>=2"]\n# ///\n')
    files = ("sales/requirements.txt", "risk/requirements.txt", "ops/pyproject.toml", "lone.py")
    run = deployment.ok("group", *files, "--python", PYTHON, "--python", "3.9", "--json")
    result = run.json["result"]
    assert [(one["files"], one["pythons"]) for one in result["groups"]] == [
        ([files[0], files[2]], [PYTHON]),
        ([files[1], files[3]], [PYTHON, "3.9"]),
    ]
    assert (result["is_fewest"], result["least"], result["method"]) == (True, 2, "exact")
    here = next(one for one in result["splits"] if PYTHON in one["pythons"])
    assert here["groups"] == [1, 2]
    (one, other) = sorted((line["files"], line["text"]) for line in here["lines"])
    assert (one, other[0]) == ((["risk/requirements.txt"], 'grid>=2; python_version >= "3"'), [files[0]])
    assert "Because" in here["explanation"]
    assert "▶" not in here["explanation"]
    shown = deployment.ok("group", *files, "--python", PYTHON)
    assert "2 environments for 4 files (the fewest)" in shown.stdout
    assert "(sales/requirements.txt)" in shown.stdout

    written = deployment.ok("group", *files, "--python", PYTHON, "--write")
    assert "environments/sales-ops.toml, environments/risk-lone.toml" in written.stdout
    deployment.ok("lock")
    again = deployment.run("group", *files, "--python", PYTHON, "--write")
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)


def test_a_file_that_fits_nowhere_is_an_error_and_the_others_are_grouped(deployment: Deployment) -> None:
    deployment.write("wrong.txt", "frame<2\ntool\ngrid>=2\n")
    deployment.write("absent.txt", "nobody-has-this\n")
    deployment.write("right.txt", "tool\n")
    words = ("group", "wrong.txt", "absent.txt", "right.txt", "--python", PYTHON)
    run = deployment.run(*words, "--write", "--json")
    assert run.exit_code == 5
    result = run.json["result"]
    assert [one["files"] for one in result["groups"]] == [["right.txt"]]
    lines = {one["file"]: [line["text"] for line in one["lines"]] for one in result["unfit"]}
    assert lines == {"wrong.txt": ["frame<2", "grid>=2"], "absent.txt": ["nobody-has-this"]}
    assert [one["where"] for one in run.json["problems"]] == ["wrong.txt", "absent.txt"]
    assert result["written"] == []
    assert not (deployment.folder / "environments").exists()


def test_wrong_usage_says_what_is_wrong(deployment: Deployment) -> None:
    deployment.write("a.txt", "-e .\n")
    deployment.write("b.txt", "tool\n")
    wrong = deployment.run("group", "a.txt", "none.txt", "--python", PYTHON)
    assert wrong.exit_code == 3
    assert "a.txt:1" in wrong.stderr
    assert "none.txt" in wrong.stderr
    assert "is no version" in deployment.run("group", "b.txt", "--python", "new").stderr
    (deployment.folder / "envman.toml").unlink()
    refused = deployment.run("group", "b.txt", "--python", PYTHON, "--write")
    assert (refused.exit_code, "no envman.toml" in refused.stderr) == (2, True)
