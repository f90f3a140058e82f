"""Run skopeo: read images wherever they are, copy them from and to registries.

Credentials are skopeo's own business (its auth.json, docker's config.json): envman reads and passes none.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from envman.errors import ImageError, Problem
from envman.image.oci_values import digest_of
from envman.spec.image_names import Reference
from envman.system.child_process import Finished
from envman.system.processes import Processes

PROGRAM = "skopeo"

_FULL = "no space left on device"
_UNKNOWN = ("manifest unknown", "name unknown", "repository name not known")
_SIGNS = (
    ("manifest unknown", "Look at the name and the tag."),
    ("name unknown", "Look at the name and the tag."),
    ("no such file or directory", "Look at the path."),
    ("requested access to the resource is denied", "Look at the name; log in: skopeo login REGISTRY"),
    ("unauthorized", "Log in: skopeo login REGISTRY"),
    ("authentication required", "Log in: skopeo login REGISTRY"),
    ("connection refused", "Look at the registry's name and port, and whether it runs."),
    ("no such host", "Look at the registry's name, and at this machine's network."),
    (_FULL, "Free space on that file system."),
    ("http: server gave http response to https", "Say in registries.conf that it is insecure."),
    ("x509", "Add the registry's certificate to this machine's, or to /etc/containers/certs.d."),
)


class FullDiskError(ImageError):
    """What skopeo fetches finds no space on this machine."""


class Skopeo:
    """skopeo, as it is on this machine; `held` are the locks that its runs inherit: if this process is
    killed, they last as long as one still writes.
    """

    def __init__(self, processes: Processes, held: Sequence[int] = ()) -> None:
        self._processes = processes
        self._held = held
        self._program = shutil.which(PROGRAM)

    def raw_manifest(self, image: Reference) -> bytes:
        """The manifest or index that an image's name stands for; raises ImageError."""
        return _said(image, self._inspect(image, "--raw"))

    def digest(self, image: Reference) -> str | None:
        """The digest of what is there under a name, None where nothing is; raises ImageError."""
        finished = self._inspect(image, "--raw")
        if finished.exit_code and any(sign in finished.stderr.lower() for sign in _UNKNOWN):
            return None
        return digest_of(_said(image, finished))

    def tags(self, image: Reference) -> list[str]:
        """The tags of an image's repository in a registry; raises ImageError."""
        finished = self._run(["list-tags", *_tls("--tls-verify", image), f"docker://{image.repository}"])
        try:
            found = json.loads(_said(image, finished))["Tags"] or []
            return sorted(str(tag) for tag in found)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ImageError(Problem(str(image), f"its tags can't be read: {error}", "Try again.")) from None

    def config(self, image: Reference) -> bytes:
        """The configuration of an image, as it is; raises ImageError."""
        return _said(image, self._inspect(image, "--config", "--raw"))

    def _inspect(self, image: Reference, *options: str) -> Finished:
        words = ["inspect", *options, *_tls("--tls-verify", image), *_daemon("--daemon-host", image)]
        return self._run([*words, image.transport()])

    def copy(
        self,
        source: Reference,
        target: Reference,
        on_line: Callable[[str], None] | None = None,
        sign_by: str | None = None,
    ) -> None:
        """Copy an image, or an index with its images; what is there is not sent again.

        `sign_by` is the fingerprint of a GPG key that it is signed with (containers-signature(5)). Raises
        ImageError.
        """
        words = [
            "copy",
            "--all",
            "--quiet",
            "--retry-times",
            "2",
            *(["--sign-by", sign_by] if sign_by else []),
        ]
        words += [*_tls("--src-tls-verify", source), *_tls("--dest-tls-verify", target)]
        words += [*_daemon("--src-daemon-host", source), *_daemon("--dest-daemon-host", target)]
        finished = self._run([*words, source.transport(), target.transport()], on_line)
        if finished.exit_code:
            if not target.is_local:
                raise _failed(str(target), "can't be written", finished)
            failed = _failed(str(source), "can't be read", finished)
            raise FullDiskError(failed.problems) if _FULL in finished.stderr.lower() else failed

    def _run(self, arguments: list[str], on_line: Callable[[str], None] | None = None) -> Finished:
        if self._program is None:
            what = "skopeo is not installed; envman reads and pushes images through it"
            raise ImageError(Problem(PROGRAM, what, "Install it: apt-get install skopeo"))
        return self._processes.run([self._program, *arguments], os.environ, "/", self._held, on_line)


def _said(image: Reference, finished: Finished) -> bytes:
    if finished.exit_code:
        raise _failed(str(image), "can't be read", finished)
    return finished.stdout.encode()


def _tls(option: str, image: Reference) -> list[str]:
    """A registry on this machine's loopback needs no certificate, as in docker."""
    return [f"{option}=false"] if image.is_loopback else []


def _daemon(option: str, image: Reference) -> list[str]:
    """docker's daemon where docker itself looks for it; skopeo knows its usual place only."""
    host = os.environ.get("DOCKER_HOST")
    return [f"{option}={host}"] if host and image.scheme == "docker-daemon" else []


def _failed(where: str, what: str, finished: Finished) -> ImageError:
    lines = [line.partition(" msg=")[2].strip('"') or line for line in finished.stderr.strip().splitlines()]
    words = lines[-1] if lines else f"skopeo ended with {finished.exit_code}"
    remedy = next((remedy for sign, remedy in _SIGNS if sign in words.lower()), "Read skopeo's message.")
    return ImageError(Problem(where, f"{what}\n  {words}", remedy))


def layout_reference(folder: Path, name: str) -> Reference:
    """An image of an OCI layout on this machine."""
    return Reference("oci", f"{folder}:{name}")
