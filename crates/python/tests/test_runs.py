"""Run directories: work that is kept and gone on with."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import thalweg


def test_a_surface_goes_on_from_what_is_done(trained, digits, tmp_path):
    plain = trained.surface(*digits, x_range=(-1, 1, 9))
    run = tmp_path / "run"
    first = trained.surface(*digits, x_range=(-1, 1, 9), run=run)
    np.testing.assert_array_equal(first.loss, plain.loss)
    units = sorted((run / "units" / "surface" / "0").iterdir())
    assert len(units) == 3
    units[1].unlink()
    # What is kept is not done again: values of another kind show that it was taken.
    again = trained.surface(*digits, x_range=(-1, 1, 9), run=run, threads=1)
    np.testing.assert_array_equal(again.loss, plain.loss)
    with pytest.raises(thalweg.ConfigError, match="was begun with surface.x"):
        trained.surface(*digits, x_range=(-1, 1, 11), run=run)
    with pytest.raises(thalweg.ConfigError, match="weights_fingerprint"):
        other = trained.at(trained.parameters.flatten() + 1)
        other.surface(*digits, x_range=(-1, 1, 9), run=run)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(thalweg.FormatError, match="no run to go on with"):
        trained.surface(*digits, run=tmp_path / "other")


def test_results_open_with_xarray(trained, digits, tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    surface = trained.surface(*digits, x_range=(-1, 1, 5), run=tmp_path / "run")
    data = xarray.open_zarr(tmp_path / "run" / "results.zarr")
    np.testing.assert_array_equal(data.loss.values, surface.loss)
    spectrum = trained.spectrum(*digits, run=tmp_path / "spectrum")
    data = xarray.open_zarr(tmp_path / "spectrum" / "results.zarr")
    assert any(np.array_equal(v.values, spectrum.top) for v in data.variables.values())


def test_a_population_goes_on_from_its_finished_members(digits, tmp_path):
    model = thalweg.build("mlp hidden=8", (8, 8, 1), 10)
    settings = {"epochs": 2, "batch": 20, "seeds": range(10), "start": "seeds", "checkpoints": 1}
    plain = model.train(*digits, validation=digits, **settings)
    run = tmp_path / "run"
    first = model.train(*digits, validation=digits, run=run, **settings)
    kept = sorted((run / "units" / "train").iterdir())
    assert len(kept) == 10
    kept[3].unlink()
    again = model.train(*digits, validation=digits, run=run, **settings)
    for a, b, c in zip(plain, first, again):
        for name in ("loss", "gradient_norm", "accuracy", "validation_loss", "validation_step"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
            np.testing.assert_array_equal(getattr(a, name), getattr(c, name))
        for name, array in a.model.state_dict().items():
            np.testing.assert_array_equal(array, c.model.state_dict()[name])
        assert a.model.loss(*digits) == b.model.loss(*digits) == c.model.loss(*digits)
        assert [s for s, _ in a.trajectory] == [s for s, _ in c.trajectory]
        assert a.trajectory[1][1].loss(*digits) == c.trajectory[1][1].loss(*digits)


SLOW = """
import sys
import thalweg
x, y, _, _ = thalweg.dataset("digits")
model = thalweg.build("resnet depth=8 width=4", x.shape[1:], 10)
print("begun", flush=True)
model.surface(x, y, x_range=(-1, 1, 21), exact=True, run=sys.argv[1], threads=1)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
def test_a_killed_run_ends_with_the_same_bits(tmp_path):
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(run)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n"
    units = run / "units" / "surface" / "0"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if units.is_dir() and len(list(units.glob("*.safetensors"))) >= 2:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(units.glob("*.safetensors")))
    assert 2 <= done < 14, "it was killed half-way"
    x, y, _, _ = thalweg.dataset("digits")
    model = thalweg.build("resnet depth=8 width=4", x.shape[1:], 10)
    again = model.surface(x, y, x_range=(-1, 1, 21), exact=True, run=run)
    plain = model.surface(x, y, x_range=(-1, 1, 21), exact=True)
    np.testing.assert_array_equal(again.loss, plain.loss)
