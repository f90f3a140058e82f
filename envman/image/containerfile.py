"""A Containerfile for environments, as a person would write it: for buildah, podman, docker with BuildKit.

It keeps to what the Dockerfile front-ends of Debian 12 have: no heredocs, no `COPY --link`, no `# syntax=`.
Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from envman.image import launcher

NETRC, UV_CONFIG, CERTIFICATES, VARIABLES = "netrc", "uv-config", "certificates", "variables"
"""The secrets of a build, by the names that `--secret id=` gives to them."""

PROJECT = "/project"
TOOLS = "/opt/build"
WHERE_TO = "/image"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_PLAIN = re.compile(r"[A-Za-z0-9_./@:+-]+")


@dataclass(frozen=True)
class BaseFacts:
    """What a Containerfile needs to know of its base: user, variables and working folder as configured."""

    user: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    working_folder: str = ""

    @property
    def is_root(self) -> bool:
        """Whether its processes would run as root."""
        return (self.user or "0").partition(":")[0] in {"0", "root"}


@dataclass(frozen=True)
class Recipe:
    """What a Containerfile is made of.

    `specs` are files and folders of the build context, relative to the project, with specs and locks; `files`
    are others that the build reads. `envman` is what pip installs envman from: a requirement, or a wheel of
    the context. `virtualenv` is a folder of the context that makes virtual environments; without it the
    base's own module `venv` does. `root` is where the environments are.
    """

    environments: tuple[str, ...]
    base: str
    facts: BaseFacts
    specs: tuple[str, ...]
    files: tuple[str, ...]
    envman: str
    root: str
    epoch: int
    apt: tuple[str, ...] = ()
    virtualenv: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def containerfile_text(recipe: Recipe) -> str:
    """The Containerfile; the same recipe gives the same text."""
    stages = (_head(recipe), _base_stage(recipe), _build_stage(recipe), _final_stage(recipe))
    return "\n".join(stages)


def _head(recipe: Recipe) -> str:
    names = " ".join(recipe.environments)
    return f"""\
# Environments of envman in an image: {names}
# Made by `envman image containerfile`; change it as you like.
#
# Build it in the folder of envman.toml, after `envman lock`:
#   buildah build --layers --timestamp {recipe.epoch} --file Containerfile --tag NAME .
#   DOCKER_BUILDKIT=1 docker build --file Containerfile --tag NAME .
# Secrets are mounted while a command runs, and are in no layer. None has to be given:
#   --secret id={NETRC},src=$HOME/.netrc    names and passwords of indexes
#   --secret id={VARIABLES},src=FILE        variables as a shell reads them: UV_INDEX_COMPANY_PASSWORD='...'
#   --secret id={UV_CONFIG},src=FILE        a user's uv.toml
#   --secret id={CERTIFICATES},src=FILE     authorities to trust (PEM), behind a proxy

ARG BASE={recipe.base}
"""


def _base_stage(recipe: Recipe) -> str:
    """The base with what both other stages need; a change of a lock leaves these layers as they are."""
    lines = ["FROM ${BASE} AS base", *([] if recipe.facts.is_root else ["USER 0"])]
    if recipe.apt:
        packages = "".join(f"      {one} \\\n" for one in recipe.apt)
        lines.append(
            "RUN apt-get update \\\n"
            " && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \\\n"
            f"{packages} && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log"
        )
    if recipe.facts.is_root:
        home = _airflow_home(recipe.facts)
        user = launcher.USER
        lines += [
            "# the user of Airflow's own images; group 0 may be shared with any user that a cluster chooses",
            f"RUN getent passwd {user} > /dev/null \\\n"
            f" || echo 'airflow:x:{user}:0:Airflow:{home}:/usr/sbin/nologin' >> /etc/passwd \\\n"
            f" && mkdir -p {home} && chown {user}:0 {home} && chmod 775 {home}",
        ]
    return "\n".join(lines) + "\n"


def _build_stage(recipe: Recipe) -> str:
    names = " ".join(recipe.environments)
    is_wheel = recipe.envman.endswith(".whl")
    from_context = [one for one in (recipe.virtualenv, recipe.envman if is_wheel else "") if one]
    what = _in_context(recipe.envman) if is_wheel else '"${ENVMAN}"'
    venv = _in_context(recipe.virtualenv) if recipe.virtualenv else "-m venv"
    install = _run(
        _SECRETS,
        [f"python3 {venv} {TOOLS}", f"{TOOLS}/bin/pip install --quiet --no-input --no-compile {what}"],
    )
    build = _run(
        [*(f"type=bind,source={path},target={PROJECT}/{path}" for path in recipe.files), *_SECRETS],
        [
            f"{TOOLS}/bin/envman build {names}",
            f"{TOOLS}/bin/envman image stage {names} --to {WHERE_TO}",
        ],
    )
    argument = [] if is_wheel else [f'ARG ENVMAN="{recipe.envman}"']
    return "\n".join(
        [
            "FROM base AS build",
            "# a mounted cache is on a file system of its own, from which uv can't link",
            f"ENV HOME=/root UV_LINK_MODE=copy ENVMAN_ROOT={recipe.root}",
            "# envman in a virtual environment of its own; it does not get into the image",
            *argument,
            *(f"COPY {path} {_in_context(path)}" for path in from_context),
            install,
            "# files are as old as this, in seconds since 1970",
            f"ARG SOURCE_DATE_EPOCH={recipe.epoch}",
            f"WORKDIR {PROJECT}",
            "# copied, as buildah and podman take a step for done whatever has changed in what is mounted",
            *(f"COPY {path} {PROJECT}/{path}" for path in recipe.specs),
            "# from the locks alone, every hash checked; equal files of environments become hard links",
            build,
            "",
        ]
    )


_SECRETS = (
    "type=cache,target=/root/.cache",
    f"type=secret,id={NETRC},target=/root/.netrc",
    f"type=secret,id={UV_CONFIG},target=/root/.config/uv/uv.toml",
    f"type=secret,id={CERTIFICATES}",
    f"type=secret,id={VARIABLES}",
)

_READ_SECRETS = (
    "set -a",
    f"if [ -f /run/secrets/{CERTIFICATES} ]; then SSL_CERT_FILE=/run/secrets/{CERTIFICATES}"
    f" PIP_CERT=/run/secrets/{CERTIFICATES}; fi",
    f"if [ -f /run/secrets/{VARIABLES} ]; then . /run/secrets/{VARIABLES}; fi",
)


def _in_context(path: str) -> str:
    return f"/context/{path.rpartition('/')[2]}"


def _run(mounts: Sequence[str], commands: Sequence[str]) -> str:
    first, *others = (f"--mount={one}" for one in mounts)
    lines = [f"RUN {first}", *(f"    {one}" for one in others)]
    words = [*_READ_SECRETS, *commands]
    lines += [f"    {words[0]}", *(f" && {one}" for one in words[1:])]
    return " \\\n".join(lines)


def _final_stage(recipe: Recipe) -> str:
    facts, home = recipe.facts, _airflow_home(recipe.facts)
    known = facts.environ
    path = "$PATH" if "PATH" in known else DEFAULT_PATH
    environ = {"ENVMAN_ROOT": recipe.root, "PATH": f"{path}:{launcher.FOLDER}/bin"}
    environ |= {} if "AIRFLOW_HOME" in known else {"AIRFLOW_HOME": home}
    environ |= {"HOME": home} if facts.is_root else {}
    listed = " \\\n    ".join(f"{name}={value}" for name, value in environ.items())
    said = " \\\n      ".join(f"{name}={json.dumps(value)}" for name, value in sorted(recipe.labels.items()))
    return "\n".join(
        [
            "FROM base",
            f"COPY --from=build {WHERE_TO}{launcher.FOLDER} {launcher.FOLDER}",
            "# one COPY, one layer: hard links last within a layer (buildah 1.28, BuildKit of docker 20.10)",
            f"COPY --from=build {WHERE_TO}{recipe.root} {recipe.root}",
            f"ENV {listed}",
            f"LABEL {said}",
            *([] if facts.working_folder else [f"WORKDIR {home}"]),
            f"USER {facts.user if not facts.is_root else f'{launcher.USER}:0'}",
            f'ENTRYPOINT ["{launcher.PROGRAM}", "container-entrypoint"]',
            "CMD []",
            "",
        ]
    )


def _airflow_home(facts: BaseFacts) -> str:
    return facts.environ.get("AIRFLOW_HOME", launcher.AIRFLOW_HOME)


def is_plain(path: str) -> bool:
    """Whether a path can stand in a Containerfile as it is."""
    return _PLAIN.fullmatch(path) is not None
