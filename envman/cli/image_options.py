"""Options and arguments that several commands of images share."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.completion import complete_image

BaseOption = Annotated[
    str | None,
    typer.Option("--base", metavar="IMAGE", help="Base image. Default: image.base of the specs."),
]
AllInOneOption = Annotated[
    bool, typer.Option("--all-in-one", help="One image with all these environments, in one layer.")
]
ImageName = Annotated[
    str,
    typer.Argument(
        metavar="IMAGE",
        help="A tag in envman's cache, else an image in a registry or a file.",
        autocompletion=complete_image,
    ),
]
