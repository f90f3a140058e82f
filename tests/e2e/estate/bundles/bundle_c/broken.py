"""Fails to import, with something on every channel."""

import logging
import sys

from airflow.sdk import DAG  # noqa: F401

print("stdout of the broken file")
print("stderr of the broken file", file=sys.stderr)
logging.getLogger("e2e").warning("structured log of the broken file")
raise RuntimeError("this file never imports")
