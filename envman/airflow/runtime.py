"""What an environment's workloads run with: a value, made of one look at the world."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from envman.launch.own_component import COLD_VARIABLE
from envman.launch.purpose import Purpose, variables_for
from envman.resolver.credential import Credential
from envman.resolver.snapshot import Snapshot
from envman.resolver.variables import NO_THREADS
from envman.store import layout


@dataclass(frozen=True)
class Runtime:
    """An environment's generation, and how its interpreter is started.

    `variables` are those of its workloads; `added` are further ones that an interpreter needs at its start,
    and a forked workload does not have. `warm` says whether workloads are forked by a server, which has
    imported `preload`, too, and ends `server_idle` seconds after the last one (0: as many as usual);
    `server_memory` is the budget of all servers of the host (see server_budget.py). `user` (with a group, may
    be empty; None: the component's own) and `limits` confine its processes. `credentials` are read for each
    workload as it starts.
    """

    root: str
    environment: str
    generation: str
    python: str
    variables: Mapping[str, str]
    added: Mapping[str, str]
    warm: bool
    preload: tuple[str, ...]
    server_idle: int
    server_memory: str
    user: tuple[str, str] | None
    limits: Mapping[str, float]
    credentials: tuple[Credential, ...] = ()

    def is_confined(self) -> bool:
        """Whether its processes have a user or limits of their own."""
        return bool(self.user or self.limits)


def runtime_of(snapshot: Snapshot, purpose: Purpose, generation: str, environ: Mapping[str, str]) -> Runtime:
    """The runtime of an environment in one of its generations; `environ` are the component's variables."""
    table, environment = snapshot.table, purpose.environment
    bin_folder = f"{layout.generation_path(snapshot.root, generation)}/bin"
    variables = variables_for(snapshot, purpose, bin_folder, environ)
    # The order of a set may reach a serialized Dag (some operators' template fields do). Forks of one
    # manager share a hash seed, so a Dag stays the same from parse to parse; each interpreter would draw
    # another, and each parse make a new version. This one is the generation's: a restart keeps it.
    seed = {"PYTHONHASHSEED": str(zlib.crc32(generation.encode()))}
    return Runtime(
        root=snapshot.root,
        environment=environment,
        generation=generation,
        python=f"{bin_folder}/python",
        variables=variables,
        added={name: value for name, value in (NO_THREADS | seed).items() if name not in variables},
        warm=COLD_VARIABLE not in environ and table.is_warm(environment),
        preload=tuple(table.preload(environment)),
        server_idle=table.server_idle(environment),
        server_memory=table.server_memory(),
        user=table.user(environment),
        limits=table.limits(environment),
        credentials=tuple(table.credentials(environment)),
    )
