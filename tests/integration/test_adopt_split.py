"""`envman adopt split`: a built environment with a stand-in for Airflow, taken apart and locked again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from envman.lock.lockfile import parse_lock
from tests.conftest import Deployment
from tests.kept import KeptFolder
from tests.wheels import make_wheel

RAISES = "raise RuntimeError('imported')\n"
WHEELS: dict[str, tuple[str, list[str]]] = {
    "apache-airflow-core": ("3.3.2", ["base"]),
    "base": ("1.0", []),
    "grid": ("1.1", []),
    "frame": ("1.5", ["grid<2", "sheet; extra == 'excel'"]),
    "sheet": ("1.0", []),
    "report": ("1.0", ["grid>=1"]),
    "everyones": ("1.0", []),
    "unused": ("1.0", ["unused-part"]),
    "unused-part": ("1.0", []),
}
RAN = "open('ran', 'w').close()\n"
DAGS = {
    "sales/dag.py": f"# a dag of airflow\n{RAN}import report, grid\nfrom common import db\nimport gone\n",
    "risk/dag.py": f"# a dag of airflow\n{RAN}def later():\n    import frame\n",
    "common/db.py": f"{RAN}import base\n",
    "top.py": f"# a dag of airflow\n{RAN}",
    "unread.py": "def (\n",
    "alone.py": RAN,
}
PROJECT = """\
root = "venv"
airflow-version = "3.3.2"

[bundles]
dags = { path = "dags", shared = ["../rules"], team = "house", queue = "q" }   # everybody's
[teams]
house = { environment = "everything" }
"""
SETTINGS = 'preload = ["grid"]\nwarm = true\n[checks]\nimports = []\n[variables.set]\nZONE = "UTC"\n'


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]) -> KeptFolder:
    """A built environment for all; a later version of each package is on the index by then."""
    made = Deployment(tmp_path_factory.mktemp("split") / "project", dict(clean_environment))
    wheels = made.folder / "wheels"
    for name, (version, requires) in WHEELS.items():
        module = "airflow" if name.startswith("apache") else name.replace("-", "_")
        make_wheel(wheels, name, version, requires, files={f"{module}/__init__.py": RAISES})
    made.write("uv.toml", 'no-index = true\nfind-links = ["wheels"]\n')
    made.write("envman.toml", PROJECT)
    made.spec("everything", ["frame[excel]", "report", "everyones", "unused"], "warm = true\n")
    for name, text in DAGS.items():
        made.write(f"dags/{name}", text)
    made.write("airflow/plugins/ours.py", f"{RAN}import everyones\n")
    made.write("CODEOWNERS", "\ufeff* @company/house\n/dags/sales/ @company/sellers\n")
    made.ok("lock")
    made.ok("build")
    for name, (_, requires) in WHEELS.items():
        if name != "apache-airflow-core":
            make_wheel(wheels, name, "9.0", requires)
    made.spec("everything", ["frame[excel]", "report", "everyones", "unused"], SETTINGS)
    return KeptFolder(made.folder)


@pytest.fixture
def split(kept: KeptFolder, clean_environment: dict[str, str]) -> Iterator[Deployment]:
    kept.put_back()
    made = Deployment(kept.folder, {**clean_environment, "AIRFLOW_HOME": str(kept.folder / "airflow")})
    yield made
    made.end()
    assert list(made.folder.rglob("ran")) == []  # none of the files was run
    kept.check_left()


def test_each_folder_gets_what_its_files_import_and_nothing_else(split: Deployment) -> None:
    before = sorted(split.folder.rglob("*"))
    result = split.ok("adopt", "split", "everything", "--json").json["result"]
    found = {one["environment"]: one for one in result["proposals"]}
    assert {name: sorted(one["packages"]) for name, one in found.items()} == {
        "dags": ["apache-airflow-core", "base", "everyones"],
        "risk": ["apache-airflow-core", "base", "everyones", "frame", "grid", "sheet"],
        "sales": ["apache-airflow-core", "base", "everyones", "grid", "report"],
    }
    sales, risk = found["sales"], found["risk"]
    assert {one["package"]: one["place"] for one in sales["imported"]} == {
        "base": "common/db.py:2",
        "everyones": "ours.py:2",
        "grid": "sales/dag.py:3",
        "report": "sales/dag.py:3",
    }
    assert (risk["alone"], sales["alone"]) == (["frame", "sheet"], ["report"])
    (held,) = sales["upgrades"]
    assert (held["package"], held["holder"], held["requirement"]) == ("grid", "frame", "grid<2")
    assert (held["environments"], risk["upgrades"]) == (["risk"], [])
    assert sales["missing"] == [{"module": "gone", "place": "sales/dag.py:5"}]
    assert sales["top_imports"] == [{"module": "common", "place": "sales/dag.py:4"}]
    assert result["shared"] == {"everyones": ["dags", "risk", "sales"]}
    assert [(one["package"], one["brings"]) for one in result["unneeded"]] == [("unused", 1)]
    assert [one["file"] for one in result["unread"]] == ["unread.py"]
    assert [one["file"] for one in result["unreached"]] == ["alone.py"]
    assert sorted(split.folder.rglob("*")) == before


def test_the_table_says_the_same(split: Deployment, tmp_path: Path) -> None:
    run = split.ok("adopt", "split", "everything", "--by", "team")
    lines = run.stdout.splitlines()
    assert lines[0].split() == ["environment", "for", "dag", "files", "imports", "packages", "only", "its"]
    assert [line.split()[0] for line in lines[1:3]] == ["house", "sellers"]
    assert "  grid 1.1 in sellers: held by frame (grid<2), which only house needs" in lines
    assert "  unused 1.0, with 1 more" in lines
    assert "unread.py is no Python" in run.stderr
    assert "no longer finds common" in run.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("* @x/y\n")
    (split.folder / "below").mkdir()
    by_team = ("adopt", "split", "everything", "--by", "team", "--codeowners")
    assert split.ok(*by_team, "below/../CODEOWNERS").stdout.splitlines()[1:3] == lines[1:3]
    named = split.ok(*by_team, str(elsewhere))
    assert named.stdout.splitlines()[1].split()[0] == "unowned"


def test_what_is_written_locks_to_todays_versions(split: Deployment) -> None:
    run = split.ok("adopt", "split", "everything", "--write", "--prefix", "of-")
    assert "Next: envman lock of-dags of-risk of-sales" in run.stdout
    project = (split.folder / "envman.toml").read_text()
    assert "# everybody's" in project
    assert re.search(r'dags = .*team = "house".*environment = "of-dags"', project)
    assert (
        'of-sales = {path = "dags/sales", shared = ["../common", "../../rules"], environment = "of-sales", '
        'team = "house", queue = "q"}'
    ) in project
    assert "the bundle dags keeps its folder" in run.stderr
    spec = (split.folder / "environments/of-risk.toml").read_text()
    assert '"frame[excel]==1.5"' in spec
    assert 'preload = ["grid"]' in spec
    assert "preload = []" in (split.folder / "environments/of-dags.toml").read_text()
    assert 'ZONE = "UTC"' in spec
    split.ok("lock")
    locks = {
        name: parse_lock((split.folder / f"environments/{name}.lock").read_text(), name, name).pins
        for name in ("everything", "of-dags", "of-risk", "of-sales")
    }
    today = {pin.name: pin.version for pin in locks["everything"]}
    for name in ("of-dags", "of-risk", "of-sales"):
        assert {pin.name: pin.version for pin in locks[name]}.items() <= today.items(), name
    assert {pin.name for pin in locks["of-sales"]} == {
        *["apache-airflow-core", "base", "everyones", "grid", "report"]
    }


def test_one_team_at_a_time(split: Deployment) -> None:
    early = split.run("adopt", "split", "everything", "--write", "--only", "dags")
    assert (early.exit_code, "without their packages" in early.stderr) == (2, True)
    before = (split.folder / "envman.toml").read_text()
    run = split.ok("adopt", "split", "everything", "--write", "--only", "sales")
    assert "Next: envman lock sales\n" in run.stdout
    assert "the bundle dags keeps its folder" in run.stderr
    (new,) = set((split.folder / "envman.toml").read_text().splitlines()) - set(before.splitlines())
    assert new.startswith('sales = {path = "dags/sales"')
    assert not (split.folder / "environments/risk.toml").exists()
    later = split.ok("adopt", "split", "everything", "--json").json["result"]
    assert [one["environment"] for one in later["proposals"]] == ["dags", "risk"]


def test_nothing_is_written_over_and_nothing_is_half_written(split: Deployment) -> None:
    taken = split.write("environments/sales.constraints.txt", "mine\n")
    before = {path: path.read_bytes() for path in (split.folder / "environments").iterdir()}
    project = (split.folder / "envman.toml").read_bytes()
    run = split.run("adopt", "split", "everything", "--write")
    assert run.exit_code == 2
    assert "environments/sales.constraints.txt: is there already" in run.stderr
    assert {path: path.read_bytes() for path in (split.folder / "environments").iterdir()} == before
    assert (split.folder / "envman.toml").read_bytes() == project
    taken.unlink()
    split.ok("adopt", "split", "everything", "--write")


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("nowhere",), 2, "no such environment"),
        (("everything", "--codeowners", "CODEOWNERS"), 2, "is for --by team"),
        (("everything", "--only", "sales"), 2, "is for --write"),
        (
            ("everything", "--write", "--only", "gone"),
            2,
            "no such environment is proposed: dags, risk, sales",
        ),
        (("everything", "--path", "dags"), 2, "is not BUNDLE=FOLDER"),
        (("everything", "--path", "other=dags"), 2, "no bundle of everything is called so"),
        (("everything", "--path", "dags=nowhere"), 2, "there is no such folder"),
        (("everything", "--by", "team", "--codeowners", "absent"), 2, "there is no such file"),
        (("everything", "--root", "elsewhere"), 7, "not built"),
    ],
)
def test_wrong_usage_says_what_is_wrong(
    split: Deployment, words: tuple[str, ...], exit_code: int, said: str
) -> None:
    run = split.run("adopt", "split", *words)
    assert (run.exit_code, said in run.stderr) == (exit_code, True), run.stderr


def test_a_checkout_stands_for_a_bundle_that_is_no_folder(split: Deployment, tmp_path: Path) -> None:
    text = (split.folder / "envman.toml").read_text()
    split.write("envman.toml", text.replace('path = "dags"', 'classpath = "module.Git"'))
    assert "--path BUNDLE=FOLDER" in split.run("adopt", "split", "everything").stderr
    words = ("adopt", "split", "everything", "--path", "dags=dags")
    assert len(split.ok(*words, "--json").json["result"]["proposals"]) == 3
    refused = split.run(*words, "--write")
    assert refused.exit_code == 2
    assert "its folders can't become bundles" in refused.stderr
    split.ok(*words, "--by", "bundle", "--prefix", "new-", "--write")
    assert 'environment = "new-dags"' in (split.folder / "envman.toml").read_text()
