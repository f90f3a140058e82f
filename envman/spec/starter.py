"""The starter project that `envman init` writes, as text: two bundles with environments that conflict."""

from __future__ import annotations

from collections.abc import Sequence

from packaging.version import Version

from envman.spec.schema import FILE_NAMES, SchemaName, schema_text

SCHEMAS = "environments/.schema"
_PANDAS_1_BELOW = Version("3.12")
"""pandas 1.5 has wheels for older Pythons only."""

_PROJECT = """\
#:schema ./{schema}
# The deployment: where environments are published, its Airflow, and which bundle uses which environment.
# Every key: `envman schema project`, or the spec reference in envman's documentation.

root = ".venvs"                    # in an image, usually "/venv"
airflow-version = "{airflow}"          # pins apache-airflow-core and the task SDK in every environment
airflow-environment = "airflow"    # where Airflow's own components run, such as the scheduler

[defaults.variables]
keep-out = ["AWS_SECRET_*"]   # what the caller has and the environments must not see

[bundles]
bundle_a = {{ path = "bundles/bundle_a", environment = "env_a" }}    # a bundle's own environment ...
bundle_b = {{ path = "bundles/bundle_b", team = "team_b" }}          # ... or its team's

[teams]
team_b = {{ environment = "env_b" }}
"""

_ENVIRONMENT = """\
#:schema ./.schema/{schema}
# {comment}

requires-python = "=={python}.*"
dependencies = [
{dependencies}
]

[checks]
imports = [{imports}]
"""

_DAG = '''\
"""A Dag that shows which interpreter and which pandas parsed it."""

import sys

import pandas
from airflow.sdk import dag, task

PYTHON = ".".join(str(part) for part in sys.version_info[:3])


@dag(schedule=None, tags=[f"python {{PYTHON}}", f"pandas {{pandas.__version__}}"])
def {name}():
    @task
    def versions() -> dict:
        return {{"python": PYTHON, "pandas": pandas.__version__, "prefix": sys.prefix}}

    versions()


{name}()
'''


def starter_files(airflow: str, pythons: Sequence[str]) -> dict[str, str]:
    """The files of a starter project, by path relative to it.

    `pythons` are the versions that the machine has (such as '3.12.1'), best first: env_a and Airflow's own
    environment take the first, env_b one that pandas 1.5 runs on if there is one.
    """
    minors = list(dict.fromkeys(".".join(version.split(".")[:2]) for version in pythons)) or ["3.12"]
    older = [minor for minor in minors if Version(minor) < _PANDAS_1_BELOW and minor != minors[0]]
    minor_b = (older or minors[-1:])[0]
    old_pandas = ["pandas<2", "numpy<2"] if Version(minor_b) < _PANDAS_1_BELOW else ["pandas<3"]
    files = {
        "envman.toml": _PROJECT.format(schema=f"{SCHEMAS}/{FILE_NAMES[SchemaName.project]}", airflow=airflow),
        "environments/airflow.toml": _environment(
            "Airflow's own components; no bundle's code runs here.", minors[0], ["apache-airflow"], "airflow"
        ),
        "environments/env_a.toml": _environment("Bundle a wants a recent pandas.", minors[0], ["pandas>=3"]),
        "environments/env_b.toml": _environment("Team b still needs an older pandas.", minor_b, old_pandas),
        "bundles/bundle_a/hello_a.py": _DAG.format(name="hello_a"),
        "bundles/bundle_b/hello_b.py": _DAG.format(name="hello_b"),
    }
    files |= {f"{SCHEMAS}/{FILE_NAMES[name]}": schema_text(name) for name in SchemaName}
    return files


def _environment(comment: str, python: str, dependencies: list[str], imported: str = "pandas") -> str:
    if Version(python) < Version("3.11"):
        dependencies = ["pandas>=2.2" if line == "pandas>=3" else line for line in dependencies]
    imports = ", ".join(f'"{module}"' for module in ("airflow.sdk", imported))
    listed = "\n".join(f'    "{line}",' for line in dependencies)
    schema = FILE_NAMES[SchemaName.environment]
    return _ENVIRONMENT.format(
        schema=schema, comment=comment, python=python, dependencies=listed, imports=imports
    )
