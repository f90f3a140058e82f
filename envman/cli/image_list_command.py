"""`envman image list`."""

from __future__ import annotations

from envman.cli.options import (
    JsonOption,
)
from envman.cli.output import Reporter, size_text
from envman.usecases.images.image_catalog import list_images


def image_list_command(as_json: JsonOption = False) -> None:
    """List the images in envman's cache.

    Example: envman image list
    """
    reporter = Reporter("image list", as_json)
    with reporter.errors():
        outcomes = list_images()
        if as_json:
            reporter.result(outcomes)
            return
        rows = [
            (one.tag, one.problem or ", ".join(one.environments), size_text(one.size), one.digest)
            for one in outcomes
        ]
        reporter.table(("image", "environments", "size", "digest"), rows, right=("size",))
