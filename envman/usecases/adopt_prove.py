"""`envman adopt prove`: parse all files in the live interpreter and in their environments, and compare."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from envman.deployment.environment_script import InsideError
from envman.errors import Problem, UsageError
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.proof.bundle_proof import ProofPair, proved_bundle
from envman.proof.parse_runs import ProofAsk, ProofRun, ProofSide, run_side
from envman.proof.sides import (
    LiveAirflow,
    check_live,
    environments_side,
    is_within,
    live_airflow,
)
from envman.proof.veil import Veil
from envman.proof.verdicts import Proof
from envman.resolver.snapshot import Snapshot
from envman.spec.project import Project
from envman.store.folder import Store
from envman.store.root import take_snapshot
from envman.system.events import silent
from envman.system.processes import Processes
from envman.system.side_by_side import default_jobs, side_by_side


@dataclass(frozen=True)
class ProveRequest:
    """The live interpreter (None: that of `airflow` on PATH), the bundles (none: all), the live folders with
    Dags where the configuration does not say it, seconds for each file, and the project, if there is one.
    """

    airflow: Path | None = None
    bundles: tuple[str, ...] = ()
    dags: tuple[Path, ...] = ()
    timeout: float | None = None
    project: Project | None = None


@dataclass(frozen=True)
class _Job:
    """A side, and what is asked of it first."""

    side: ProofSide
    asked: ProofAsk


def prove(
    store: Store,
    request: ProveRequest,
    processes: Processes,
    environ: Mapping[str, str],
    on_line: Callable[[str], None] | None = None,
) -> Proof:
    """Compare; `on_line` gets what the files print.

    Raises UsageError for an interpreter that can't be compared with or a bundle that is no folder,
    ResolveError for one without an environment, InsideError where an interpreter gives no answer.
    """
    started = time.monotonic()
    veil = Veil(environ, AirflowConfiguration(environ).secrets_of_the_file())
    if request.timeout:
        environ = {**environ, "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": str(request.timeout)}
    live = live_airflow(request.airflow, request.dags, environ)
    configuration = AirflowConfiguration(environ)
    snapshot = take_snapshot(store.root, configuration.bundles)
    every = _declared_and_configured(request, configuration.local_folders())
    folders, skipped = _folders(snapshot, request, every)

    def ask(side: ProofSide, asked: ProofAsk) -> ProofRun:
        try:
            return run_side(side, asked, processes, on_line)
        except InsideError as error:  # which quotes what was printed
            raise InsideError(Problem(*map(veil.text, one.key())) for one in error.problems) from None

    with tempfile.TemporaryDirectory(prefix="envman-prove-") as temporary, ExitStack() as stack:
        Path(temporary).chmod(0o711)  # for the environments' users
        facts = ask(live.side("", os.sep, Path(temporary, "first")), ProofAsk(files=())).facts
        check_live(facts, live)
        pairs = []
        for number, (bundle, folder) in enumerate(folders.items()):
            homes = [Path(temporary, f"{number}-{side}") for side in ("old", "new")]
            old = live.side(bundle, folder, homes[0])
            new = stack.enter_context(environments_side(snapshot, bundle, folder, environ, homes[1]))
            environment = new.inside.environment
            generation = snapshot.generation(environment)
            inner = _inner(folder, every.values())
            pairs.append(ProofPair(bundle, environment, generation, old, new, request.timeout, inner))
        rest = {} if request.bundles else _rest(live, folders, Path(temporary))
        runs = _run(pairs, rest, request.timeout, ask)
        bundles = tuple(proved_bundle(pair, runs[_old(pair)], runs[_new(pair)], ask) for pair in pairs)
    proof = Proof(
        interpreter=live.python,
        python=facts.python,
        airflow=facts.airflow,
        bundles=bundles,
        left_out=tuple(_left_out(rest, runs, folders)),
        skipped=tuple(skipped),
        seconds=round(time.monotonic() - started, 1),
        notes=tuple(_notes(live, configuration)),
    )
    return veil.value(proof)


def _notes(live: LiveAirflow, configuration: AirflowConfiguration) -> Iterator[str]:
    if not Path(configuration.path).exists() and not any(
        name.startswith("AIRFLOW__") for name in live.environ
    ):
        yield (
            f"there is no airflow.cfg in {live.home}, and no variable AIRFLOW__...: plugins and settings of "
            "the live Airflow may be elsewhere; set AIRFLOW_HOME as its components have it"
        )


def _declared_and_configured(request: ProveRequest, configured: Mapping[str, str]) -> dict[str, str]:
    """The folders of all bundles, those of envman.toml first; empty where nobody says it."""
    declared = _declared(request.project) if request.project else {}
    return {name: folder or configured.get(name, "") for name, folder in declared.items()} | {
        name: folder for name, folder in configured.items() if name not in declared
    }


def _inner(folder: str, others: Iterable[str]) -> tuple[str, ...]:
    """The folders of bundles that lie in a bundle's folder, relative to it: their files are theirs."""
    found = (one for one in others if one and is_within(one, folder) and not is_within(folder, one))
    return tuple(sorted({os.path.relpath(*map(os.path.realpath, (one, folder))) for one in found}))


def _folders(
    snapshot: Snapshot, request: ProveRequest, every: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """The folder of each bundle that is proved; and those that have none on this host."""
    declared = tuple(request.project.bundles) if request.project else ()
    names = request.bundles or declared or tuple(snapshot.table.names("bundle")) or tuple(every)
    found: dict[str, str] = {}
    skipped = []
    for name in dict.fromkeys(names):
        snapshot.resolve(name)
        folder = every.get(name, "")
        if folder and Path(folder).is_dir():
            found[name] = folder
        elif not request.bundles:
            skipped.append(name)
        else:
            where = folder or "envman.toml and Airflow's configuration do not say where it is"
            remedy = f"Write it into envman.toml: [bundles] {name} = {{ environment = ..., path = ... }}"
            raise UsageError(Problem(f"bundle '{name}'", f"is no folder of this host: {where}", remedy))
    return found, skipped


def _declared(project: Project) -> dict[str, str]:
    """The folders of the bundles that envman.toml declares; empty where it does not say."""
    paths = {name: bundle.path for name, bundle in project.bundles.items()}
    return {
        name: os.path.normpath(Path(project.directory, Path(path).expanduser())) if path else ""
        for name, path in paths.items()
    }


def _old(pair: ProofPair) -> str:
    return f"{pair.bundle} of {pair.old.inside.where}"


def _new(pair: ProofPair) -> str:
    return f"{pair.bundle} of {pair.new.inside.where}"


def _rest(live: LiveAirflow, folders: Mapping[str, str], temporary: Path) -> dict[str, ProofSide]:
    """The live folders that may have files which no bundle has."""
    return {
        folder: live.side(name, folder, Path(temporary, f"rest-{number}"))
        for number, (name, folder) in enumerate(live.folders.items())
        if not any(is_within(folder, one) for one in folders.values())
    }


def _run(
    pairs: list[ProofPair],
    rest: Mapping[str, ProofSide],
    timeout: float | None,
    ask: Callable[[ProofSide, ProofAsk], ProofRun],
) -> dict[str, ProofRun]:
    """Have all parsed, as many at once as there are processors."""
    jobs = {folder: _Job(side, ProofAsk(parse=False)) for folder, side in rest.items()}
    for pair in pairs:
        jobs[_old(pair)] = _Job(pair.old, ProofAsk(timeout=timeout))
        jobs[_new(pair)] = _Job(pair.new, ProofAsk(timeout=timeout))
    outcomes = side_by_side(jobs, lambda name: ask(jobs[name].side, jobs[name].asked), default_jobs(), silent)
    outcomes.raise_errors()
    return dict(zip(jobs, outcomes.results, strict=True))


def _left_out(
    rest: Mapping[str, ProofSide], runs: Mapping[str, ProofRun], folders: Mapping[str, str]
) -> list[str]:
    """Files in which the live Airflow finds Dags and that are in no bundle."""
    files = [str(Path(folder, file)) for folder in rest for file in runs[folder].listed]
    return sorted(file for file in files if not any(is_within(file, folder) for folder in folders.values()))
