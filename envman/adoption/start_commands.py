"""Change how components are started: in a systemd unit, a Compose file, values of the Helm chart. Pure.

A file is changed as text, so that all else in it stays as it is, comments too. Only what is understood is
changed; what mentions a component and is not understood is named, for a person to change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from envman.adoption.airflow_stage import Way

WORDS = {
    "scheduler": "scheduler",
    "dag-processor": "dag-processor",
    "triggerer": "triggerer",
    "worker": "celery worker",
    "edge-worker": "edge worker",
    "standalone": "standalone",
}
"""Components, and the words of Airflow's command for each."""

CHART = {
    "scheduler": "scheduler",
    "dag-processor": "dagProcessor",
    "triggerer": "triggerer",
    "worker": "workers",
}
"""The Helm chart's names of components."""

_COMPONENT = r"(?P<component>scheduler|dag-processor|triggerer|celery\s+worker|edge\s+worker|standalone)"
_PROGRAM = r"""(?:[^\s"'=;&|()\[\]]*/)?airflow|[^\s"'=;&|()]*python[\d.]*(?:\s+-[A-Za-z]+)*?\s+-m\s+airflow"""
_COMMAND = re.compile(
    rf"""(?<![\w./-])(?P<program>{_PROGRAM})\s+{_COMPONENT}(?![\w-])(?P<rest>[^"';&|\n]*)"""
)
_UNCLEAR = re.compile(rf"\bairflow\b(?:.*\s{_COMPONENT}(?![\w-])|\s*\\$)")
"""What may start a component in a way that is not understood."""

_ENTRY = re.compile(r"^(?P<begin>\s*ExecStart\s*=\s*[-@:+!|]*)(?P<command>.*)$")
_KEY = re.compile(r"^(?P<indent>\s*)(?P<key>[\w-]+):(?P<space>\s*)(?P<value>.*)$")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_ITEM = re.compile(r"^(?P<indent>\s*)-\s+(?P<value>.*?)\s*$")
_SHELLS = ("bash", "sh", "/bin/bash", "/bin/sh", "/usr/bin/bash")
LONGEST_LINE = 4000
"""Characters of a command that is looked at."""

PLAIN = re.compile(r"[\w@+=:,./-]+")
"""Paths that need no quotes, wherever a command stands."""


class StartKind(str, Enum):
    """What starts the components."""

    SYSTEMD = "systemd"
    COMPOSE = "compose"
    HELM = "helm"


@dataclass(frozen=True)
class NewCommand:
    """What takes the place of Airflow's command. `program` is envman's path there, `root` the root folder."""

    program: str
    root: str
    environment: str
    way: Way
    components: tuple[str, ...]

    def text(self, component: str, rest: str = "") -> str:
        """The command for a component, and what stood behind Airflow's."""
        if self.way is Way.SHARED:
            behind = f" --{rest}" if rest.strip() else rest  # which the next line may continue
            return f"{self.program} launch {component} --root {self.root}{behind}"
        inside = f"{self.program} exec --root {self.root} --environment {self.environment}"
        return f"{inside} -- airflow {WORDS[component]}{rest}"


@dataclass(frozen=True)
class ChangedFile:
    """A file's old and new text, the components that were found in it, and what a person has to change."""

    path: str
    kind: StartKind
    old: str
    new: str
    components: tuple[str, ...]
    by_hand: tuple[str, ...] = ()


def changed_file(path: str, kind: StartKind, text: str, command: NewCommand) -> ChangedFile:
    """The file with its components' commands changed."""
    lines = text.splitlines(keepends=True)
    editor = _Editor(lines, command)
    {
        StartKind.SYSTEMD: editor.systemd,
        StartKind.COMPOSE: editor.compose,
        StartKind.HELM: editor.helm,
    }[kind]()
    found = tuple(dict.fromkeys(editor.found))
    return ChangedFile(path, kind, text, "".join(editor.lines), found, tuple(editor.by_hand))


def _component(words: str) -> str:
    """A component by the words of Airflow's command; empty where they are none's."""
    plain = " ".join(words.split())
    return next((name for name, there in WORDS.items() if there == plain), "")


class _Editor:
    """Changes a file's lines in their places."""

    def __init__(self, lines: list[str], command: NewCommand) -> None:
        self.lines = lines
        self.found: list[str] = []
        self.by_hand: list[str] = []
        self._command = command

    def systemd(self) -> None:
        """ExecStart= of a unit, lines that continue it among them."""
        continued = False
        for number, line in enumerate(self.lines):
            entry = _ENTRY.match(line.rstrip("\n"))
            if line.lstrip().startswith(("#", ";")) or not (entry or continued):
                continue
            begin, command = (entry["begin"], entry["command"]) if entry else ("", line.rstrip("\n"))
            self._put(number, f"{begin}{self._replaced(command, number)}")
            continued = line.rstrip().endswith("\\")

    def _replace_in(self, number: int) -> None:
        self._put(number, self._replaced(self.lines[number].rstrip("\n"), number))

    def _put(self, number: int, text: str) -> None:
        """A line's new text; the last one of a file may have no end."""
        self.lines[number] = text + ("\n" if self.lines[number].endswith("\n") else "")

    def _replaced(self, text: str, number: int) -> str:
        """A command of a shell or of systemd with Airflow's replaced."""

        def new(match: re.Match[str]) -> str:
            component = _component(match["component"])
            self.found.append(component)
            if component not in self._command.components:
                return match[0]
            return self._command.text(component, match["rest"])

        if re.search(r"\benvman\b", text):
            return text
        if len(text) > LONGEST_LINE:
            self.by_hand.append(f"line {number + 1}")
            return text
        replaced = _COMMAND.sub(new, text)
        if _COMMAND.search(text) is None and _UNCLEAR.search(text):
            self.by_hand.append(f"line {number + 1}")
        return replaced

    def compose(self) -> None:
        """`command:` of a service, in each of its forms."""
        for number, line in enumerate(self.lines):
            key = _KEY.match(line.rstrip("\n"))
            if key is None or key["key"] not in {"command", "entrypoint"}:
                continue
            value = _COMMENT.sub("", key["value"]).strip()
            if value and value[0] not in "|>":
                self._inline(number, key, value)
            elif items := list(self._items(number, len(key["indent"]))):
                self._block_list(items, self._has_entrypoint(number, key))
            else:
                for below in self._below(number, len(key["indent"])):
                    self._replace_in(below)

    def _inline(self, number: int, key: re.Match[str], value: str) -> None:
        if value.startswith("[") and value.endswith("]"):
            words = [one.strip().strip("\"'") for one in value[1:-1].split(",")]
        else:
            words = value.strip("\"'").split()
        if words[:1] and words[0] in _SHELLS:
            self._replace_in(number)
            return
        if new := self._of_words(words, number, self._has_entrypoint(number, key)):
            shown = f'["bash", "-c", "{new}"]' if value.startswith("[") else f'bash -c "{new}"'
            self.lines[number] = self.lines[number].replace(value, shown, 1)

    def _of_words(self, words: list[str], number: int, has_entrypoint: bool) -> str:
        """The shell's command for the words of Airflow's; empty where nothing is to change."""
        mentioned = words[1:] if words[0].rpartition("/")[2] == "airflow" else words
        for length in (2, 1):
            component = _component(" ".join(mentioned[:length]))
            if component and length <= len(mentioned):
                self.found.append(component)
                if component not in self._command.components:
                    return ""
                rest = "".join(f" {word}" for word in mentioned[length:])
                if has_entrypoint or not PLAIN.fullmatch("".join(mentioned)):
                    self.by_hand.append(f"line {number + 1}")
                    return ""
                return f"exec {self._command.text(component, rest)}"
        return ""

    def _has_entrypoint(self, number: int, key: re.Match[str]) -> bool:
        """Whether the service of a `command:` has an entrypoint of its own: a shell may not fit behind it."""
        indent = key["indent"]
        if key["key"] == "entrypoint":
            return True
        for step in (-1, 1):
            other = number + step
            while 0 <= other < len(self.lines):
                line = self.lines[other]
                if line.strip() and len(line) - len(line.lstrip()) < len(indent):
                    break
                if line.startswith(f"{indent}entrypoint:"):
                    return True
                other += step
        return False

    def _below(self, number: int, indent: int) -> Iterator[int]:
        """The lines below a key that are its value."""
        for other in range(number + 1, len(self.lines)):
            line = self.lines[other]
            if line.strip() and len(line) - len(line.lstrip()) <= indent:
                return
            yield other

    def _items(self, number: int, indent: int) -> Iterator[tuple[int, re.Match[str]]]:
        """The items of a list below a key; they may stand as far left as the key itself."""
        for other in range(number + 1, len(self.lines)):
            item = _ITEM.match(self.lines[other].rstrip("\n"))
            if item is None or len(item["indent"]) < indent:
                return
            yield other, item

    def _block_list(self, items: list[tuple[int, re.Match[str]]], has_entrypoint: bool) -> None:
        words = [item["value"].strip("\"'") for _, item in items]
        if words[0] in _SHELLS:
            for number, _ in items:
                self._replace_in(number)
            return
        first, item = items[0]
        if new := self._of_words(words, first, has_entrypoint):
            indent = item["indent"]
            shown = [f"{indent}- {word}\n" for word in ("bash", "-c", new)]
            self.lines[first] = "".join(shown)
            for number, _ in items[1:]:
                self.lines[number] = ""

    def helm(self) -> None:
        """`args` of the chart's components: replaced where they are, else added."""
        wanted = [name for name in self._command.components if name in CHART]
        for name in wanted:
            self.found.append(name)
            key = CHART[name]
            place = next((n for n, line in enumerate(self.lines) if line.startswith(f"{key}:")), None)
            if place is None:
                self._end_line()
                self.lines.append(f"{key}:\n{self._args('  ', name)}")
                continue
            value = _COMMENT.sub("", self.lines[place].partition(":")[2]).strip()
            below = list(self._below(place, 0))
            if value == "{}":
                self.lines[place] = f"{key}:\n{self._args('  ', name)}"
            elif value or any("\t" in self.lines[n] for n in below):
                self.by_hand.append(f"{key}.args")
            else:
                self._chart_component(place, below, name)

    def _chart_component(self, place: int, below: list[int], name: str) -> None:
        filled = [n for n in below if self.lines[n].strip() and not self.lines[n].lstrip().startswith("#")]
        indent = re.match(r"\s*", self.lines[filled[0]])[0] if filled else "  "  # type: ignore[index]
        args = [n for n in filled if self.lines[n].startswith(f"{indent}args:")]
        if not args:
            self.lines[place] = f"{self.lines[place].rstrip()}\n{self._args(indent, name)}"
            return
        before = list(self.lines)
        for number in (args[0], *self._below(args[0], len(indent))):
            self._replace_in(number)
        if self.lines == before:
            self.by_hand.append(f"{CHART[name]}.args")

    def _args(self, indent: str, name: str) -> str:
        return f'{indent}args: ["bash", "-c", "exec {self._command.text(name)}"]\n'

    def _end_line(self) -> None:
        if self.lines and not self.lines[-1].endswith("\n"):
            self.lines[-1] += "\n"
