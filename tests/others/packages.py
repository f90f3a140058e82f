"""Whose Dags are compared: packages, at exact versions, whose source distributions hold Dags.

Only these are pinned; uv resolves what they need.
"""

from __future__ import annotations

PROVIDERS = {
    "airbyte": "6.2.0",
    "amazon": "9.39.0",
    "apache-kafka": "2.1.0",
    "apache-livy": "4.6.4",
    "asana": "2.12.1",
    "cncf-kubernetes": "10.25.0",
    "common-io": "1.11.0",
    "common-sql": "2.4.0",
    "databricks": "7.23.0",
    "dbt-cloud": "4.11.1",
    "docker": "4.6.1",
    "elasticsearch": "6.10.0",
    "github": "2.12.1",
    "google": "22.8.0",
    "http": "6.3.0",
    "jenkins": "4.2.7",
    "microsoft-azure": "15.2.1",
    "neo4j": "3.13.1",
    "openai": "2.2.0",
    "openlineage": "2.20.3",
    "opensearch": "1.15.0",
    "opsgenie": "5.11.1",
    "papermill": "3.13.3",
    "postgres": "7.1.1",
    "redis": "4.7.1",
    "sftp": "7.0.0",
    "slack": "9.11.1",
    "snowflake": "6.19.0",
    "sqlite": "4.3.4",
    "telegram": "4.10.1",
    "trino": "6.7.1",
    "weaviate": "3.5.1",
}
"""Airflow's providers, by name; the system tests of each are Dags."""

SMALL = ("apache-livy", "common-sql", "http", "redis", "sqlite")
"""Those that need little: for a quick comparison."""

GENERATORS = {"astronomer-cosmos": "1.15.1", "dag-factory": "1.1.0"}
"""Packages that make Dags of something else. Neither their wheels nor their source distributions hold examples, so
the few lines and files that they are fed with stand in tests/others/bundles."""

TEST_TOOLS = ("apache-airflow-devel-common", "0.1.1")
"""Airflow's own test tools, which its system tests import: the only release there is, without its dependencies."""

NEEDED = ("pytest", "tabulate")
"""What those of the test tools import that system tests use."""

ALSO_USED = ("apache-airflow-providers-common-messaging",)
"""What some system tests import without their provider needing it."""


def requirement(provider: str) -> str:
    """A provider as a requirement."""
    return f"apache-airflow-providers-{provider}=={PROVIDERS[provider]}"


def folder_of(provider: str) -> str:
    """Where a provider's system tests are, below those of all: `apache/kafka` for `apache-kafka`."""
    return provider.replace("-", "/")
