"""One source after another through its build: what its backend may leave, ask for and reach."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from envman.build import built_wheel, source_builds, source_cache
from envman.build.interpreters import discover
from envman.build.machine import ThisMachine
from envman.build.quarantine import Guest, GuestProcesses, GuestRights, Quarantine
from envman.build.source_backend import UnfitError, requirements, static_metadata
from envman.build.source_builds import SourceBuilds, SourceOptions, SourceTools
from envman.build.source_cache import BuiltWheel, SourceCache
from envman.build.source_metadata import declared, source_metadata
from envman.confine.step import identity
from envman.errors import BuildError, Problem
from envman.lock.source_only import SourceFile
from envman.system.events import Event, Stage
from envman.system.processes import Processes
from envman.uv.runner import Source, Uv
from tests.confine.test_step import PYTHON as EVERYBODYS
from tests.sdists import make_sdist, make_tarball

SAYS = """
def files():
    import json, os, sys
    done = []
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
            done.append(name)
        except OSError:
            pass
    said = {"done": done, "uid": os.getuid(), "variables": dict(os.environ), "time": os.stat("PKG-INFO").st_mtime}
    return {"said/__init__.py": "", "said.json": json.dumps(said)}
"""
NOTHING = "ATTEMPTS = {}" + SAYS


class Fallback(ThisMachine):
    """A machine on which a build has these rights."""

    def __init__(self, rights: GuestRights) -> None:
        super().__init__()
        self._rights = rights

    def quarantine(self, guest: Guest, variables: Mapping[str, str]) -> Quarantine:
        other = identity("nobody") if self._rights is GuestRights.ANOTHERS else None
        processes = GuestProcesses(guest, self._rights, other, shutil.which("bwrap") or "")
        return Quarantine(processes, self._rights, ("no namespaces",), other)


@dataclass
class Workshop:
    """Where sources are built, in a folder that everybody may look into."""

    folder: Path
    machine: ThisMachine = field(default_factory=ThisMachine)
    python: str = os.path.realpath(sys.executable)
    said: list[Event] = field(default_factory=list)

    def source(self, archive: Path, **known: str) -> SourceFile:
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        name = archive.name.partition("-")[0]
        return SourceFile(
            **{"name": name, "version": "1.0", "url": f"file://{archive}", "sha256": digest, **known}
        )

    def builds(self, source: Source | None = None, **options: object) -> SourceBuilds:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        folder.chmod(0o755)
        interpreter = discover(self.python, os.environ).found[0]
        uv = Uv(Processes(), source or Source())
        tools = SourceTools(Processes(), uv, self.machine, self.said.append)
        return SourceBuilds(folder, SourceOptions("env_a", interpreter, **options), tools)  # type: ignore[arg-type]

    def wheel(self, backend: str, **options: object) -> BuiltWheel:
        archive = make_sdist(self.folder / "sdists", "said", backend=backend)
        return self.builds(**options).wheel(self.source(archive))

    def told(self, backend: str, **options: object) -> dict[str, object]:
        wheel = self.wheel(backend, **options)
        shutil.unpack_archive(wheel.path, self.folder / "told", "zip")
        told: dict[str, object] = json.loads((self.folder / "told/said.json").read_text())
        return told


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        monkeypatch.setenv("ENVMAN_CACHE_DIR", f"{name}/cache")
        yield Workshop(Path(name))


def test_it_has_the_machines_variables_and_those_of_the_spec(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_INDEX_TEAM_PASSWORD", "hunter2")
    monkeypatch.setenv("AIRFLOW_CONN_DB", "hunter2")
    told = workshop.told(NOTHING, variables={"CFLAGS": "-O1"})
    variables = told["variables"]
    assert isinstance(variables, dict)
    assert variables["CFLAGS"] == "-O1"
    assert "hunter2" not in variables.values()
    assert variables["HOME"] == "/tmp"
    assert told["uid"] == identity("nobody").uid
    assert told["time"] == 1_700_000_000
    assert ["in a sandbox" in event.detail for event in workshop.said if event.detail.startswith("said")] == [
        True,
        True,
    ]


NETWORK = """
import socket
ATTEMPTS = {"network": lambda: socket.create_connection(("127.0.0.1", %d), 5).close()}
"""


@pytest.mark.parametrize(("network", "done"), [((), []), (("other",), []), (("said",), ["network"])])
def test_it_has_the_network_where_the_spec_names_it(
    workshop: Workshop, network: tuple[str, ...], done: list[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        backend = NETWORK % server.getsockname()[1] + SAYS
        assert workshop.told(backend, network=network)["done"] == done


RESULTS = {
    "nothing": ("return 'said-1.0-py3-none-any.whl'", "0 files"),
    "another package's": ("return wheel(wheel_directory, files(), info='other-1.0')", "is not said 1.0"),
    "another version": ("return wheel(wheel_directory, files(), info='said-2.0')", "is not said 1.0"),
    "for another machine": (
        "return wheel(wheel_directory, files(), tag='cp27-none-win32')",
        "another machine",
    ),
    "two": (
        "wheel(wheel_directory, files(), info='other-1.0'); return wheel(wheel_directory, files())",
        "2 files",
    ),
    "a link": (
        "os.symlink('/etc/shadow', wheel_directory + '/said-1.0-py3-none-any.whl'); return ''",
        "is a link",
    ),
    "a link to a link's folder": (
        "os.rmdir(wheel_directory); os.symlink('/etc', wheel_directory); return ''",
        "is a link",
    ),
    "a folder": ("os.mkdir(wheel_directory + '/said-1.0-py3-none-any.whl'); return ''", "is no file"),
    "a pipe": ("os.mkfifo(wheel_directory + '/said-1.0-py3-none-any.whl'); return ''", "is no file"),
    "two names of a file": (
        "name = wheel(wheel_directory, files()); os.link(wheel_directory + '/' + name, wheel_directory + '/../copy'); return name",
        "no file of its own",
    ),
    "no wheel": (
        "open(wheel_directory + '/said-1.0-py3-none-any.whl', 'w').close(); return ''",
        "can't be read",
    ),
    "no wheel's name": ("open(wheel_directory + '/x', 'w').close(); return ''", "is no wheel"),
    "a failure": (
        "raise RuntimeError('gcc: \\x1b[31mnot found')",
        "gcc: \N{REPLACEMENT CHARACTER}[31mnot found",
    ),
    "an end": ("os._exit(0)", "gave no answer"),
    "no JSON": ("import atexit; return {1, 2}", "JSON"),
    "an answer that is none": (
        "f = os.path.dirname(wheel_directory); open(f + '/output.json', 'w').write('[' * 99999); os._exit(0)",
        "gave no answer",
    ),
    "an answer that is a link": (
        "f = os.path.dirname(wheel_directory); os.symlink('/etc/passwd', f + '/output.json'); os._exit(0)",
        "gave no answer",
    ),
}


@pytest.mark.parametrize(("code", "what"), RESULTS.values(), ids=list(RESULTS))
def test_what_is_not_the_one_wheel_is_refused(workshop: Workshop, code: str, what: str) -> None:
    head = "def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):\n    "
    with pytest.raises(BuildError, match=r"said 1\.0: can't be built") as raised:
        workshop.wheel(head + code + "\n")
    assert what in str(raised.value)
    assert not list((workshop.folder / "cache/wheels").glob("*"))


def test_a_wheel_that_is_too_large_is_refused(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built_wheel, "LARGEST_WHEEL", 100)
    with pytest.raises(BuildError, match="larger than 100 bytes"):
        workshop.wheel("")


def test_a_wheel_that_unpacks_to_too_much_is_refused(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built_wheel, "MOST_BYTES", 100_000)
    backend = "def files():\n    return {'said/__init__.py': '#' * 200_000}\n"
    with pytest.raises(BuildError, match="unpacks to more than"):
        workshop.wheel(backend)


def test_a_wheel_is_built_once_for_all_who_build_it_alike(workshop: Workshop) -> None:
    first = workshop.wheel(NOTHING)
    assert workshop.wheel(NOTHING) == first
    assert len([one for one in workshop.said if one.detail.startswith("said 1.0 from")]) == 2  # of one build
    assert workshop.wheel(NOTHING, variables={"CFLAGS": "-O1"}) != first
    assert workshop.wheel(NOTHING, network=("said",)).path != first.path
    for kept in (first.path, *(workshop.folder / "cache").rglob("*.tar.gz")):
        status = kept.stat()
        assert (status.st_uid, status.st_mode & 0o022) == (os.getuid(), 0)


def test_a_kept_wheel_that_was_changed_is_built_again(workshop: Workshop) -> None:
    first = workshop.wheel(NOTHING)
    first.path.write_bytes(first.path.read_bytes() + b"POISON")
    (workshop.folder / "cache/sources").rename(workshop.folder / "gone")
    again = workshop.wheel(NOTHING)
    assert hashlib.sha256(again.path.read_bytes()).hexdigest() == again.sha256
    assert b"POISON" not in again.path.read_bytes()


def test_another_file_than_the_locked_one_is_not_looked_into(workshop: Workshop) -> None:
    archive = make_sdist(workshop.folder / "sdists", "said")
    locked = workshop.source(archive)
    archive.write_bytes(b"another one")
    with pytest.raises(BuildError, match="and not the locked sha256:"):
        workshop.builds().wheel(locked)
    assert not list((workshop.folder / "cache/sources").glob("*"))


@pytest.mark.parametrize(
    "url", ["file:///a/b-1.0.whl", "file:///a/..", "file:///a/-x.tar.gz", "file:///a/b%2F.."]
)
def test_a_source_has_the_name_of_one(workshop: Workshop, url: str) -> None:
    file = SourceFile("said", "1.0", url, "0" * 64)
    with pytest.raises(BuildError, match="no file of a source"):
        workshop.builds().wheel(file)


def test_offline_nothing_is_fetched(workshop: Workshop) -> None:
    file = SourceFile("said", "1.0", "https://127.0.0.1:1/said-1.0.tar.gz", "0" * 64)
    with pytest.raises(BuildError, match="--offline forbids"):
        workshop.builds(Source(offline=True)).wheel(file)
    with pytest.raises(BuildError, match="can't be fetched"):
        workshop.builds().wheel(file)


@pytest.mark.parametrize(
    "lines",
    [
        ["--index-url=https://evil.example"],
        ["-r /etc/shadow"],
        ["a\n-r /etc/shadow"],
        ["a @ file:///etc"],
        [1],
        "setuptools",
        {"a": 1},
        ["a"] * 999,
        ["bar; " + "(" * 5000],
        ["bar>=1\x1b[31m"],
    ],
)
def test_what_a_build_asks_for_is_requirements_alone(lines: object) -> None:
    with pytest.raises(UnfitError):
        requirements(lines)


def test_what_its_backend_asks_for_besides_is_no_option_either(workshop: Workshop) -> None:
    backend = "def get_requires_for_build_wheel(config_settings=None):\n    return ['-r /etc/passwd']\n"
    with pytest.raises(BuildError, match="which is no requirement"):
        workshop.wheel(backend)


def test_a_build_that_asks_for_what_has_no_wheel_says_so(workshop: Workshop) -> None:
    make_sdist(workshop.folder / "sdists", "tool")
    text = '[build-system]\nrequires = ["tool"]\nbuild-backend = "tool"\n'
    archive = make_sdist(workshop.folder / "sdists", "said", files={"pyproject.toml": text})
    source = Source(wheelhouse=str(workshop.folder / "sdists"))
    with pytest.raises(BuildError, match=r"what its build asks for: (.|\n)*no usable wheels"):
        workshop.builds(source).wheel(workshop.source(archive))


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"pyproject.toml": "[build-system"}, "can't be read"),
        ({"pyproject.toml": "[build-system]\nrequires = 1\n"}, "no list of requirements"),
        ({"pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "none"\n'}, "can't be imported"),
        (
            {
                "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "x"\nbackend-path = ["/etc"]\n'
            },
            "not in it",
        ),
        (
            {
                "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "x"\nbackend-path = ["../.."]\n'
            },
            "not in it",
        ),
    ],
)
def test_a_source_that_says_nothing_sensible_is_refused(
    workshop: Workshop, files: dict[str, str], what: str
) -> None:
    archive = make_sdist(workshop.folder / "sdists", "said", files=files)
    with pytest.raises(BuildError, match=what):
        workshop.builds().wheel(workshop.source(archive))


def test_one_without_any_build_is_refused(workshop: Workshop) -> None:
    archive = make_tarball(workshop.folder / "said-1.0.tar.gz", [("said-1.0/x.py", "")])
    with pytest.raises(BuildError, match=r"neither a pyproject.toml nor a setup.py"):
        workshop.builds().wheel(workshop.source(archive))


def test_as_nobody_without_a_sandbox_it_can_read_and_change_nothing_of_the_builders(
    workshop: Workshop,
) -> None:
    workshop.machine, workshop.python = Fallback(GuestRights.ANOTHERS), EVERYBODYS
    (workshop.folder / "secret").write_text("x")
    (workshop.folder / "secret").chmod(0o600)
    attempts = "ATTEMPTS = {'read': lambda: open(%r).read(), 'write': lambda: open(%r, 'w')}"
    backend = attempts % (str(workshop.folder / "secret"), str(workshop.folder / "cache/new")) + SAYS
    told = workshop.told(backend)
    assert (told["done"], told["uid"]) == ([], identity("nobody").uid)


def test_with_the_builders_rights_it_warns(workshop: Workshop) -> None:
    workshop.machine = Fallback(GuestRights.BUILDERS)
    workshop.wheel(NOTHING)
    warnings = {event.detail for event in workshop.said if event.warning}
    (warning,) = warnings
    assert "with the builder's rights, over other environments, too (no namespaces)" in warning


@pytest.mark.parametrize("rights", [GuestRights.ANOTHERS, GuestRights.BUILDERS])
def test_where_a_sandbox_is_required_it_is_not_built_without(workshop: Workshop, rights: GuestRights) -> None:
    workshop.machine = Fallback(rights)
    backend = f"open({str(workshop.folder / 'ran')!r}, 'w').close()\n"
    with pytest.raises(BuildError, match="no sandbox can be had"):
        workshop.wheel(backend, sandbox_required=True)
    assert not (workshop.folder / "ran").exists()


SETUID = """
def files():
    import shutil
    for name in ("program", "../call-2/program"):
        shutil.copy("/bin/true", name)
        os.chmod(name, 0o6777)
    os.makedirs("open/for/all"); os.chmod("open", 0o777)
    return {"said/__init__.py": ""}
"""


def found_by(user: str, folder: Path, *what: str) -> list[str]:
    """What `find` finds as a user of the machine's."""
    who = identity(user) if user != "root" else None
    rights = {"user": who.uid, "group": who.gid, "extra_groups": who.groups} if who else {}
    words = ["find", str(folder), *what]
    return subprocess.run(words, capture_output=True, text=True, check=False, **rights).stdout.split()  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(
    ("machine", "strangers"),
    [
        (ThisMachine(), ("daemon", "nobody")),
        (Fallback(GuestRights.SANDBOXED), ("daemon", "nobody")),  # root's without any capability
        (Fallback(GuestRights.ANOTHERS), ("daemon",)),
        (Fallback(GuestRights.BUILDERS), ("daemon", "nobody")),
    ],
    ids=["sandboxed", "sandboxed as the builder", "as another user", "with the builder's rights"],
)
def test_what_a_build_writes_is_within_reach_of_no_other_user(
    workshop: Workshop, machine: ThisMachine, strangers: tuple[str, ...]
) -> None:
    """A program with its owner's rights would give a stranger the builder's; nobody's files are others', too."""
    workshop.machine, workshop.python = machine, EVERYBODYS
    wheel = workshop.wheel(SETUID)
    assert len(found_by("root", workshop.folder, "-perm", "/6000", "-type", "f")) == 2
    assert found_by("daemon", workshop.folder, "-name", "requires-*")  # which it may look at
    for stranger in strangers:
        assert found_by(stranger, workshop.folder, "-perm", "/6000") == []
        assert found_by(stranger, workshop.folder, "-writable", "-not", "-type", "l") == []
    assert wheel.path.stat().st_mode & 0o7777 == 0o644


def test_its_metadata_is_its_own_or_what_its_backend_makes(workshop: Workshop) -> None:
    """Static metadata runs nothing; a backend with the hook makes it, one without builds its wheel."""
    folder = workshop.folder / "sdists"
    archive = make_sdist(folder, "said", requires=["six"], backend="raise SystemExit\n")
    assert "Requires-Dist: six\n" in workshop.builds().metadata(workshop.source(archive))
    assert [event for event in workshop.said if "from source" in event.detail] == []
    files = {"PKG-INFO": "Metadata-Version: 1.0\nName: said\nVersion: 1.0\n"}
    archive = make_sdist(folder, "said", requires=["attrs"], files=files)
    assert "Requires-Dist: attrs\n" in workshop.builds().metadata(workshop.source(archive))
    hook = (
        "def prepare_metadata_for_build_wheel(folder, config_settings=None):\n"
        "    os.mkdir(folder + '/said-1.0.dist-info')\n"
        "    with open(folder + '/said-1.0.dist-info/METADATA', 'w') as stream:\n"
        "        stream.write('Requires-Dist: hooked\\n')\n"
        "    return 'said-1.0.dist-info'\n"
    )
    archive = make_sdist(folder, "said", backend=hook, files=files)
    assert workshop.builds().metadata(workshop.source(archive)) == "Requires-Dist: hooked\n"


def test_metadata_that_is_a_link_is_none(workshop: Workshop) -> None:
    hook = (
        "def prepare_metadata_for_build_wheel(folder, config_settings=None):\n"
        "    os.mkdir(folder + '/said-1.0.dist-info')\n"
        "    os.symlink('/etc/passwd', folder + '/said-1.0.dist-info/METADATA')\n"
        "    return 'said-1.0.dist-info'\n"
    )
    archive = make_sdist(workshop.folder / "sdists", "said", backend=hook, files={"PKG-INFO": "x"})
    with pytest.raises(BuildError, match="is a link"):
        workshop.builds().metadata(workshop.source(archive))


EXTENSION = r"""
def files():
    import subprocess, sysconfig
    code = '#include <Python.h>\nstatic struct PyModuleDef m = {PyModuleDef_HEAD_INIT, "ext"};\n'
    code += 'PyMODINIT_FUNC PyInit_ext(void) { PyObject *o = PyModule_Create(&m); PyModule_AddIntConstant(o, "FLAG", FLAG); return o; }\n'
    with open("ext.c", "w") as stream:
        stream.write(code)
    words = ["gcc", "-shared", "-fPIC", *os.environ["CFLAGS"].split(), "-I", sysconfig.get_path("include"), "ext.c", "-o", "ext.so"]
    subprocess.run(words, check=True)
    with open("ext.so", "rb") as stream:
        return {"ext" + sysconfig.get_config_var("EXT_SUFFIX"): stream.read()}

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    import sys, sysconfig
    this = "cp%d%d" % sys.version_info[:2]
    platform = sysconfig.get_platform().replace("-", "_")
    return wheel(wheel_directory, files(), tag=this + "-" + this + "-" + platform)
"""


def test_a_c_extension_is_compiled(workshop: Workshop) -> None:
    wheel = workshop.wheel(EXTENSION, variables={"CFLAGS": "-DFLAG=42"})
    shutil.unpack_archive(wheel.path, workshop.folder / "unpacked", "zip")
    code = (
        f"import sys; sys.path.insert(0, {str(workshop.folder / 'unpacked')!r}); import ext; print(ext.FLAG)"
    )
    assert Processes().run([sys.executable, "-c", code], {}, "/").stdout == "42\n"


LEFT_BEHIND = {
    "nested folders": "at = os.getcwd()\nfor _ in range(4000):\n    os.mkdir('d'); os.chdir('d')\nos.chdir(at)\n",
    "folders without rights": "os.makedirs('a/b/c'); os.chmod('a/b', 0); os.chmod('a', 0)\n",
    "links out of closed folders": "os.mkdir('a'); os.symlink({victim!r}, 'a/l'); os.chmod('a', 0)\n",
    "names that are no text": "os.mkdir(b'\\xff\\xfe'); open(b'\\xff\\xfe/\\n', 'w').close()\n",
}


@pytest.mark.parametrize("code", LEFT_BEHIND.values(), ids=list(LEFT_BEHIND))
def test_what_a_build_leaves_is_removed_whatever_it_is(workshop: Workshop, code: str) -> None:
    victim = workshop.folder / "victim"
    victim.touch(0o640)
    backend = (
        "def prepare_metadata_for_build_wheel(folder, config_settings=None):\n"
        f"    exec({code.format(victim=str(victim))!r})\n"
        "    return ''\n"
    )
    archive = make_sdist(workshop.folder / "sdists", "said", backend=backend, files={"PKG-INFO": "x"})
    tools = SourceTools(Processes(), Uv(Processes(), Source()), workshop.machine, workshop.said.append)
    options = SourceOptions("env_a", discover(workshop.python, os.environ).found[0])
    with source_metadata(options, tools, ">=3.10") as reader:
        folder = reader._builds._folder
        with pytest.raises(BuildError, match="made no metadata"):
            reader._builds.metadata(workshop.source(archive))
    assert not folder.exists()
    assert victim.stat().st_mode & 0o777 == 0o640


def test_a_requirement_that_its_parser_can_not_bear_is_none() -> None:
    nested = "(" * 100 + "python_version > '3'" + ")" * 100
    assert requirements([f"bar; {nested}"])
    depth, limit = len(inspect.stack()), sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 60)
    try:
        with pytest.raises(UnfitError, match="no requirement"):
            requirements([f"bar; {nested}"])
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    ("version", "believed"),
    [
        ("2.2", True),
        ("2.10", True),
        ("3.0", True),
        ("2.1", False),
        ("\N{SUPERSCRIPT TWO}.2", False),
        ("\N{ARABIC-INDIC DIGIT TWO}.2", False),
        ("9" * 5000 + ".0", False),
        ("", False),
        ("2", False),
        ("2.2.2.2", False),
    ],
)
def test_metadata_is_believed_by_its_version(tmp_path: Path, version: str, believed: bool) -> None:
    (tmp_path / "PKG-INFO").write_text(f"Metadata-Version: {version}\nName: a\n", encoding="utf-8")
    assert (static_metadata(tmp_path) is not None) is believed


UNREADABLE = {
    "a version of 5,000 digits": f"Name: said\nVersion: {'9' * 5000}\n",
    "nested messages": "Content-Type: message/rfc822\n\n" * 20_000,
    "nested markers": "Name: said\nVersion: 1.0\nRequires-Dist: bar; " + "(" * 5000 + "\n",
    "an escape": "Name: said\nVersion: 1.0\nRequires-Dist: \x1b[31mbar\x1b]0;title\x07\n",
    "an extra's escape": "Name: said\nVersion: 1.0\nProvides-Extra: \x1b[31mbar\n",
    "another name with an escape": "Name: \x1b[2J\nVersion: 1.0\n",
    "another name with a byte order": "Name: \u202esaid\nVersion: 1.0\n",
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=list(UNREADABLE))
def test_metadata_that_can_not_be_read_is_an_error_that_can_be_shown(text: str) -> None:
    with pytest.raises(BuildError, match="its metadata") as raised:
        declared(SourceFile("said", "1.0", "file:///said-1.0.tar.gz", "0" * 64), text)
    assert all(one.isprintable() for one in str(raised.value) if one != "\n")


@pytest.mark.parametrize(
    "toml",
    [
        'requires = []\nbuild-backend = "\\u001b[31mred"\n',
        'requires = ["\\u001b]0;title\\u0007"]\n',
        'requires = []\nbuild-backend = "x"\nbackend-path = ["\\u001b[31m"]\n',
        'requires = ["bar @ file:///\\u001b[31m"]\n',
    ],
)
def test_what_a_source_says_of_its_build_is_shown_without_escapes(workshop: Workshop, toml: str) -> None:
    files = {"pyproject.toml": f"[build-system]\n{toml}"}
    archive = make_sdist(workshop.folder / "sdists", "said", files=files)
    with pytest.raises(BuildError, match="can't be built") as raised:
        workshop.builds().wheel(workshop.source(archive))
    assert "\x1b" not in str(raised.value)
    assert all("\x1b" not in event.detail for event in workshop.said)


def test_what_is_told_of_a_package_is_printable() -> None:
    assert Event("env_a", Stage.INSTALLING, "a\x1b[31m\tb").detail == "a\N{REPLACEMENT CHARACTER}[31m\tb"
    assert Problem("\x07", "\x9b31m", "\r").key() == (
        "\N{REPLACEMENT CHARACTER}",
        "\N{REPLACEMENT CHARACTER}31m",
        "\N{REPLACEMENT CHARACTER}",
    )


HANGS = {
    "waits": "import signal; signal.pause()",
    "is deaf": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()",
    "ends well": "import signal; signal.signal(signal.SIGTERM, lambda *_: os._exit(0)); signal.pause()",
    "prints": "print('x' * 1000) or [print('x' * 1000) for _ in iter(int, 1)]",
}


@pytest.mark.parametrize("rights", [GuestRights.SANDBOXED, GuestRights.ANOTHERS])
@pytest.mark.parametrize("code", HANGS.values(), ids=list(HANGS))
def test_a_build_that_hangs_is_ended(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, code: str, rights: GuestRights
) -> None:
    monkeypatch.setattr(source_builds, "LONGEST_CALL", 3.0)
    workshop.machine = ThisMachine() if rights is GuestRights.SANDBOXED else Fallback(rights)
    workshop.python = EVERYBODYS
    with pytest.raises(BuildError, match=r"build_wheel was ended, as it took more than 0\.05 minutes"):
        workshop.wheel(f"def files():\n    {code}\n")


def test_what_another_build_keeps_meanwhile_stays(workshop: Workshop) -> None:
    """Two builds of one source: the second one finds the place taken, and takes nothing away."""
    cache = SourceCache(workshop.folder / "cache", Source())
    first = workshop.wheel(NOTHING)
    key = first.path.parent.parent.name
    kept = (first.path.stat().st_ino, first.path.parent.parent.stat().st_ino)
    archive = make_sdist(workshop.folder / "other", "said", backend=NOTHING + "# another\n")
    result = workshop.folder / "result"
    result.mkdir()
    shutil.copy(first.path, result)
    assert cache.keep(key, result, lambda *_: None) == first
    assert (first.path.stat().st_ino, first.path.parent.parent.stat().st_ino) == kept
    cache.keep_text("key", "first")
    (text,) = (workshop.folder / "cache/metadata/key").iterdir()
    number = text.stat().st_ino
    assert cache.keep_text("key", "second") == "second"
    assert (text.stat().st_ino, cache.text("key")) == (number, "first")
    assert cache.source(workshop.source(archive)).is_file()


@pytest.mark.parametrize("what", ["source", "text", "wheel"])
def test_what_is_damaged_is_replaced_unless_another_has_done_so(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The other build replaces it between this one's look and its own file."""
    wheel, folder = workshop.wheel(NOTHING), workshop.folder / "cache"
    key = wheel.path.parent.parent.name
    cache, result = SourceCache(folder, Source()), workshop.folder / "result"
    cache.keep_text(key, "text")
    result.mkdir()
    shutil.copy(wheel.path, result)
    file = workshop.source(workshop.folder / "sdists/said-1.0.tar.gz")
    ways: dict[str, Callable[[SourceCache], object]] = {
        "source": lambda one: one.source(file),
        "text": lambda one: one.keep_text(key, "text"),
        "wheel": lambda one: one.keep(key, result, lambda *_: None),
    }
    place = {"source": folder / "sources" / file.sha256, "text": folder / "metadata" / key}
    at = place.get(what, folder / "wheels" / key)
    (damaged,) = (path for path in at.rglob("*") if path.is_file())
    damaged.write_bytes(b"damaged")
    mkdtemp, others = tempfile.mkdtemp, []

    def meanwhile(*words: Any, **named: Any) -> str:
        if not others:
            others.append(1)
            ways[what](SourceCache(folder, Source()))
            others.append(at.stat().st_ino)
        return mkdtemp(*words, **named)

    monkeypatch.setattr(source_cache.tempfile, "mkdtemp", meanwhile)
    ways[what](cache)
    assert at.stat().st_ino == others[1]
    assert damaged.read_bytes() != b"damaged"


def test_what_is_removed_while_it_is_looked_at_is_not_there(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = workshop.wheel(NOTHING)
    cache, key = SourceCache(workshop.folder / "cache", Source()), wheel.path.parent.parent.name
    cache.keep_text(key, "text")

    def gone(path: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(source_cache, "mark_used", gone)
    assert (cache.text(key), cache.wheel(key)) == (None, None)
