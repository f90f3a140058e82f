"""Import modules that forks are going to share, and refuse those that a fork can't share."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import stat
import threading
from collections.abc import Callable, Iterator

AIRFLOW = (
    "airflow.dag_processing.processor",
    "airflow.dag_processing.dagbag",
    "airflow.serialization.serialized_objects",
    "airflow.models.serialized_dag",
    "airflow.models.dagwarning",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.execution_time.callback_supervisor",
)
"""What parses, tasks and callbacks begin with."""

IF_INSTALLED = (
    "airflow.providers.standard.operators.python",
    "airflow.providers.standard.operators.bash",
    "airflow.providers.standard.operators.empty",
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.providers.standard.sensors.external_task",
    "airflow.providers.standard.decorators.python",
)
"""What most Dags begin with; stock Airflow imports it into its manager, too."""


class PreloadError(Exception):
    """A module that can't be preloaded: which, and why."""


class NotImportableError(PreloadError):
    """A module that is not there, or fails."""


class MovedError(NotImportableError):
    """A module that is not where it was in its package."""


OBSERVERS = (
    "AIRFLOW__METRICS__STATSD_ON",
    "AIRFLOW__METRICS__STATSD_DATADOG_ENABLED",
    "AIRFLOW__METRICS__OTEL_ON",
    "AIRFLOW__TRACES__OTEL_ON",
)
"""What would have Airflow open connections and start threads as it is imported: each fork sets it up anew."""


@contextlib.contextmanager
def unobserved() -> Iterator[None]:
    """While inside, Airflow sends neither metrics nor traces."""
    before = {name: os.environ.get(name) for name in OBSERVERS}
    os.environ.update(dict.fromkeys(OBSERVERS, "False"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def trace() -> None:
    """In a fork: send traces where the configuration says so. `child` sends its metrics itself."""
    from airflow._shared.observability.traces import configure_otel
    from airflow.configuration import conf

    configure_otel(conf)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """While inside, nobody looks for garbage; what is there afterwards stays, and is never looked at again.

    Airflow's imports create some 200,000 objects, nearly all of which stay. Looking for garbage among them
    again and again took 14 to 18 % of a server's processor time until it was ready; this halves that.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def load(modules: list[str]) -> None:
    """Import what every workload needs, then what the spec names. Raises PreloadError.

    A spec's modules are imported with garbage collection as Python has it: nobody knows what they leave.
    """
    with unobserved(), kept():
        for module in AIRFLOW:
            with contextlib.suppress(MovedError):  # in another Airflow: each fork finds what it needs
                load_one(module)
        for module in IF_INSTALLED:
            with contextlib.suppress(NotImportableError):
                load_one(module)
    for module in modules:
        load_one(module)


def load_one(module: str) -> None:
    """Import a module; raises PreloadError where it can't be, or leaves what a fork must not inherit."""
    check_shareable(module, lambda: importlib.import_module(module))


def check_shareable(module: str, load: Callable[[], object]) -> None:
    """Load something; raises PreloadError, with this name, where it can't be, or leaves what a fork must not
    inherit.
    """
    before = descriptors_now()
    problem = None
    try:
        load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever it is: nobody else's fault
        kind = MovedError if _has_moved(module, error) else NotImportableError
        problem = kind(f"{module} can't be imported: {type(error).__name__}: {error}")
    others = [one.name for one in threading.enumerate() if one is not threading.main_thread()]
    if others or threads_survive():
        named = f" ({', '.join(others)})" if (others := others or native_threads()) else ""
        raise PreloadError(f"{module} starts a thread{named}, which no fork has; import it where it is used")
    for descriptor, (target, locked) in descriptors_now().items():
        if before.get(descriptor) == (target, locked):
            continue
        if is_socket(descriptor):
            raise PreloadError(f"{module} opens a connection, which all forks would share")
        if locked:
            raise PreloadError(f"{module} holds a lock on {target}, which all forks would share")
    if problem:
        raise problem


def _has_moved(module: str, error: BaseException) -> bool:
    """Whether it is this module, or a package that it is in, that is not there; the outermost one is."""
    name = str(error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    return "." in name and f"{module}.".startswith(f"{name}.")


def native_threads() -> list[str]:
    """The names of threads that have one of their own, not the program's."""
    names = []
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/comm", encoding="utf-8") as stream:
            names.append(stream.read().strip())
    with open("/proc/self/comm", encoding="utf-8") as stream:
        own = stream.read().strip()
    return sorted(name for name in names if name != own)


def threads_survive() -> bool:
    """Whether native threads run that don't end by themselves at a fork, as those of OpenBLAS do."""
    if len(os.listdir("/proc/self/task")) == 1:
        return False
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return len(os.listdir("/proc/self/task")) > 1


def descriptors_now() -> dict[int, tuple[str, bool]]:
    """The open descriptors: what each stands for, and whether this process holds a lock on it."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}"), is_locked(int(name))
    return found


def is_socket(descriptor: int) -> bool:
    """Whether it is a socket."""
    with contextlib.suppress(OSError):
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    return False


def is_locked(descriptor: int) -> bool:
    """Whether this process holds a lock on it."""
    with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as stream:
        return "\nlock:" in stream.read()
    return False
