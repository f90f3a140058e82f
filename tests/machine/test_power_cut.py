"""The power goes at any moment of build, publish, rollback and gc; what was published is there afterwards.

Each guest boots again and again from the same disk. After each boot everything that a user relies on is looked
at, then envman goes on where it was cut off, and at a random moment of one more command the power goes again.
ENVMAN_POWER_CUTS says how many cuts, ENVMAN_POWER_CUT_SEED repeats the draws of an earlier run.
"""

from __future__ import annotations

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.machine import disk, small_project
from tests.machine.guest import ALONE, Finished, Guest

CUTS = int(os.environ.get("ENVMAN_POWER_CUTS", "12"))
SEED = int(os.environ.get("ENVMAN_POWER_CUT_SEED") or random.SystemRandom().randrange(10**6))
GUESTS = 2
"""That run side by side."""

LOOK = """
import hashlib, json, os, subprocess
from pathlib import Path

root = Path("/small")
problems, versions = [], {}
for manifest in sorted(root.glob(".gen/*/envman.json")):
    folder = manifest.parent
    if folder.name.startswith("trash-"):
        continue
    try:
        version = versions[folder.name] = json.loads(manifest.read_text())["packages"]["grid"]
        for line in (folder / "envman.files").read_text().splitlines():
            mode, digest, path = json.loads(line)
            file = folder / path
            if digest == "-":  # an empty folder
                if not file.is_dir() or any(file.iterdir()):
                    problems.append(f"{file} is no empty folder")
                continue
            content = os.readlink(file).encode() if file.is_symlink() else file.read_bytes()
            if hashlib.sha256(content).hexdigest() != digest:
                problems.append(f"{file} is altered, it has {len(content)} bytes")
        code = (
            "import grid, importlib, pkgutil\\n"
            "for one in pkgutil.iter_modules(grid.__path__):\\n"
            "    assert importlib.import_module(f'grid.{one.name}').VERSION == grid.__version__\\n"
        )
        subprocess.run([folder / "bin/python", "-c", code], check=True)
        said = subprocess.run([folder / "bin/tool"], check=True, capture_output=True, text=True).stdout.strip()
        if said != version:
            problems.append(f"{folder}/bin/tool says {said}, not {version}")
    except Exception as error:
        problems.append(f"{folder}: {type(error).__name__}: {error}")
names = {}
for name in ("env_a", "env_b"):
    generation = os.readlink(root / name).removeprefix(".gen/")
    names[name] = versions.get(generation)
    if generation not in versions:
        problems.append(f"{name} points to {generation}, which is not whole")
print(json.dumps({"problems": problems[:20], "names": names, "versions": versions,
    "table": (root / ".state/table").read_text()}))
"""


def envman(*arguments: str) -> dict[str, Any]:
    """The request for a command of envman's, by the code that is imported already."""
    code = f"import sys\nsys.argv = ['envman', *{arguments!r}]\nfrom envman.__main__ import main\nmain()\n"
    return {"code": code, "folder": small_project.PROJECT}


@dataclass
class Command:
    """A command of envman's in whose course the power may go, and what it turns a name's version into."""

    name: str
    words: tuple[str, ...]
    version: str | None = None
    bundle: str | None = None


@dataclass
class Chain:
    """One disk, and what is known to stand on it: `versions` that env_a may have, bundles that the table may."""

    image: Path
    folder: Path
    draws: random.Random
    versions: set[str | None] = field(default_factory=lambda: {"1.0"})
    bundles: set[str | None] = field(default_factory=lambda: {None})
    newest: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"build": 8.0})
    where: list[str] = field(default_factory=list)

    def go(self, cuts: int) -> None:
        """Boot, look, work and cut, so many times; and once more without a cut."""
        for cut in range(cuts + 1):
            with Guest(self.image, self.folder, ALONE) as guest:
                self.look(guest)
                self.finish_what_was_begun(guest)
                if cut < cuts:
                    self.work_until_cut(guest)

    def look(self, guest: Guest) -> None:
        """What everybody relies on, after a boot."""
        found = self.seen(guest)
        assert found["names"]["env_a"] in self.versions, self.told(found)
        assert any(self.in_table(bundle, found["table"]) for bundle in self.bundles), self.told(found)
        self.versions = {found["names"]["env_a"]}
        for words in (("verify",), ("list",)):
            self.does(guest, *words)

    def seen(self, guest: Guest) -> dict[str, Any]:
        """What stands on the disk: every generation that claims to be whole has its content, and runs."""
        guest.start({"code": LOOK})
        finished = guest.finish()
        assert finished.exit_code == 0, self.told(finished)
        found: dict[str, Any] = finished.json
        assert not found["problems"], self.told(found)
        assert found["names"]["env_b"] == "1.0", self.told(found)
        return found

    @staticmethod
    def in_table(bundle: str | None, table: str) -> bool:
        return f"bundle\t{bundle}\t" in table if bundle else "\nbundle\t" not in table

    def does(self, guest: Guest, *words: str) -> Finished:
        """Run a command of envman's that has to succeed."""
        started = time.monotonic()
        guest.start(envman(*words))
        finished = guest.finish()
        assert finished.exit_code == 0, self.told((words, finished))
        if words != ("build",) or " built " in finished.stdout:  # one that has something to do
            self.seconds[words[0]] = time.monotonic() - started
        return finished

    def told(self, what: object) -> str:
        return f"seed {SEED}, {self.folder.name}, cut {len(self.where)}: {what}\n" + "\n".join(
            self.where[-5:]
        )

    def finish_what_was_begun(self, guest: Guest) -> None:
        """The next build succeeds, whatever the last one was cut off in."""
        self.does(guest, "lock")
        done = self.does(guest, "build").stdout
        wanted = f"1.{self.newest}"
        if self.versions == {wanted} and "unchanged" in done:
            return
        self.versions = {wanted}
        found = self.seen(guest)
        assert found["names"]["env_a"] == wanted, self.told(found)

    def work_until_cut(self, guest: Guest) -> None:
        """A new version is built, and the power goes at a moment of that or of a command that follows."""
        self.newest += 1
        before = next(iter(self.versions))
        new = f"1.{self.newest}"
        guest.write(f"{small_project.PROJECT}/environments/env_a.toml", small_project.spec(new))
        bundle = f"bundle_{self.newest}"
        commands = {
            "build": Command("build", ("build",), new),
            "rollback": Command("rollback", ("rollback", "env_a"), before),
            "publish": Command("publish", ("publish",), bundle=bundle),
            "gc": Command("gc", ("gc", "--keep", "1")),
        }
        chosen = self.draws.choice(["build", "build", "rollback", "publish", "gc"])
        self.does(guest, "lock")
        if chosen != "build":
            self.does(guest, "build")
            self.versions = {new}
        if chosen == "publish":
            guest.write(f"{small_project.PROJECT}/envman.toml", small_project.settings(bundle))
        self.cut_in(guest, commands[chosen])

    def cut_in(self, guest: Guest, command: Command) -> None:
        """Begin a command, and take the power away at a random moment of it, or just afterwards."""
        moment = self.draws.random() * 1.2 * self.seconds.get(command.name, 1.0)
        self.where.append(f"{command.name} after {moment:.3f} s")
        guest.start(envman(*command.words))
        started = time.monotonic()
        line = guest.next_line(moment)
        done = line is not None
        if done:
            assert line["exit_code"] == 0, self.told(line)
            self.seconds[command.name] = time.monotonic() - started
        guest.cut()
        if command.version:
            self.versions = {command.version} if done else {*self.versions, command.version}
        if command.bundle:
            self.bundles = {command.bundle} if done else {*self.bundles, command.bundle}


def test_what_was_published_outlives_a_power_cut(small_disk: Path, tmp_path: Path) -> None:
    print(f"seed {SEED}, {CUTS} cuts")
    chains = []
    for number in range(GUESTS):
        folder = tmp_path / f"guest_{number}"
        chains.append(
            Chain(
                disk.copy_image(small_disk, folder / "disk.img"),
                folder,
                random.Random(SEED * GUESTS + number),
            )
        )
    shares = [CUTS // GUESTS + (number < CUTS % GUESTS) for number in range(GUESTS)]
    with ThreadPoolExecutor(GUESTS) as pool:
        for done in [pool.submit(chain.go, share) for chain, share in zip(chains, shares, strict=True)]:
            done.result()
    for chain in chains:
        print(chain.folder.name, chain.seconds, *chain.where, sep="\n")
