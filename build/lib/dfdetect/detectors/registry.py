"""Detectors by name: module name = registered name = key under `detectors:` in params.yaml.

A detector is a file of this folder with a class under `@register("<file name>", <settings class>)`. Both are read from
the files' text, so that asking for the names, or for settings that stand in settings.py, imports no torch.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import ValidationError

from dfdetect.detectors import settings as shared
from dfdetect.detectors.settings import DetectorSettings
from dfdetect.errors import UserError, unknown

if TYPE_CHECKING:
    from dfdetect.detectors.base import Detector

_FOLDER = Path(__file__).parent
_DECORATOR = re.compile(r'^@register\(\s*"(\w+)",\s*(\w+)', re.MULTILINE)


class _Entry(NamedTuple):
    detector: Callable[[Any], Detector]
    settings: type[DetectorSettings]


_ENTRIES: dict[str, _Entry] = {}
Class = TypeVar("Class", bound="type[Detector]")


def register(name: str, settings: type[DetectorSettings]) -> Callable[[Class], Class]:
    """Class decorator: make a detector known under its module's name.

    Args:
        name: the module's own name, which is also the key in params.yaml.
        settings: the pydantic class that checks `detectors.<name>`.
    Raises:
        ValueError: name is not the module's name.
    """

    def wrap(detector: Class) -> Class:
        if detector.__module__.rpartition(".")[2] != name:
            raise ValueError(f"{detector.__module__}: registered as {name!r}; the name must be the module's own.")
        _ENTRIES[name] = _Entry(detector, settings)
        detector.name = name
        return detector

    return wrap


def _declared() -> dict[str, str]:
    """The settings class that each file of this folder registers its detector with, by the detector's name."""
    found = {path.stem: dict(_DECORATOR.findall(path.read_text("utf-8"))) for path in sorted(_FOLDER.glob("*.py"))}
    return {name: classes[name] for name, classes in found.items() if name in classes}


def names() -> tuple[str, ...]:
    """The registered names, sorted; found in the files of this folder without importing them."""
    return tuple(_declared())


def _entry(name: str) -> _Entry:
    if name not in _ENTRIES:
        if name not in (known := names()):
            raise UserError(unknown("detector", name, known))
        importlib.import_module(f"{__package__}.{name}")
    return _ENTRIES[name]


def settings_class(name: str) -> type[DetectorSettings]:
    """The pydantic class of `detectors.<name>`. The detector is imported only if the class is not in settings.py.

    Raises:
        UserError: no such detector; the message lists those there are.
    """
    found = None if name in _ENTRIES else getattr(shared, _declared().get(name, ""), None)
    return found or _entry(name).settings


def check_settings(name: str, settings: Mapping[str, Any] | DetectorSettings, section: str = "") -> DetectorSettings:
    """Validate one entry of `detectors:`.

    Args:
        name: of the detector.
        settings: to check.
        section: where in params.yaml they stand, for messages; empty: `detectors.<name>`.
    Raises:
        UserError: no such detector, an unknown key or a bad value; the message lists what exists.
    """
    wanted = settings_class(name)
    if isinstance(settings, wanted):
        return settings
    values = settings.model_dump() if isinstance(settings, DetectorSettings) else dict(settings)
    try:
        return wanted.model_validate(values)
    except ValidationError as error:
        from dfdetect.config.params import (
            describe,  # params reads the dataset layouts, which building a detector does not need
        )

        section = section or f"detectors.{name}"
        keys = ", ".join(wanted.model_fields)
        raise UserError(f"{describe(error, 'params.yaml', section, model=wanted)} Its keys are: {keys}.") from None


def build(name: str, settings: Mapping[str, Any] | DetectorSettings) -> Detector:
    """Make a detector, in training mode, on the CPU, in float32.

    Args:
        name: one of names().
        settings: the entry `detectors.<name>`; keys left out take their defaults.
    Raises:
        UserError: unknown name, key or value, or weights that cannot be had; the message lists what exists.
    """
    return _entry(name).detector(check_settings(name, settings))
