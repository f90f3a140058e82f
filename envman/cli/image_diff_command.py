"""`envman image diff`."""

from __future__ import annotations

from envman.cli.image_options import ImageName
from envman.cli.options import (
    JsonOption,
)
from envman.cli.output import Reporter
from envman.usecases.images.image_catalog import diff_images


def image_diff_command(old: ImageName, new: ImageName, as_json: JsonOption = False) -> None:
    """Say what differs between two images: base, environments, packages.

    Example: envman image diff registry/airflow-envs:2026-10 registry/airflow-envs:2026-11
    """
    reporter = Reporter("image diff", as_json)
    with reporter.errors():
        outcome = diff_images(old, new)
        if as_json:
            reporter.result(outcome)
        elif not outcome.changes:
            reporter.say("The same image." if outcome.same else "The same base, environments and packages.")
        else:
            rows = [
                (one.environment or "-", one.what, one.old or "-", one.new or "-") for one in outcome.changes
            ]
            reporter.table(("environment", "what", "old", "new"), rows)
