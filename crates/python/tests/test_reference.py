"""The reference is what the docstrings say, and everything public is in it."""

import importlib.util
from pathlib import Path

import pytest
import thalweg

SCRIPT = Path(__file__).parents[1] / "reference.py"


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("scipy")
    spec = importlib.util.spec_from_file_location("reference", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_current(script):
    message = "run python crates/python/reference.py"
    assert script.PLACE.read_text() == script.document(), message


def test_everything_public_is_documented(script):
    listed = {name for names in script.ORDER.values() for name in names if "." not in name}
    assert listed == {name for name in thalweg.__all__ if not name.startswith("_")}
    for name in listed:
        value = getattr(thalweg, name)
        assert value.__doc__, name
        if isinstance(value, type):
            for method, found in vars(value).items():
                if not method.startswith("_") and callable(found):
                    assert found.__doc__, f"{name}.{method}"
