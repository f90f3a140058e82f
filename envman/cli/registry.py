"""Which commands there are, in the order in which one uses them, and what --help says of each in a line.

This is all that envman knows of its commands before one is chosen: importing them takes longer than most of
them run. The line of a command is the first one of its function's text, held by a test.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple


class CommandEntry(NamedTuple):
    """A command by its name below envman, or below a group of commands."""

    name: str
    line: str
    group: str = ""

    @property
    def words(self) -> str:
        """What stands behind `envman` on the command line: 'image build'."""
        return f"{self.group} {self.name}".lstrip()

    @property
    def function(self) -> str:
        """The name of the command's function, and of the module of this room in which it stands."""
        return f"{self.words.replace(' ', '_').replace('-', '_')}_command"

    def load(self) -> Callable[..., None]:
        """Import the command's module, and return its function."""
        module = import_module(f"envman.cli.{self.function}")
        loaded: Callable[..., None] = getattr(module, self.function)
        return loaded


COMMANDS = (
    CommandEntry("exec", "Replace this process with a command in a bundle's environment."),
    CommandEntry("run", "Run a command in the environment of the bundle that you stand in."),
    CommandEntry("shell", "Start a shell in a bundle's environment, whatever your own files put on PATH."),
    CommandEntry("which", "Print the path of a bundle's interpreter, or of a program in its environment."),
    CommandEntry(
        "launch",
        "Start an Airflow component whose parses, tasks and triggers run in their bundles' interpreters.",
    ),
    CommandEntry(
        "up",
        "Start a whole Airflow on this machine, to try things out: the same as `envman launch standalone`.",
    ),
    CommandEntry(
        "container-entrypoint",
        "Entrypoint of an image with several environments, for Airflow's Kubernetes and AWS executors.",
    ),
    CommandEntry(
        "init", "Write a starter: envman.toml, two small bundles with their environments, and Airflow's own."
    ),
    CommandEntry("lock", "Resolve environments into hashed locks, side by side."),
    CommandEntry("sign", "Sign locks with their specs, and envman.toml, for hosts whose policy asks for it."),
    CommandEntry("build", "Build environments from their locks alone and publish them."),
    CommandEntry(
        "publish", "Publish what envman.toml says about bundles and teams, without building anything."
    ),
    CommandEntry(
        "push",
        "Push built environments and the published table, for hosts that pull them instead of building.",
    ),
    CommandEntry(
        "pull",
        "Pull environments that were pushed, and publish them. Only what this host lacks is transferred.",
    ),
    CommandEntry("hosts", "Show which host has which generation, and which one is behind the release."),
    CommandEntry("resolve", "Say which environment and interpreter a bundle or team has, and why."),
    CommandEntry(
        "group", "Find the fewest environments that files' requirements fit into, and what splits them."
    ),
    CommandEntry("add", "Add requirements to an environment's spec, comments kept, and lock it."),
    CommandEntry("remove", "Take packages out of an environment's spec, and lock it."),
    CommandEntry("list", "List environments: Python, packages, lock, generation, size, bundles."),
    CommandEntry(
        "diff",
        "Compare the packages of two environments' locks; with one name, what runs with what is locked.",
    ),
    CommandEntry(
        "bisect",
        "Find the package whose upgrade makes a command fail, between two generations of an environment.",
    ),
    CommandEntry(
        "history", "Show which generations an environment had, when, why and by whom, newest first."
    ),
    CommandEntry("rollback", "Switch an environment back to the generation that it had before."),
    CommandEntry("hold", "Keep an environment in its current generation: builds and pulls don't switch it."),
    CommandEntry("unhold", "Lift the hold of an environment. The next build or pull switches it again."),
    CommandEntry("gc", "Remove generations that nobody needs."),
    CommandEntry(
        "prune",
        "Remove from envman's cache what no build has used for some days: images, bases, layers, bytecode.",
    ),
    CommandEntry(
        "verify", "Read every file of the current generations, and say what changed since the build."
    ),
    CommandEntry("export", "Write an environment's lock in another format."),
    CommandEntry(
        "wheelhouse", "Download an environment's locked files into a folder, for builds without a network."
    ),
    CommandEntry(
        "audit", "Find known vulnerabilities in locks, and the environments and bundles that they hit."
    ),
    CommandEntry("licenses", "List the licenses of what is installed, and find those that are not allowed."),
    CommandEntry(
        "sbom", "Print the bill of materials of an environment's current generation: CycloneDX 1.6, JSON."
    ),
    CommandEntry("doctor", "Check the whole deployment, and say what is wrong and what to do about it."),
    CommandEntry(
        "check", "Parse a bundle's Dags in its environment, exactly as Airflow's Dag processor would."
    ),
    CommandEntry(
        "test", "Test a bundle in its environment: each file's import, then its own tests; or run one Dag."
    ),
    CommandEntry(
        "sync",
        "Give editors a path to a bundle's interpreter that stays the same, and settings that name it.",
    ),
    CommandEntry(
        "preload",
        "Show what an environment's fork server preloads, or with --suggest what would be worth it.",
    ),
    CommandEntry("top", "Show the fork servers of this host: what they do, and what they use."),
    CommandEntry(
        "units", "Write systemd units, a Compose file or Helm values that start this deployment's components."
    ),
    CommandEntry(
        "airflow-config", "Print what Airflow's configuration needs for the bundles and teams of envman.toml."
    ),
    CommandEntry("schema", "Print the JSON Schema of a file, for editors and checks."),
)
IMAGE_COMMANDS = (
    CommandEntry(
        "build", "Build an image for each environment, or one for all, from the locks alone.", "image"
    ),
    CommandEntry(
        "containerfile",
        "Print a Containerfile for buildah, podman and docker with BuildKit: for a pipeline of your own.",
        "image",
    ),
    CommandEntry(
        "stage",
        "Write built environments and the launcher as they are to be in an image; for Containerfiles.",
        "image",
    ),
    CommandEntry(
        "engines",
        "Show which engines of `envman image build` work on this machine, and what the others lack.",
        "image",
    ),
    CommandEntry(
        "push",
        "Push images to the registries that their tags name. What a registry has is not sent again.",
        "image",
    ),
    CommandEntry(
        "inspect",
        "Say what is in an image: its environments with their locks and packages, its layers, its user.",
        "image",
    ),
    CommandEntry("diff", "Say what differs between two images: base, environments, packages.", "image"),
    CommandEntry("list", "List the images in envman's cache.", "image"),
)
ADOPT_COMMANDS = (
    CommandEntry(
        "init",
        "Read a live Airflow, and write a project with an environment of exactly today's versions.",
        "adopt",
    ),
    CommandEntry(
        "prove",
        "Parse every file in the live Airflow and in its bundle's environment, and say what differs.",
        "adopt",
    ),
    CommandEntry(
        "split",
        "Propose an environment for each folder, team or bundle, out of one that all share.",
        "adopt",
    ),
)
