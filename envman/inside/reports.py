"""What commands ask of the modules in here, and what those answer: the types of their JSON. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class ParseRequest(TypedDict):
        """Of `parse_files`: a folder or file, the bundle's name, seconds for each file (None: Airflow's), the
        file that gets the Dags as they were serialized, a line of JSON for each: SerializedReport; and the
        bundle's shared folders.
        """

        path: str
        bundle: str
        timeout: float | None
        dags: str
        shared: list[str]

    class SerializedReport(TypedDict):
        """A Dag as Airflow's components get it, and its file's path below the bundle's folder."""

        file: str
        data: object

    class DagReport(TypedDict):
        """A Dag's name, and how many tasks it has."""

        dag: str
        tasks: int

    class FoundReport(TypedDict):
        """What a file gave; `errors` by the file that each is about."""

        dags: list[DagReport]
        errors: dict[str, str]
        warnings: list[str]

    class FileReport(FoundReport):
        """The same, with the file's path below the bundle's folder, and the seconds that it took."""

        file: str
        seconds: float

    class PluginsReport(TypedDict):
        """Why plugins can't be imported, by file or module; the classes that plugins register for Dags."""

        errors: dict[str, str]
        registered: list[str]

    class ParseReport(TypedDict):
        """Airflow's version, what each file gave, why plugins can't be imported, and what has the names of
        shared folders, which then can't be.
        """

        airflow: str
        files: list[FileReport]
        plugins: dict[str, str]
        hidden: dict[str, str]

    class ReadRequest(TypedDict):
        """Of `readable`: the Dags as `parse_files` has written them, the environment where they were parsed,
        and the folders with its packages.
        """

        dags: str
        environment: str
        libraries: list[str]

    class UnreadableReport(TypedDict):
        """A Dag that can't be read, why, and the remedy."""

        file: str
        dag: str
        what: str
        remedy: str

    class ReadReport(TypedDict):
        """All Dags that can't be read."""

        unreadable: list[UnreadableReport]

    class ImportsRequest(TypedDict):
        """Of `imports`: bundles' folders, modules that count whoever imports them, and whether to measure."""

        folders: list[str]
        modules: list[str]
        measure: bool

    class Costs(TypedDict, total=False):
        """What a module's import takes, in seconds and bytes, why it can't be preloaded, what it brings."""

        seconds: float | None
        memory: int | None
        problem: str
        brings: list[str]

    class ModuleReport(Costs):
        """The same, with the module's name and how many files import it."""

        module: str
        files: int

    class ImportsReport(TypedDict):
        """`skipped` are files that can't be read, and why."""

        airflow: str
        files: int
        skipped: list[tuple[str, str]]
        modules: list[ModuleReport]

    class ProbeRequest(TypedDict):
        """Of `probe`: classes to import, and whether the deployment's database is asked."""

        classpaths: list[str]
        database: bool

    class QueueReport(TypedDict):
        """A queue, and a bundle with tasks in it."""

        bundle: str
        queue: str

    class TriggerReport(TypedDict):
        """A team's triggers, and those of them that wait in vain."""

        team: str
        all: int
        waiting: int

    class DatabaseReport(TypedDict):
        """What the database says; `triggerers` is how many live."""

        queues: list[QueueReport]
        triggerers: int
        triggers: list[TriggerReport]

    class ProbeReport(TypedDict):
        """Versions by package, by class why it can't be imported (empty where it can), plugins, and what else
        a Dag may hold that its reader needs.
        """

        python: str
        packages: dict[str, str]
        classes: dict[str, str]
        plugins: PluginsReport
        pods: bool
        database: DatabaseReport | None

    class TestsRequest(TypedDict):
        """What tests are run: the folder to remove afterwards, the bundle's with its shared folders, and
        pytest's arguments.
        """

        home: str
        path: str
        shared: list[str]
        arguments: list[str]

    class DagRunRequest(TypedDict):
        """Which Dag is run, or one task of it, and the bundle's shared folders; files with Connections and
        Variables, None for none.
        """

        path: str
        bundle: str
        shared: list[str]
        dag: str
        task: str | None
        conf: dict[str, object] | None
        connections: str | None
        variables: str | None

    class TaskReport(TypedDict):
        """How a task instance ended; `index` is -1 for one that is not mapped."""

        task: str
        index: int
        state: str
        seconds: float | None

    class DagRunReport(TypedDict):
        """How a Dag run ended; `problem` where there was none, with what is known, and with import errors.

        `file` is the one with Connections or Variables that the problem is about.
        """

        problem: str
        file: str
        known: list[str]
        errors: dict[str, str]
        state: str
        tasks: list[TaskReport]

    class AdoptionRequest(TypedDict):
        """Of `adoption_probe`: options that may be told, and folders to look for requirements files in."""

        options: list[list[str]]
        beside: list[str]

    class PythonReport(TypedDict):
        """An interpreter, its base, and what markers (PEP 508) compare with."""

        executable: str
        base: str
        prefix: str
        platform: str
        markers: dict[str, str]

    class DistributionReport(TypedDict):
        """An installed distribution; `origin` is empty where it came from an index, as far as it says."""

        name: str
        version: str
        requires: list[str]
        requires_python: str
        folder: str
        installer: str
        has_record: bool
        origin: str
        commit: str
        provides: list[str]
        editable: bool

    class SettingReport(TypedDict):
        """An option of Airflow's, its value (empty where it is not told) and where it is set."""

        section: str
        option: str
        value: str
        place: str

    class LiveBundleReport(TypedDict):
        """A Dag bundle: `path` of one that is a folder, else its class's arguments, without secrets."""

        name: str
        classpath: str
        path: str
        arguments: dict[str, object]
        withheld: list[str]
        team: str
        place: str

    class FolderReport(TypedDict):
        """A bundle's folder. `beside` are modules of its own that its files import, by how many do."""

        folder: str
        is_there: bool
        files: int
        archives: list[str]
        links: list[str]
        beside: dict[str, int]
        unreadable: dict[str, str]
        truncated: bool

    class AdoptionReport(TypedDict):
        """What a live Airflow consists of."""

        python: PythonReport
        distributions: list[DistributionReport]
        home: str
        configuration: str
        problem: str
        settings: list[SettingReport]
        withheld: list[SettingReport]
        bundles: list[LiveBundleReport]
        examples: list[str]
        folders: list[FolderReport]
        plugins_folder: str
        plugins: list[str]
        local_settings: list[str]
        requirements: list[str]
        python_path: list[str]
        pip_configuration: list[str]

    class ProofRequest(TypedDict):
        """Of `proof_parses`: the folder that is the bundle's, its name, and the part of the folder that
        counts; the files to parse (None: those that are found), how often each, in how many seconds (None:
        Airflow's); `parse`: whether to parse at all; `plugins`: whether to look at plugins; `watch`: whether
        to note which variables a file reads; `packages`: those of which to say that a file has loaded them;
        `modules`: those of which to say whose they are; `shared`: the bundle's shared folders; `out`: the
        file that gets the lines.
        """

        folder: str
        bundle: str
        within: str
        files: list[str] | None
        times: int
        timeout: float | None
        parse: bool
        plugins: bool
        watch: bool
        packages: list[str]
        modules: list[str]
        shared: list[str]
        out: str

    class ProofFacts(TypedDict):
        """Versions of Airflow (empty: there is none), Python and packages; the interpreter's folders; why
        plugins can't be imported; which packages have the modules that were asked for, and which of these
        were installed from no index.
        """

        airflow: str
        python: str
        packages: dict[str, str]
        folders: list[str]
        plugins: dict[str, str]
        owners: dict[str, str]
        own: list[str]
