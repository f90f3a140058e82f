"""A script: start one of Airflow's components, in the interpreter that runs this, with envman's hooks in it.

    python component.py dag-processor --num-runs 1

Its arguments are those of the `airflow` command. It is run by path, by `envman launch`, in the deployment's
own environment, which has no envman; the root folder of the environments stands in ENVMAN_ROOT.
"""

import sys


def make_envman_importable() -> None:
    """Make the package `envman` importable by its folder, and nothing of what is installed beside it."""
    import importlib.util

    folder = __file__.rpartition("/airflow/")[0]
    if sys.path and sys.path[0] == f"{folder}/airflow":
        del sys.path[0]
    spec = importlib.util.spec_from_file_location(
        "envman", f"{folder}/__init__.py", submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} holds no package")
    module = importlib.util.module_from_spec(spec)
    sys.modules["envman"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    make_envman_importable()

    from envman.launch.closed_process import close_process

    was_closed = close_process("airflow")

    from envman.airflow.start import main

    sys.exit(main(sys.argv[1:], was_closed))
