"""What can go wrong, by kind. The sentences are those of the command line."""

from __future__ import annotations


class ThalwegError(Exception):
    """Any failure of Thalweg's; the message is one sentence."""


class ShapeError(ThalwegError, ValueError):
    """Arrays that do not fit the model or each other."""


class FormatError(ThalwegError, ValueError):
    """A file that is not what it should be."""


class DataError(ThalwegError, ValueError):
    """Numbers or labels that cannot be used, named by their row."""


class ConfigError(ThalwegError, ValueError):
    """A setting that cannot be used."""


class FileError(ThalwegError, OSError):
    """A file or folder that the system refuses."""


class OutOfMemoryError(ThalwegError, MemoryError):
    """Even the smallest piece of the work needs more memory than it may have."""


class NumericsError(ThalwegError, ArithmeticError):
    """A number that everything else rests on is not finite."""


class MissingPackageError(ThalwegError, ImportError):
    """An optional package that is needed here is not installed."""


class Interrupted(KeyboardInterrupt):
    """The work was told to stop."""
