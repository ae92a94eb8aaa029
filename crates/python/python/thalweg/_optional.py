"""Packages that are needed for some things only."""

from __future__ import annotations

import importlib
from types import ModuleType

from ._errors import MissingPackageError


def need(name: str, what: str, install: str | None = None) -> ModuleType:
    """The module `name`, or a sentence that says what it is needed for and how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = install or name.split(".")[0]
        raise MissingPackageError(
            f"{what} needs the package {package}: pip install {package}"
        ) from error
