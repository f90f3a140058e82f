"""A script: compile source files, in the interpreter whose bytecode is wanted.

    python compiler.py JOBS.json PROCESSES

JOBS.json is a list of [source, the file name that its code objects get, destination]. It writes bytecode that
does not depend on the source's time (PEP 552, unchecked hash), and prints which can't be compiled, as a JSON
list of their positions. It needs the standard library only, of Python 3.8 and newer.

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


def compile_all(jobs: list[tuple[str, str, str]]) -> list[bool]:
    """Compile one after the other; returns which are Python of this version."""
    warnings.simplefilter("ignore")  # about other people's code
    compiled = []
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
            compiled.append(False)
        else:
            os.chmod(destination, MODE)
            compiled.append(True)
    return compiled


def main(jobs_file: str, processes: int) -> None:
    """Share the jobs between processes; an OSError ends the script."""
    with open(jobs_file, encoding="utf-8") as stream:
        jobs = json.load(stream)
    chunks = [jobs[start : start + CHUNK] for start in range(0, len(jobs), CHUNK)]
    # for one chunk, too: Python 3.10 writes other bytes in a process that has imported other modules
    with concurrent.futures.ProcessPoolExecutor(processes) as pool:
        compiled = [one for chunk in pool.map(compile_all, chunks) for one in chunk]
    print(json.dumps([position for position, done in enumerate(compiled) if not done]))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
