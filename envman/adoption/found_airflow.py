"""What the probe said of a live Airflow, as values: nothing of it is believed before it was checked. Pure.

The probe runs in an interpreter of somebody else's. So each field has its type and its limits, and no text
has a character that a terminal would obey.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from packaging.utils import InvalidName, canonicalize_name
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StrictBool, StrictInt, StrictStr
from pydantic import ValidationError as _ValidationError

from envman.errors import printable

_MANY = 20_000
_LONG = 100_000

Text = Annotated[StrictStr, Field(max_length=_LONG), AfterValidator(printable)]
Texts = Annotated[tuple[Text, ...], Field(max_length=_MANY)]


class _Checked(BaseModel):
    """A part of the answer: frozen, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FoundPython(_Checked):
    """An interpreter; `markers` are what markers (PEP 508) compare with."""

    executable: Text
    base: Text
    prefix: Text
    platform: Text
    markers: dict[Text, Text]

    @property
    def version(self) -> str:
        """Its version: 3.12.1."""
        return self.markers.get("python_full_version", "")


class FoundDistribution(_Checked):
    """An installed distribution; `origin` is empty where it came from an index, as far as it says."""

    name: Text
    version: Text
    requires: Texts
    requires_python: Text
    folder: Text
    installer: Text
    has_record: StrictBool
    origin: Text
    commit: Text
    provides: Texts
    editable: StrictBool

    @property
    def key(self) -> str:
        """Its normalized name (PEP 503); empty where it has none that can be."""
        try:
            return canonicalize_name(self.name, validate=True)
        except InvalidName:
            return ""


class FoundSetting(_Checked):
    """An option of Airflow's, its value (empty where it is not told) and where it is set."""

    section: Text
    option: Text
    value: Text
    place: Text


class FoundBundle(_Checked):
    """A Dag bundle: `path` of one that is a folder, else its class's arguments, without secrets."""

    name: Text
    classpath: Text
    path: Text
    arguments: dict[Text, JsonValue]
    withheld: Texts
    team: Text
    place: Text


class FoundFolder(_Checked):
    """A bundle's folder. `beside` are modules of its own that its files import, by how many do."""

    folder: Text
    is_there: StrictBool
    files: StrictInt
    archives: Texts
    links: Texts
    beside: dict[Text, StrictInt]
    unreadable: dict[Text, Text]
    truncated: StrictBool


class FoundAirflow(_Checked):
    """What a live Airflow consists of."""

    python: FoundPython
    distributions: Annotated[tuple[FoundDistribution, ...], Field(max_length=_MANY)]
    home: Text
    configuration: Text
    problem: Text
    settings: Annotated[tuple[FoundSetting, ...], Field(max_length=_MANY)]
    withheld: Annotated[tuple[FoundSetting, ...], Field(max_length=_MANY)]
    bundles: Annotated[tuple[FoundBundle, ...], Field(max_length=_MANY)]
    examples: Texts
    folders: Annotated[tuple[FoundFolder, ...], Field(max_length=_MANY)]
    plugins_folder: Text
    plugins: Texts
    local_settings: Texts
    requirements: Texts
    python_path: Texts
    pip_configuration: Texts

    def installed(self) -> dict[str, FoundDistribution]:
        """The distributions by their normalized names, without those that have none."""
        return {one.key: one for one in self.distributions if one.key}

    def setting(self, section: str, option: str) -> str:
        """An option's value; empty where it is set nowhere."""
        found = (one.value for one in self.settings if (one.section, one.option) == (section, option))
        return next(found, "")

    def that_provide(self, group: str) -> tuple[str, ...]:
        """The distributions with entry points of one of Airflow's groups, each with its version."""
        found = self.installed().items()
        return tuple(sorted(f"{name}=={one.version}" for name, one in found if group in one.provides))

    @property
    def airflow(self) -> str:
        """Airflow's version; empty where there is none."""
        installed = self.installed()
        names = ("apache-airflow-core", "apache-airflow")
        return next((installed[name].version for name in names if name in installed), "")


class WrongAnswerError(ValueError):
    """An answer that is none; the text says what is wrong with it."""


def read_answer(text: str) -> FoundAirflow:
    """The probe's answer; raises WrongAnswerError."""
    try:
        return FoundAirflow.model_validate_json(text, strict=True)
    except _ValidationError as error:
        raise WrongAnswerError(_first(error.errors(include_url=False, include_input=False))) from None


def _first(errors: Iterable[object]) -> str:
    for one in errors:
        if isinstance(one, dict):
            place = ".".join(str(part) for part in one.get("loc", ()))[:200]
            return printable(f"{place}: {one.get('msg')}" if place else str(one.get("msg")))
    return "it can't be read"
