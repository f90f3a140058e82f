"""A script: run a program confined, as `step.py` says.

It is so short because Python compiles a script anew each time, and a module once.
"""

import sys

if __name__ == "__main__":
    sys.path.insert(0, __file__.rpartition("/envman/confine/")[0])
    from envman.confine.step import main

    del sys.path[0]  # what is installed beside envman is not this process's business
    main(sys.argv[1:])
