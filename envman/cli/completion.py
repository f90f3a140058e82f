"""What a word of the command line may become, for the shell's completion.

Whatever is broken, a press of Tab writes nothing but names: no project, a damaged table and a root that can't
be read have none. Nothing is run, no spec is parsed, and no file is read but the one that holds the names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import typer

from envman.store import layout
from envman.store.root import find_project, find_root, read_table

_PLAIN_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]*")
"""What may be offered: the shells' scripts evaluate the words, and a damaged table may hold anything."""


def complete_environment(context: typer.Context, incomplete: str) -> list[str]:
    """Environments that are declared or published."""
    return _words(
        incomplete, lambda: _declared(context.params), lambda: _published(context.params, "environment")
    )


def complete_bundle(context: typer.Context, incomplete: str) -> list[str]:
    """Bundles of the published table and of Airflow's configuration."""
    return _words(incomplete, lambda: _published(context.params, "bundle"), _airflows_bundles)


def complete_team(context: typer.Context, incomplete: str) -> list[str]:
    """Teams of the published table."""
    return _words(incomplete, lambda: _published(context.params, "team"))


def complete_generation(context: typer.Context, incomplete: str) -> list[str]:
    """Generations that the environment before it on the command line had, and that are still there."""
    return _words(incomplete, lambda: _generations(context))


def complete_component(context: typer.Context, incomplete: str) -> list[str]:
    """Components of Airflow that `envman launch` starts; none where there is one already."""
    return _words(incomplete, lambda: _components(context.params))


def complete_image(incomplete: str) -> list[str]:
    """Tags of images in envman's cache."""
    return _words(incomplete, _images)


def _words(incomplete: str, *sources: Callable[[], Iterable[str]]) -> list[str]:
    """The plain words of all sources that begin so, sorted; a source that is broken has none."""
    found: set[str] = set()
    for source in sources:
        try:
            found |= {word for word in source() if word.startswith(incomplete)}
        except Exception:  # noqa: BLE001, S112  # a traceback would stand in the middle of the user's line
            continue
    return sorted(word for word in found if _PLAIN_WORD.fullmatch(word))


def _environ(options: Mapping[str, object]) -> dict[str, str]:
    project = options.get("project")
    return {**os.environ, "ENVMAN_PROJECT": str(project)} if project else {**os.environ}


def _root(options: Mapping[str, object]) -> str:
    root = options.get("root")
    return find_root(_environ(options), str(root) if root else None, ".")


def _declared(options: Mapping[str, object]) -> Iterable[str]:
    project = find_project(_environ(options), ".")
    return [path.stem for path in Path(project, "environments").glob("*.toml")] if project else []


def _published(options: Mapping[str, object], kind: str) -> Iterable[str]:
    return read_table(_root(options)).names(kind)


def _airflows_bundles() -> Iterable[str]:
    from envman.launch.airflow_configuration import AirflowConfiguration

    return AirflowConfiguration(os.environ).bundles().teams


def _generations(context: typer.Context) -> Iterable[str]:
    from envman.store.folder import Store

    root = _root(context.params)
    # behind an option without its value, click leaves the arguments unnamed
    environment = context.params.get("environment") or context.args[0]
    had = {switch.generation for switch in Store(root).history(environment)}
    return [name for name in had if os.path.isfile(layout.manifest_path(root, name))]


def _components(options: Mapping[str, object]) -> Iterable[str]:
    from envman.launch.components import COMPONENTS

    return () if options.get("component") else COMPONENTS


def _images() -> Iterable[str]:
    from envman.image.referrers import is_referrers_tag
    from envman.oci.image_layout import Layout
    from envman.system.files import cache_folder

    folder = cache_folder(os.environ) / "images"
    if not folder.is_dir():  # which a layout would make
        return ()
    return [tag for tag in Layout(folder).names() if not is_referrers_tag(tag)]
