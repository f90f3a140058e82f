"""What an environment consists of, as a software bill of materials: CycloneDX 1.6, JSON.

The same generation at the same time gives the same bytes with the same releases of envman and of
cyclonedx-python-lib: what is listed is sorted, and the serial number is made of the content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from envman import __version__
from envman.errors import EnvmanError, Problem
from envman.lock.lockfile import Pin
from envman.packages.license import license_of
from envman.packages.package import Package, dependencies, top_level
from envman.store.manifest import BaseInterpreter, Manifest

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

MEDIA_TYPE = "application/vnd.cyclonedx+json"
SERIAL_NUMBERS = uuid5(NAMESPACE_URL, "https://envman.dev/sbom")
"""The namespace of serial numbers (UUID version 5, RFC 9562)."""

_UNNUMBERED = UUID(int=0)


@dataclass(frozen=True)
class Contents:
    """An environment's generation: its manifest, its lock's pins, and what is installed in it.

    `own` are the names of packages that were built from the project's own sources, and no index's.
    """

    manifest: Manifest
    pins: Sequence[Pin]
    packages: Sequence[Package]
    own: frozenset[str] = frozenset()


def bill_of_materials(contents: Contents, epoch: int) -> bytes:
    """The bill of a generation, ending in a newline; `epoch` is its time in seconds since 1970.

    A component's hashes are the lock's: of each file that it may be installed from. Raises EnvmanError
    without cyclonedx-python-lib.
    """
    check_library()
    draft = _json(contents, epoch, _UNNUMBERED)
    serial = uuid5(SERIAL_NUMBERS, hashlib.sha256(draft).hexdigest())
    return _json(contents, epoch, serial)


def check_library() -> None:
    """Raises EnvmanError without cyclonedx-python-lib."""
    try:
        import_module("cyclonedx.output.json")
    except ImportError as error:
        what = f"a library that bills of materials need is not installed: {error.name}"
        raise EnvmanError(Problem("envman", what, "Install it: pip install 'envman[images]'")) from None


def _json(contents: Contents, epoch: int, serial: UUID) -> bytes:
    from cyclonedx.output.json import JsonV1Dot6

    data: dict[str, Any] = json.loads(JsonV1Dot6(_bill(contents, epoch, serial)).output_as_string())
    return (json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _bill(contents: Contents, epoch: int, serial: UUID) -> Bom:
    from cyclonedx.model.bom import Bom

    environment = _environment(contents.manifest)
    interpreter = _interpreter(contents.manifest.interpreter)
    hashes = _hashes(contents)
    components = {
        one.name: _package(one, hashes.get(one.name, ()), "generic" if one.name in contents.own else "pypi")
        for one in contents.packages
    }
    bill = Bom(
        serial_number=serial,
        metadata=_metadata(environment, epoch),
        components=[interpreter, *components.values()],
    )
    needs = dependencies(contents.packages, contents.manifest.interpreter.marker_environment())
    bill.register_dependency(interpreter)
    for name, needed in needs.items():
        bill.register_dependency(components[name], [components[one] for one in needed])
    tops = [components[name] for name in top_level(needs)]
    bill.register_dependency(environment, [interpreter, *tops])
    return bill


def _metadata(environment: Component, epoch: int) -> BomMetaData:
    from cyclonedx.model.bom import BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository

    tool = Component(type=ComponentType.APPLICATION, name="envman", version=__version__)
    return BomMetaData(
        timestamp=datetime.fromtimestamp(epoch, timezone.utc),
        component=environment,
        tools=ToolRepository(components=[tool]),
    )


def _environment(manifest: Manifest) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType

    said = {"envman:generation": manifest.generation, "envman:lock": manifest.lock}
    return Component(
        type=ComponentType.APPLICATION,
        name=manifest.environment,
        version=manifest.generation,
        bom_ref=f"environment:{manifest.environment}",
        properties=[Property(name=name, value=value) for name, value in said.items()],
    )


def _interpreter(interpreter: BaseInterpreter) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    cpython = interpreter.implementation == "CPython"
    name = "python" if cpython else interpreter.implementation.lower()
    url = PackageURL("generic", name=name, version=interpreter.version)
    return Component(
        type=ComponentType.PLATFORM,
        name=name,
        version=interpreter.version,
        purl=url,
        bom_ref=str(url),
        # advisories of CPython itself are found by this name
        cpe=f"cpe:2.3:a:python:python:{interpreter.version}:*:*:*:*:*:*:*" if cpython else None,
    )


def _package(package: Package, hashes: Iterable[str], kind: str) -> Component:
    """A package as a component; `kind` is the type of its URL, by which advisories are looked up."""
    from cyclonedx.contrib.hash.factories import HashTypeFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    url = PackageURL(kind, name=package.name, version=package.version)
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        purl=url,
        bom_ref=str(url),
        hashes=[HashTypeFactory().from_composite_str(one) for one in hashes],
        licenses=_licenses(package),
    )


def _licenses(package: Package) -> list[License]:
    from cyclonedx.contrib.license.exceptions import InvalidSpdxLicenseException
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.license import LicenseAcknowledgement

    factory, declared = LicenseFactory(), LicenseAcknowledgement.DECLARED
    parts = license_of(package).parts
    if len(parts) == 1:
        return [factory.make_from_string(parts[0], license_acknowledgement=declared)]
    found: list[License] = []
    for part in parts:  # the standard has no expression beside other licenses
        try:
            found.append(factory.make_with_id(part, acknowledgement=declared))
        except InvalidSpdxLicenseException:
            found.append(factory.make_with_name(part, acknowledgement=declared))
    return found


def _hashes(contents: Contents) -> Mapping[str, tuple[str, ...]]:
    """The lock's hashes by package, of the version that is installed."""
    installed = {one.name: one.version for one in contents.packages}
    markers = contents.manifest.interpreter.marker_environment()
    return {
        pin.name: pin.hashes
        for pin in contents.pins
        if pin.version == installed.get(pin.name) and pin.applies(markers)
    }
