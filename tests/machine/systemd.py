"""Units of systemd in a guest."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from tests.machine.documented import Unit
from tests.machine.guest import Guest


@dataclass(frozen=True)
class Service:
    """A unit in a guest; `added` are lines of its [Service] that the docs say to add."""

    guest: Guest
    unit: Unit

    @property
    def name(self) -> str:
        return self.unit.name

    def install(self, *added: str) -> Service:
        """Write its file as the docs have it, and what is added into a file beside it."""
        self.guest.write(f"/etc/systemd/system/{self.name}", self.unit.text)
        folder = f"/etc/systemd/system/{self.name}.d"
        self.guest.ok(f"rm -rf {folder}")
        if added:
            self.guest.write(f"{folder}/added.conf", "\n".join(["[Service]", *added, ""]))
        self.guest.ok("systemctl daemon-reload")
        return self

    def control(self, verb: str) -> None:
        """Have systemd do something to it, and wait until that is done."""
        self.guest.ok(f"systemctl {verb} {self.name}")

    def shown(self, name: str) -> str:
        """One of its properties."""
        return self.guest.ok(f"systemctl show --value -p {name} {self.name}").strip()

    @property
    def cgroup(self) -> str:
        """The folder of its cgroup."""
        return f"/sys/fs/cgroup/system.slice/{self.name}"

    def processes(self) -> set[int]:
        """All processes of its cgroup and of those below."""
        text = self.guest.ok(f"find {self.cgroup} -name cgroup.procs -exec cat {{}} + 2>/dev/null || true")
        return {int(word) for word in text.split()}

    def journal(self, pattern: str) -> str:
        """A script that succeeds once the unit has said something, since it was started last."""
        invocation = f"_SYSTEMD_INVOCATION_ID=$(systemctl show --value -p InvocationID {self.name})"
        return f"journalctl -q -o cat {invocation} | grep -e {shlex.quote(pattern)}"

    def wait_for(self, what: str, script: str) -> str:
        """Wait in the guest; where it does not come, what the unit has said is told."""
        try:
            return self.guest.wait_for(what, script)
        except AssertionError as error:
            said = self.guest.run(f"journalctl -q -o cat -u {self.name} | tail -n 60").stdout
            raise AssertionError(f"{error}\n{said}") from None


def alive(guest: Guest, processes: Sequence[int] | set[int]) -> set[int]:
    """Those of some processes that are still there."""
    listed = " ".join(str(pid) for pid in processes)
    return {
        int(word) for word in guest.ok(f"for p in {listed}; do [ ! -d /proc/$p ] || echo $p; done").split()
    }
