"""`envman pull`: have the environments of a release on this host, and publish them."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path

from envman.errors import PolicyError, Problem, UsageError
from envman.image.oci_values import EMPTY, MANIFEST
from envman.image.referrers import EMPTY_BLOB
from envman.names import nearest
from envman.oci.image_layout import Layout
from envman.oci.skopeo import Skopeo, layout_reference
from envman.release.assembly import Assembled, Assembly, released_manifest
from envman.release.blob_sources import BlobSource, blob_source, fetch_layers, read_release
from envman.release.document import HostRecord, Release, Released
from envman.release.fitness import Host
from envman.release.known_layers import KnownLayers
from envman.release.standing import Standing, another_name
from envman.release.trusted_interpreter import check_interpreter
from envman.release.whole_table import check_records
from envman.resolver.table import Table
from envman.signing.signers import check_signed
from envman.spec.image_names import Reference
from envman.store import layout
from envman.store.failures import files_of_root
from envman.store.folder import PULL, Store
from envman.store.manifest import Manifest
from envman.store.sealing import check_published, forget_tables
from envman.store.signed import compare_files, digest, generation_statement, table_statement
from envman.store.switches import Action
from envman.system.caller import current_actor
from envman.system.events import Event, Report, Stage
from envman.system.files import remove_tree, write_atomic
from envman.system.processes import Processes
from envman.system.side_by_side import Outcomes, side_by_side


class PullStatus(str, Enum):
    """What a pull did for an environment."""

    PULLED = "pulled"
    SWITCHED = "switched"
    SIGNED = "signed"
    UNCHANGED = "unchanged"
    HELD = "held"


@dataclass(frozen=True)
class PullOutcome:
    """One environment after a pull: `fetched` layers with `fetched_bytes` came from the release, `linked`
    ones were on the host; `size` in bytes, `seconds` of this run.
    """

    environment: str
    status: PullStatus
    generation: str
    interpreter: str
    packages: int
    size: int
    fetched: int
    fetched_bytes: int
    linked: int
    seconds: float


@dataclass(frozen=True)
class PullOptions:
    """How to pull: under which policy; `fresh`: link nothing that this host has; under which name the host
    leaves a record in the registry, None for no record.
    """

    policy: str | None = None
    fresh: bool = False
    host: str | None = None


@dataclass(frozen=True)
class Pulled:
    """A release that was pulled, by its digest; `outcomes` of its environments. The table is published if
    none failed.
    """

    release: str
    outcomes: Outcomes[PullOutcome]


def pull(
    store: Store, place: Reference, names: Sequence[str], options: PullOptions, report: Report
) -> Pulled:
    """Pull environments of a release, all where none is named, and publish what is whole.

    A failed environment keeps the generation that it had, and is in the outcomes as an error; the table then
    stays as it was. What was fetched stays for the next pull. Raises UsageError, ImageError, StoreError,
    PolicyError, OSError where nothing can be pulled at all.
    """
    if options.host is not None and place.scheme != "docker":
        what = "there is no registry to leave a record in"
        raise UsageError(Problem(f"--report, {place}", what, "Drop --report, or pull from a registry."))

    def waiting() -> None:
        report(Event(str(place), Stage.WAITING, "another pull works there"))

    processes = Processes()
    with store.locked(PULL, waiting) as held:
        store.remove_leftovers()
        fetched = Path(store.root, layout.PULLED)
        source = blob_source(place, fetched, processes, (held,))
        report(Event(str(place), Stage.FETCHING, "what it consists of"))
        release_digest, release = read_release(source, str(place))
        _check_root(store, release, str(place))
        chosen = _chosen(release, names, str(place))
        _check_table(store, release, options.policy, str(place))
        with KnownLayers(store, [] if options.fresh else store.generations()) as known:
            run = _Run(store, source, release, known, Host(processes), options, report)
            outcomes = run.pulled(chosen, str(place))
        if not outcomes.errors:
            _publish_table(store, release)
            remove_tree(fetched)
    if not outcomes.errors and options.host is not None:
        _leave_record(store, place, release_digest, options.host, processes)
    return Pulled(release_digest, outcomes)


def _check_root(store: Store, release: Release, where: str) -> None:
    if release.root != store.root:
        what = (
            f"is for the root folder {release.root}, and this host's is {store.root}: scripts hold its path"
        )
        remedy = f"Pull with --root {release.root}, or build for this one: envman build --root {store.root}"
        raise UsageError(Problem(where, what, remedy))


def _chosen(release: Release, names: Sequence[str], where: str) -> dict[str, Released]:
    known = release.environments
    if unknown := [name for name in names if name not in known]:
        problems = [
            Problem(f"environment '{name}'", f"is not in {where}", nearest(name, known)) for name in unknown
        ]
        raise UsageError(problems)
    return {name: known[name] for name in (dict.fromkeys(names) or sorted(known))}


def _check_table(store: Store, release: Release, policy: str | None, where: str) -> None:
    """Raises TableFormatError, ImageError, PolicyError for a table that must not be published here."""
    check_records(Table(release.table, where), release.environments, where)
    if policy:
        signature = release.table_signature.encode() or None
        check_signed(policy, table_statement(store.root, release.table.encode()), signature)


def _publish_table(store: Store, release: Release) -> None:
    content = release.table.encode()
    if release.table_signature:
        file = Path(layout.table_signature_path(store.root, digest(content)))
        write_atomic(file, release.table_signature)
        forget_tables(store, file)
    store.publish_table(release.table)


@dataclass(frozen=True)
class _Ready:
    """An environment that can be pulled: its manifest was checked, and the host can run it."""

    name: str
    released: Released
    manifest: Manifest
    stamp: str
    lacking: tuple[str, ...]
    is_here: bool


@dataclass(frozen=True)
class _Run:
    """One pull, below the lock of all pulls."""

    store: Store
    source: BlobSource
    release: Release
    known: KnownLayers
    host: Host
    options: PullOptions
    report: Report

    def pulled(self, chosen: dict[str, Released], where: str) -> Outcomes[PullOutcome]:
        """Check all, fetch what is lacking, assemble and publish one after the other."""
        held = {name: hold for name in chosen if (hold := self._held(name))}
        free = {name: one for name, one in chosen.items() if name not in held}
        checked = side_by_side(free, lambda name: self._checked(name, free[name]), 1, self.report)
        ready = {one.name: one for one in checked.results}
        wanted = {digest for one in ready.values() for digest in one.lacking}
        layers = self.release.layers()
        size = sum(layers[digest].size for digest in wanted)
        if wanted:
            self.report(Event(where, Stage.FETCHING, f"{len(wanted)} layers, {size / 1e6:.1f} MB"))
            fetch_layers(self.source, self.release, wanted)
        done = side_by_side(ready, lambda name: self._made(ready[name]), 1, self.report)
        return Outcomes((*held.values(), *done.results), checked.errors | done.errors)

    def _held(self, name: str) -> PullOutcome | None:
        """The outcome of an environment that a hold keeps in its generation; None for any other."""
        started = time.monotonic()
        if (held := self.store.held(name)) is None:
            return None
        hold, manifest = held
        self.report(Event(name, Stage.DONE, hold.advice(name), warning=True))
        nothing, seconds = Assembled(0, 0, 0), time.monotonic() - started
        return _outcome(name, manifest, PullStatus.HELD, nothing, seconds)

    def _checked(self, name: str, released: Released) -> _Ready:
        where = f"environment '{name}'"
        manifest = released_manifest(released, where)
        self._check_signature(name, released)
        check_interpreter(manifest.interpreter.executable, self.store.root, where)
        stamp = self.host.check(manifest.interpreter, released.abi, where)
        is_here = self.store.is_whole(released.generation)
        lacking = [] if is_here else self.known.lacking(released.layers, self.store.current(name))
        return _Ready(name, released, manifest, stamp, tuple(lacking), is_here)

    def _check_signature(self, name: str, released: Released) -> None:
        """Raises PolicyError where a policy refuses what the release says of an environment."""
        if self.options.policy:
            content = released.manifest.encode()
            statement = generation_statement(self.store.root, name, released.generation, content)
            check_signed(self.options.policy, statement, released.signature.encode() or None)

    def _made(self, ready: _Ready) -> PullOutcome:
        started = time.monotonic()
        name, generation = ready.name, ready.released.generation

        def waiting() -> None:
            self.report(Event(name, Stage.WAITING, "somebody builds or pulls the same generation"))

        with (
            files_of_root(self.store.root, f"environment '{name}'"),
            self.store.locked(generation, waiting),
        ):
            standing, assembled = Standing(self.store, name, generation), None
            if not self.store.is_whole(generation):
                assembled = self._assembled(ready)
            elif self.options.fresh:
                standing.check_undamaged()
            renewed = self._check(ready, standing, is_new=assembled is not None)
            self.report(Event(name, Stage.PUBLISHING))
            switched = self.store.publish(name, generation, Action.PULL, current_actor())
        status = PullStatus.SIGNED if renewed else PullStatus.UNCHANGED
        status = PullStatus.PULLED if assembled else PullStatus.SWITCHED if switched else status
        self.report(Event(name, Stage.DONE, f"{status.value}, {generation}"))
        seconds = time.monotonic() - started
        return _outcome(name, ready.manifest, status, assembled or Assembled(0, 0, 0), seconds)

    def _assembled(self, ready: _Ready) -> Assembled:
        """Assemble a generation, under its lock. One that was here, and went since, was not fetched for."""
        name, released = ready.name, ready.released
        where = f"environment '{name}'"
        if ready.is_here:
            self.report(Event(name, Stage.FETCHING, f"{released.generation}, which went away just now"))
            lacking = set(self.known.lacking(released.layers, self.store.current(name)))
            fetch_layers(self.source, self.release, lacking)
        self.report(Event(name, Stage.INSTALLING, released.generation))
        assembly = Assembly(self.store, self.source, self.known, self.host, self.release.layers())
        assembled = assembly.make(released, ready.manifest, ready.stamp, where)
        self.known.add(released.generation)
        return assembled

    def _check(self, ready: _Ready, standing: Standing, is_new: bool) -> bool:
        """Raises StoreError or PolicyError where the generation that stands must not be published; its
        signature is there before its name is. Returns whether it has got the release's manifest.
        """
        store, name, generation = self.store, ready.name, ready.released.generation
        text, signature = ready.released.manifest.encode(), ready.released.signature
        renewed = False
        if Path(layout.manifest_path(store.root, generation)).read_bytes() == text:
            if signature:
                write_atomic(Path(layout.signature_path(store.root, name, generation)), signature)
        else:
            standing.check_same(ready.manifest)
            renewed = bool(signature) and self._renewed(ready, standing)
        if self.options.policy:
            check_published(store, name, generation, self.options.policy)
            if store.current(name) == generation:  # nothing is switched; what is started is compared then
                return renewed
            try:
                compare_files(store.root, name, generation, text)
            except PolicyError as error:
                if is_new:
                    store.discard(generation)
                remedy = _FRESH if is_new else another_name(name, " --sign KEY")
                raise PolicyError(_with_remedy(error, remedy)) from None
        return renewed

    def _renewed(self, ready: _Ready, standing: Standing) -> bool:
        """Have a generation signed as the release is; where that can't be, and the policy refuses it as it
        stands, raises PolicyError.
        """
        name = ready.name
        signatures = dict(self._signatures(ready.released.manifest))
        why = standing.why_kept(ready.released.manifest, signatures, self.known, ready.stamp)
        if not why:
            return True
        self.report(Event(name, Stage.PUBLISHING, f"keeps its manifest, and not the release's, as {why}"))
        try:
            check_published(self.store, name, ready.released.generation, self.options.policy)
        except PolicyError as error:
            what = f"{error.problems[0].what}; the release's signature can't take its place, as {why}"
            raise PolicyError(
                Problem(f"environment '{name}'", what, another_name(name, " --sign KEY"))
            ) from None
        return False

    def _signatures(self, manifest: str) -> Iterator[tuple[str, str]]:
        """Those that the release has of a manifest, for all environments that share it, and that count."""
        for name, one in self.release.environments.items():
            if one.manifest == manifest and one.signature:
                with contextlib.suppress(PolicyError):
                    self._check_signature(name, one)
                    yield name, one.signature


_FRESH = "Pull again, with none of the files that this host has: envman pull --fresh"


def _with_remedy(error: PolicyError, remedy: str) -> list[Problem]:
    """The problems of an error, with another remedy."""
    return [Problem(one.where, one.what, remedy) for one in error.problems]


def _outcome(
    name: str, manifest: Manifest, status: PullStatus, assembled: Assembled, seconds: float
) -> PullOutcome:
    return PullOutcome(
        environment=name,
        status=status,
        generation=manifest.generation,
        interpreter=manifest.interpreter.describe(),
        packages=len(manifest.packages),
        size=manifest.size,
        fetched=assembled.fetched,
        fetched_bytes=assembled.fetched_bytes,
        linked=assembled.linked,
        seconds=round(seconds, 3),
    )


def _leave_record(store: Store, place: Reference, release: str, host: str, processes: Processes) -> None:
    """Say in the registry what this host has now; raises ImageError where that can't be written."""
    record = HostRecord(
        host=host or socket.gethostname(),
        root=store.root,
        at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        release=release,
        environments={name: store.current(name) or "" for name in store.environments()},
    )
    with tempfile.TemporaryDirectory(prefix="envman-record-") as folder:
        there = Layout(Path(folder))
        there.put(EMPTY, EMPTY_BLOB)
        there.name(record.tag, there.put(MANIFEST, record.to_manifest()))
        Skopeo(processes).copy(layout_reference(there.folder, record.tag), place.with_tag(record.tag))
