"""`envman image inspect`."""

from __future__ import annotations

from envman.cli.image_options import ImageName
from envman.cli.options import (
    JsonOption,
)
from envman.cli.output import Reporter, size_text
from envman.usecases.images.image_catalog import inspect_image


def image_inspect_command(image: ImageName, as_json: JsonOption = False) -> None:
    """Say what is in an image: its environments with their locks and packages, its layers, its user.

    Example: envman image inspect registry/airflow-envs:2026-11
    """
    reporter = Reporter("image inspect", as_json)
    with reporter.errors():
        outcome = inspect_image(image)
        if as_json:
            reporter.result(outcome)
            return
        for key, value in (
            ("image", outcome.image),
            ("digest", outcome.digest),
            ("base", outcome.facts.base),
            ("envman", outcome.facts.envman),
            ("created", outcome.created),
            ("user", outcome.user or "root"),
            ("entrypoint", " ".join(outcome.entrypoint) or "-"),
            ("size", size_text(outcome.size)),
        ):
            reporter.say(f"{key:<11} {value}")
        rows = [
            (name, one.python, str(len(one.packages)), one.generation, one.lock)
            for name, one in sorted(outcome.facts.environments.items())
        ]
        reporter.table(("environment", "python", "packages", "generation", "lock"), rows, right=("packages",))
        layers = [(layer.note or "-", size_text(layer.size), layer.digest) for layer in outcome.layers]
        reporter.table(("layer", "size", "digest"), layers, right=("size",))
