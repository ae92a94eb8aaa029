"""Progress in tqdm's manner."""

from __future__ import annotations

import sys
from typing import Any


class Reporter:
    """Turns what the native module tells into bars of `tqdm`'s kind.

    The factory is called as `factory(total=.., desc=.., unit=..)` for each part of the work; what
    it gives is told of progress by `.update(n)` and let go by `.close()`.
    """

    def __init__(self, factory: Any) -> None:
        self._factory = factory
        self._bar: Any = None
        self._said: str | None = None

    def start(self, what: str, total: int) -> None:
        """A part of the work begins."""
        self.close()
        self._bar = self._factory(total=total, desc=what, unit="unit")

    def advance(self, n: int) -> None:
        """So many units are done."""
        if self._bar is not None:
            self._bar.update(n)

    def message(self, text: str) -> None:
        """Something a person should read."""
        if text == self._said:
            return
        self._said = text
        write = getattr(self._factory, "write", None)
        if write is not None:
            write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr)

    def close(self) -> None:
        """The last part is over."""
        bar, self._bar = self._bar, None
        if bar is not None and hasattr(bar, "close"):
            bar.close()

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Silent:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class _Line:
    """What is shown where tqdm is not installed: a line for each part of the work."""

    def __init__(self, total: int, desc: str, unit: str) -> None:
        print(f"{desc}: {total} {unit}s", file=sys.stderr)

    def update(self, n: int) -> None:
        pass

    def close(self) -> None:
        pass


def reporter(progress: Any) -> Any:
    """A context that gives what the native module reports to, or nothing."""
    if progress is None or progress is False:
        return _Silent()
    if progress is True:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return Reporter(_Line)
        return Reporter(tqdm)
    if callable(progress):
        return Reporter(progress)
    from ._errors import ConfigError

    raise ConfigError(f"progress: expected True, False or a callable, got {progress!r}")
