"""The `thalweg` command: that of `$THALWEG`, or on the path, or built in this checkout."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess

import pytest


def command() -> str:
    """Where it is; a test that needs it fails without it."""
    built = pathlib.Path(__file__).resolve().parents[3] / "target"
    places = [os.environ.get("THALWEG"), shutil.which("thalweg")]
    places += [str(built / kind / "thalweg") for kind in ("release", "debug")]
    found = [place for place in places if place and os.access(place, os.X_OK)]
    if not found:
        pytest.fail(f"no thalweg command in {places}: build it, or set THALWEG")
    return found[0]


def thalweg(*words, cwd=None) -> dict:
    """Its reply."""
    line = [command(), *map(str, words), "--json", "--quiet"]
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}: {done.stderr}{done.stdout}"
    return json.loads(done.stdout)
