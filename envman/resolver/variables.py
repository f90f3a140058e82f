"""The environment variables of a process that runs inside a generation."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DROPPED = frozenset({"PYTHONHOME", "PYTHONPATH", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"})
"""Variables that would point the new interpreter at the caller's modules."""

NO_PYTHONPATH = (
    "PYTHONPATH is set, and no environment gets it: what Airflow's configuration names and only PYTHONPATH "
    "finds (a secrets backend, a policy) can't be imported there"
)
PYTHONPATH_REMEDY = (
    "Put such modules into the folder 'config' beside airflow.cfg, into the plugins folder, or into a "
    "package of the environments."
)

NO_THREADS = {
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "_RJEM_MALLOC_CONF": "background_thread:false",
}
"""Has jemalloc, as pyarrow and packages in Rust bring it, start no thread as it is loaded: none survives a
fork. What else it does is the same, and what an operator has set for it wins.
"""


NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}
"""Has an interpreter write nothing beside what it imports; a generation has its bytecode."""


def child_environment(
    caller: Mapping[str, str],
    bin_folder: str,
    keep_out: Iterable[str],
    variables: Mapping[str, str],
) -> dict[str, str]:
    """The caller's variables, less what is dropped and kept out, plus the generation and what the spec sets.

    PATH starts with the generation's bin folder; the bin folder of a virtual environment that the caller is
    in leaves it, so that no command of the caller's environment is found.
    """
    patterns = tuple(keep_out)
    child = {
        name: value for name, value in caller.items() if name not in DROPPED and not matches(name, patterns)
    }
    child.update(variables)
    child["VIRTUAL_ENV"] = bin_folder.rpartition("/")[0]
    child["PATH"] = _path(caller, bin_folder)
    return child


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of the patterns, or begins as one that ends in `*` does."""
    for pattern in patterns:
        if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])):
            return True
    return False


def _path(caller: Mapping[str, str], bin_folder: str) -> str:
    leave_out = {bin_folder}
    if caller.get("VIRTUAL_ENV"):
        leave_out.add(caller["VIRTUAL_ENV"].rstrip("/") + "/bin")
    folders = caller.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":")
    return ":".join([bin_folder, *(folder for folder in folders if folder.rstrip("/") not in leave_out)])
