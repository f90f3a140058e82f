"""A script: compile source files, in the interpreter whose bytecode is wanted.

    python compiler.py JOBS.json PROCESSES

JOBS.json is a list of [source, the file name that its code objects get, destination]. It writes bytecode that
does not depend on the source's time (PEP 552, unchecked hash), and prints the sources that can't be compiled,
as a JSON list. It needs the standard library only, of Python 3.8 and newer.

The same source gives the same bytes, whatever else is compiled with it: run it with PYTHONHASHSEED=0, since
Python 3.10 writes sets in the order of their hashes.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import py_compile
import sys
import warnings

CHUNK = 64
"""Files that a process takes at a time."""

MODE = 0o644
"""Of a bytecode file, whatever the umask is: it is the same file in every environment."""


def compile_all(jobs: list[tuple[str, str, str]]) -> list[str]:
    """Compile one after the other; returns the sources that are no Python of this version."""
    warnings.simplefilter("ignore")  # about other people's code
    failed = []
    for source, name, destination in jobs:
        try:
            py_compile.compile(
                source,
                cfile=destination,
                dfile=name,
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except (py_compile.PyCompileError, SyntaxError, ValueError, RecursionError, MemoryError):
            failed.append(source)
        else:
            os.chmod(destination, MODE)  # noqa: PTH101
    return failed


def main(jobs_file: str, processes: int) -> None:
    """Share the jobs between processes; an OSError ends the script."""
    with open(jobs_file, encoding="utf-8") as stream:  # noqa: PTH123
        jobs = json.load(stream)
    chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]
    # for one chunk, too: Python 3.10 writes other bytes in a process that has imported other modules
    with concurrent.futures.ProcessPoolExecutor(processes) as pool:
        failed = list(pool.map(compile_all, chunks))
    print(json.dumps([source for sources in failed for source in sources]))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
