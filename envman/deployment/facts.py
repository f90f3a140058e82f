"""What a deployment is found to be, before anybody judges it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from envman.errors import Problem
from envman.resolver.snapshot import AirflowBundles, Snapshot
from envman.resolver.table import Table

CORE = "apache-airflow-core"
SDK = "apache-airflow-task-sdk"


@dataclass(frozen=True)
class EnvironmentFacts:
    """An environment as it is built; `generation` is None where it is not.

    `base` says what became of its base interpreter: '', 'changed' or 'gone'; `altered`, what differs from the
    generation's file list. `lock` is the problem of its lock; `behind`, that it was built from another one.
    `held`: since when, by whom and why a hold keeps it there.
    """

    name: str
    generation: str | None
    whole: bool = False
    packages: Mapping[str, str] = field(default_factory=dict)
    interpreter: str = ""
    base: str = ""
    altered: str = ""
    lock: Problem | None = None
    behind: bool = False
    held: str = ""
    held_days: int = 0


@dataclass(frozen=True)
class Probed:
    """What an interpreter said of its Airflow; `classes` maps classes of bundles to why they don't import,
    `preload` modules to why a fork server can't import them beforehand, `plugins` those that can't be
    imported to why. `registered` are classes of plugins that a Dag may hold, `pods` is whether it may hold a
    pod.
    """

    where: str
    packages: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    problem: Problem | None = None
    preload: Mapping[str, str] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)
    registered: tuple[str, ...] = ()
    pods: bool = False


@dataclass(frozen=True)
class Exposed:
    """A file or folder that more users than its owner may write: the group, or everybody."""

    path: str
    mode: str
    everybody: bool
    sticky: bool


@dataclass(frozen=True)
class Confined:
    """How this host would hold the processes of an environment.

    `user` is the user and its group (may be empty), None where they run as the component's; `refusal` says
    why it can't be taken, cause and remedy. `mechanisms` maps limits to what holds them: 'cgroup v2',
    'cgroup v1', 'rlimit' (each process on its own) or 'none'; `reasons`, to why no cgroup does.
    """

    environment: str
    user: tuple[str, str] | None
    limits: Mapping[str, float]
    mechanisms: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""


@dataclass(frozen=True)
class CredentialAccess:
    """Where a credential is read from. `problem` keeps the doctor from it, empty where nothing does; `others`
    is what every user of the host may do with it: '', 'read' or 'write'.
    """

    environment: str
    name: str
    source: str
    problem: str
    others: str

    def problems(self) -> Iterator[tuple[bool, Problem]]:
        """What is wrong with it, each with whether it is an error."""
        where = f"environment '{self.environment}': credential '{self.name}'"
        if self.problem:
            what = f"{self.source} {self.problem}, for the user that runs the doctor"
            yield True, Problem(where, what, "Mend it; and run the doctor as the components' user.")
        if self.others:
            what = f"every user of this host may {self.others} {self.source}"
            yield False, Problem(where, what, "Let the components' user alone read it: mode 0400 or 0500.")


@dataclass(frozen=True)
class TeamTriggers:
    """A team's triggers ('' for those without a team), and how many wait although no triggerer comes."""

    team: str
    all: int
    waiting: int


@dataclass(frozen=True)
class Database:
    """What Airflow's database says: queues of tasks with their bundle, living triggerers, triggers."""

    queues: tuple[tuple[str, str], ...]
    triggerers: int
    triggers: tuple[TeamTriggers, ...]


@dataclass(frozen=True)
class Configured:
    """Airflow's configuration, as far as it is envman's business.

    `classes` maps bundles to the classes that have to be there: its own, its importers'; `coordinators` and
    `queue_map` are the text of the options of section [sdk].
    """

    bundles: AirflowBundles
    classes: Mapping[str, tuple[str, ...]]
    multi_team: bool = False
    coordinators: str = ""
    queue_map: str = ""


@dataclass(frozen=True)
class KeptBack:
    """A variable that a bundle's file names, the caller has, and the bundle's workloads do not get."""

    bundle: str
    environment: str
    variable: str
    file: str


@dataclass(frozen=True)
class Unshared:
    """A shared folder of a bundle that its code does not get: `hidden_by` is what has its name in the
    environment; empty where the folder is not there.
    """

    bundle: str
    place: str
    folder: str
    hidden_by: str = ""


@dataclass(frozen=True)
class Facts:
    """A whole deployment.

    `changes` are the kinds of what envman.toml says differently from what is published. `components` is the
    interpreter of Airflow's components, None where it is not known; `database` is None where nobody asked.
    `policy` is the file that says who may sign, empty where there is none.
    `confined` are the environments with a user or limits; `has_pythonpath` is of the components, and so are
    the names of variables that are `not_handed_on` to any environment.
    """

    root: str
    table: Table
    airflow: Configured
    environments: tuple[EnvironmentFacts, ...]
    probes: Mapping[str, Probed] = field(default_factory=dict)
    components: Probed | None = None
    airflow_version: str | None = None
    changes: tuple[str, ...] = ()
    exposed: tuple[Exposed, ...] = ()
    database: Database | None = None
    confined: tuple[Confined, ...] = ()
    credentials: tuple[CredentialAccess, ...] = ()
    kept_back: tuple[KeptBack, ...] = ()
    unshared: tuple[Unshared, ...] = ()
    not_handed_on: tuple[str, ...] = ()
    has_pythonpath: bool = False
    policy: str = ""
    problems: tuple[Problem, ...] = ()

    @cached_property
    def snapshot(self) -> Snapshot:
        """The table and Airflow's bundles as one, to resolve with."""
        return Snapshot(self.root, self.table, lambda: self.airflow.bundles)
