"""Writing files so that no reader, crash, power cut or full disk leaves half of one; where the cache is."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from envman.errors import EnvmanError, Problem

CACHE_VARIABLE = "ENVMAN_CACHE_DIR"


def write_atomic(path: Path, text: str | bytes, mode: int = 0o644) -> None:
    """Write a file, text as UTF-8: into a new file beside it, flushed, then renamed over the old one.

    When this returns, a power cut doesn't bring the old file back. Raises OSError; the old file, if there was
    one, is untouched unless flushing the rename itself failed.
    """
    content = text.encode() if isinstance(text, str) else text
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        if isinstance(error, OSError):  # of a full disk no name is told, and of a folder the new file's, too
            error.filename, error.filename2 = str(path), None
        raise
    sync_folder(path.parent)


def write_new(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a text file that is not there yet; its caller flushes it, with many others. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags, mode), "w", encoding="utf-8", newline="\n") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
    except OSError as error:  # of a full disk no name is told
        error.filename = str(path)
        raise


def switch_link(link: Path, target: str) -> None:
    """Point a symbolic link elsewhere by one rename that outlives a power cut; raises OSError.

    The old link is then untouched, unless flushing the rename itself failed.
    """
    temporary = link.with_name(f".{link.name}.{os.getpid()}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    temporary.symlink_to(target)
    try:
        temporary.replace(link)
    except OSError:
        temporary.unlink()
        raise
    sync_folder(link.parent)


@contextlib.contextmanager
def strangers_folder(prefix: str, above: Path | None = None) -> Iterator[Path]:
    """A new folder of this user's alone (0700) for what strangers write, gone when the context ends.

    tempfile's own ends with an error on what `remove_tree` removes, and on some Pythons its clean-up changes
    the rights of what a link leads to. Raises OSError.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=above))
    try:
        yield folder
    finally:
        remove_tree(folder)


SCRATCH = "scratch"
"""The folder of envman's cache for what is of no use once a command has ended."""


def scratch_folder(environ: Mapping[str, str]) -> contextlib.AbstractContextManager[Path]:
    """A new folder in envman's cache, where files of uv's can be linked to; gone when the context ends.

    Raises EnvmanError, OSError.
    """
    folder = cache_folder(environ) / SCRATCH
    folder.mkdir(parents=True, exist_ok=True)
    return strangers_folder("", folder)


def is_gone(path: str) -> bool:
    """Whether a file is not there; not so where this user can't see that."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it; of a link, the link alone. Raises OSError.

    What a package's build has left may be without any right, or deeper than a path can be.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except (PermissionError, RecursionError):
        _remove_flat(path)


def _remove_flat(path: Path) -> None:
    """Remove a folder by bringing each one in it up to its own level; no link of it is followed."""
    _open_to_owner(path)
    folders, number = [str(path)], 0
    while folders:
        folder = folders.pop()
        with os.scandir(folder) as entries:
            for entry in list(entries):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)  # noqa: PTH108
                    continue
                _open_to_owner(entry.path)
                number += 1
                above = f"{path}/.envman-{number}-{os.getpid()}"
                os.rename(entry.path, above)  # noqa: PTH104
                folders.append(above)
        if folder != str(path):
            os.rmdir(folder)  # noqa: PTH106
    path.rmdir()


def _open_to_owner(path: Path | str) -> None:
    """Give a folder's owner all rights to it; its name may be a link by now, which is not followed."""
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", 0o700)  # noqa: PTH101
    finally:
        os.close(descriptor)


def let_all_read(folder: Path) -> None:
    """Let the machine's other users read a folder with all that is in it, whatever the umask was.

    What is linked from elsewhere, such as uv's cache, is copied: there its rights stay. Raises OSError.
    """
    for parent, _, names in os.walk(folder):
        Path(parent).chmod(0o755)
        for path in (Path(parent, name) for name in names):
            status = path.lstat()
            wanted = stat.S_IMODE(status.st_mode) | (0o555 if status.st_mode & stat.S_IXUSR else 0o444)
            if not stat.S_ISREG(status.st_mode) or wanted == stat.S_IMODE(status.st_mode):
                continue
            if status.st_nlink > 1:
                copy = path.with_name(f"{path.name}.copy")
                shutil.copyfile(path, copy)
                copy.replace(path)
            path.chmod(wanted)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk: what was renamed there stays renamed. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # a file system that can't flush a folder
            raise
    finally:
        os.close(descriptor)


def sync_file_system(path: Path) -> None:
    """Flush everything that was written to the file system of a path to the disk; raises OSError.

    For trees of thousands of files: an fsync of each takes fifty times as long, as each waits for the disk.
    """
    import ctypes  # builds need it, the launch path doesn't

    syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


def mark_used(path: Path) -> None:
    """Note that a file or folder of the cache is used now: `envman prune` goes by that. Raises OSError."""
    os.utime(path)


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where envman keeps what can be made again: ENVMAN_CACHE_DIR, else below XDG_CACHE_HOME.

    Raises EnvmanError where neither is set, and the user has no home.
    """
    if chosen := environ.get(CACHE_VARIABLE):
        return Path(chosen)
    if above := environ.get("XDG_CACHE_HOME"):
        return Path(above) / "envman"
    try:
        return Path.home() / ".cache/envman"
    except RuntimeError:
        what = f"there is no place for it: the user {os.getuid()} has no account here, and HOME is not set"
        raise EnvmanError(
            Problem("envman's cache", what, f"Set HOME, or {CACHE_VARIABLE} to a folder.")
        ) from None


def _failed(error: OSError) -> tuple[str | bytes, ...]:
    """The files of a failed operation; of a copy its target alone, where that could not be written."""
    names = tuple(name for name in (error.filename, error.filename2) if name)
    return names[-1:] if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG} else names


def is_below(error: OSError, folder: str) -> bool:
    """Whether a failed file operation is one on a folder, or on something in it."""
    paths = (str(Path(os.fsdecode(name)).absolute()) for name in _failed(error))
    return any(path == folder or path.startswith(f"{folder}/") for path in paths)


def file_problem(where: str, error: OSError) -> Problem:
    """A failed file operation as a problem: the file, the reason, and what helps."""
    file = f"{' -> '.join(os.fsdecode(name) for name in _failed(error))}: " if error.filename else ""
    remedy = (
        "Free space on that file system."
        if error.errno == errno.ENOSPC
        else "Check the path and this user's rights to it."
    )
    return Problem(where, f"{file}{error.strerror or error}", remedy)
