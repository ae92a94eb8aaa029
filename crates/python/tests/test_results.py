"""Results: what they say, and what they become."""

import re

import numpy as np
import pytest
import thalweg


@pytest.fixture(scope="module")
def surface(trained, digits):
    return trained.surface(*digits, x_range=(-1, 1, 5), y_range="-1:1:3", pairs=2)


@pytest.fixture(scope="module")
def spectrum(trained, digits):
    return trained.spectrum(*digits, top=3, bottom=1, trace=True, density=4)


@pytest.fixture(scope="module")
def population(trained, digits):
    x, y = digits
    return trained.train(
        x[:80], y[:80], epochs=2, batch=20, seeds=range(2), lr=[0.05, 0.1],
        validation=(x[80:], y[80:]),
    )  # fmt: skip


def test_a_surface_has_its_shape_and_extremes(surface):
    assert surface.shape == (2, 3, 5) and not surface.is_line and surface.finite.all()
    low, high = surface.minimum, surface.maximum
    assert low["loss"] == surface.loss.min() and high["loss"] == surface.loss.max()
    at = surface.loss[low["pair"], list(surface.y).index(low["y"]), list(surface.x).index(low["x"])]
    assert at == low["loss"]
    assert surface.x.tolist() == [-1, -0.5, 0, 0.5, 1]
    assert surface.loss[0, 1, 2] == surface.centre.loss
    assert [len(plane) for plane in surface.directions] == [2, 2]


def test_points_that_are_not_finite_are_told(trained, digits):
    line = trained.surface(*digits, line=True, x_range=[-1e39, 0.0, 1e30])
    assert line.is_line and line.y.tolist() == [0]
    assert not line.finite.all() and line.finite[0, 1]
    assert line.minimum["x"] == 0 and np.isfinite(line.maximum["loss"])
    assert "not finite" in repr(line)


def test_xarray_and_pandas(surface, spectrum, population):
    pytest.importorskip("xarray")
    pytest.importorskip("pandas")
    data = surface.to_xarray()
    assert data.loss.dims == ("pair", "y", "x") and data.attrs["normalize"] == "filter"
    assert float(data.loss.sel(pair=1, y=-1, x=0.5)) == surface.loss[1, 0, 3]
    assert np.shares_memory(data.loss.values, surface.loss)
    frame = surface.to_pandas()
    assert len(frame) == 30
    row = frame[(frame.pair == 1) & (frame.y == -1) & (frame.x == 0.5)].iloc[0]
    assert row.loss == surface.loss[1, 0, 3]

    data = spectrum.to_xarray()
    np.testing.assert_array_equal(data.top_eigenvalue, spectrum.top)
    assert data.density.dims == ("centre",)
    assert data.attrs["trace_standard_error"] == spectrum.trace.standard_error
    assert list(spectrum.to_pandas()["end"]) == ["top"] * 3 + ["bottom"]

    data = population.to_xarray()
    assert data.loss.shape == (4, 8) and list(data.lr.values) == [0.05, 0.05, 0.1, 0.1]
    assert data.validation_loss.shape == (4, 2)
    frame = population.to_pandas()
    assert len(frame) == 32 and frame.validation_loss.notna().sum() == 8
    member = frame[frame.member == 2]
    np.testing.assert_array_equal(member.loss, population[2].loss)
    assert member.validation_loss.dropna().tolist() == population[2].validation_loss.tolist()


def test_a_sample_has_errors_of_its_own(trained, digits):
    some = trained.spectrum(*digits, top=2, trace=4, samples=60)
    assert some.top_sampling_errors.shape == (2,) and (some.top_sampling_errors > 0).all()
    assert some.bottom_sampling_errors is None
    data = some.to_xarray()
    np.testing.assert_array_equal(data.top_sampling_error, some.top_sampling_errors)
    assert trained.spectrum(*digits, top=1).top_sampling_errors is None


def test_netcdf_attributes_are_plain(surface, spectrum):
    pytest.importorskip("xarray")
    for data in (surface.to_xarray(), spectrum.to_xarray()):
        for value in data.attrs.values():
            assert isinstance(value, (str, int, float, list)), value


def test_plots_take_and_give_axes(surface, spectrum, population, trained, digits):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    line = trained.surface(*digits, line=True, x_range=(-1, 1, 3), samples=60)
    for result in (surface, line, spectrum, population):
        figure, ax = plt.subplots()
        assert result.plot(ax) is ax
        assert ax.has_data() and ax.get_xlabel()
        assert result.plot() is not ax
        figure.canvas.draw()
    plt.close("all")


def test_what_is_missing_is_named(surface, monkeypatch):
    import builtins
    import sys

    real = builtins.__import__

    def without(name, *rest, **kwargs):
        if name.split(".")[0] in ("xarray", "pandas", "matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **kwargs)

    for name in list(sys.modules):
        if name.split(".")[0] in ("xarray", "pandas", "matplotlib"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("importlib.import_module", lambda name: without(name))
    for call, package in (
        (surface.to_xarray, "xarray"),
        (surface.to_pandas, "pandas"),
        (surface.plot, "matplotlib"),
    ):
        with pytest.raises(thalweg.MissingPackageError, match=f"pip install {package}") as caught:
            call()
        assert isinstance(caught.value, ImportError)


def test_eigenvalues_are_relative_to_another_matrix(trained, digits):
    x, y = digits
    x, y = x[:32], y[:32]
    with_ = {"of": "gauss-newton", "top": 3, "tolerance": 1e-8, "precision": "f64"}
    plain = trained.spectrum(x, y, **with_)
    found = trained.spectrum(x, y, **with_, relative_to="fisher", damping=0.01)
    np.testing.assert_allclose(found.top, plain.top / (plain.top + 0.01), atol=1e-6)
    assert "Gauss-newton relative to fisher" in repr(found)
    some = trained.spectrum(*digits, **with_, examples=range(32))
    np.testing.assert_allclose(some.top, plain.top, rtol=1e-6)


def test_notebooks_show_a_figure_and_facts(surface, spectrum, population):
    page = surface._repr_html_()
    assert "<svg" in page and "normalised: filter" in page
    again = surface._repr_html_()
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (page, again)]
    assert not ids[0] & ids[1], "two figures of a page share no identifier"
    assert "<svg" in spectrum._repr_html_() and "trace" in spectrum._repr_html_()
    assert "validation" in population._repr_html_()
    for result in (surface, spectrum, population):
        assert repr(result) and len(repr(result)) < 3000


def test_named_vectors_are_views_and_add_up(trained, digits):
    gradient = trained.gradient(*digits, precision="f64")
    flat = gradient.flatten()
    assert all(np.shares_memory(array, flat) for array in gradient.values())
    half = 0.5 * gradient
    np.testing.assert_array_equal((half + half).flatten(), flat)
    np.testing.assert_array_equal((gradient - half / 1.0).flatten(), half.flatten())
    assert (-gradient).dot(gradient) == pytest.approx(-(gradient.norm() ** 2))
    np.testing.assert_array_equal(np.asarray(gradient), flat)
    with pytest.raises(thalweg.ShapeError):
        gradient + flat[:-1]
    assert "<table" in gradient._repr_html_()


def test_value_and_gradient_agree(trained, digits):
    value, gradient = trained.value_and_gradient(*digits)
    assert value == pytest.approx(trained.loss(*digits), rel=1e-6)
    np.testing.assert_array_equal(gradient.flatten(), trained.gradient(*digits).flatten())


def test_surfaces_to_a_tolerance(trained, digits):
    exact = trained.surface(*digits, x_range=(-1, 1, 21), exact=True)
    near = trained.surface(*digits, x_range=(-1, 1, 21), tolerance=0.05)
    allowed = 0.05 * (abs(exact.loss - exact.centre.loss) + exact.centre.loss)
    assert (abs(near.loss - exact.loss) <= 2 * allowed).mean() > 0.95
    assert near.attributes["tolerance"] == 0.05
    assert (near.errors["samples"] == 0).any(), "some points are interpolated"
    assert {"sampling_error", "interpolation_error"} <= set(near.to_pandas().columns)


def test_directions_of_every_kind(trained, population, digits, tmp_path):
    small = {"x_range": (-1, 1, 3), "precision": "f64"}
    # Between models: they lie at coordinate one.
    a, b = population[0].model, population[3].model
    between = trained.surface(*digits, directions=[a, b], x_range=[0.0, 1.0], precision="f64")
    for (i, j), model in {(0, 1): a, (1, 0): b, (0, 0): trained}.items():
        assert between.loss[i, j] == pytest.approx(model.loss(*digits, precision="f64"), rel=1e-12)
    assert between.attributes["directions"] == "checkpoints"
    line = trained.surface(*digits, directions=a, **small)
    assert line.is_line
    default = trained.surface(*digits, directions=a)
    assert (default.x[0], default.x[-1], default.x.size) == (-0.5, 1.5, 41)
    # Eigenvectors.
    spectrum = trained.spectrum(*digits, top=2, precision="f64")
    own = trained.surface(*digits, directions="eigenvectors", **small)
    given = trained.surface(*digits, directions=spectrum.vectors, **small)
    np.testing.assert_allclose(own.loss, given.loss, rtol=1e-9)
    # Of a file.
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "d.safetensors"
    named = {
        f"{axis}.{name}": np.ascontiguousarray(array)
        for axis, direction in zip("xy", spectrum.vectors)
        for name, array in direction.items()
    }
    safetensors.save_file(named, path)
    np.testing.assert_array_equal(
        trained.surface(*digits, directions=path, **small).loss, given.loss
    )
    # Named arrays, scaled by filter.
    scaled = trained.surface(
        *digits, directions=dict(spectrum.vectors[0]), normalize="filter", **small
    )
    assert scaled.is_line and scaled.attributes["normalize"] == "filter"


def test_a_trajectory_lies_in_its_plane(trained, digits):
    member = trained.train(*digits, epochs=3, batch=20, checkpoints=1, precision="f64")[0]
    steps = [step for step, _ in member.trajectory]
    assert steps == [0, 6, 12, 18]
    models = [model for _, model in member.trajectory]
    end = models[-1]
    surface = end.surface(
        *digits, directions="trajectory", checkpoints=models, x_range=(-1, 1, 3), precision="f64"
    )
    path = surface.trajectory
    assert path["x"][-1] == 0 and path["residual"].shape == (4,)
    x, y = (direction.flatten() for direction in surface.directions[0])
    here = end.parameters.flatten()
    for i, model in enumerate(models):
        away = model.parameters.flatten() - here
        assert path["x"][i] == pytest.approx(away @ x, abs=1e-9)
        rest = away - (away @ x) * x - (away @ y) * y
        assert path["residual"][i] == pytest.approx(np.linalg.norm(rest), abs=1e-9)
    assert sum(path["explained_variance"]) <= 1 + 1e-12
    around = end.surface(*digits, directions="trajectory", checkpoints=models)
    assert around.x[0] < path["x"].min() and around.x[-1] > path["x"].max()
    assert "trajectory_x" in around.to_xarray()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"directions": "pca"}, "directions: expected random"),
        ({"directions": []}, "one or two"),
        ({"directions": [np.ones(3)]}, "one element for each parameter"),
        ({"directions": "trajectory"}, "checkpoints"),
        ({"checkpoints": [1, 2, 3]}, "checkpoints"),
        ({"x_range": "1:2"}, "A:B:N"),
        ({"x_range": (1, "b", 3)}, "numbers"),
        ({"x_range": (0, 1, 0)}, "points of x_range"),
        ({"x_range": (0, np.inf, 3)}, "finite"),
        ({"x_range": [np.nan]}, "finite"),
        ({"x_range": (0, 1, 1)}, "equal ends"),
        ({"x_range": np.ones((2, 2))}, "list of coordinates"),
        ({"normalize": "filters"}, "filter"),
        ({"ignore": "weights"}, "bias, norm or none"),
        ({"pairs": 0}, "pairs"),
        ({"pairs": 2, "directions": "eigenvectors"}, "pairs"),
        ({"line": True, "y_range": (0, 1, 2)}, "y_range"),
        ({"tolerance": 2.0}, "above 0 and below 1"),
        ({"tolerance": 0.1, "exact": True}, "exact"),
    ],
)
def test_surfaces_that_cannot_be(trained, digits, settings, message):
    with pytest.raises((thalweg.ConfigError, thalweg.ShapeError), match=message):
        trained.surface(*digits, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top": -1}, "top"),
        ({"top": 10**6}, "at most"),
        ({"bottom": 2**63}, "bottom"),
        ({"trace": "all"}, "trace"),
        ({"trace": -3}, "trace"),
        ({"density": 1}, "at least 2 probes"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"of": "hesse"}, "of: matrix: expected one of hessian"),
        ({"relative_to": "hessian"}, "relative_to: expected a matrix without"),
        ({"relative_to": "fisher", "damping": 0.0}, "damping"),
        ({"relative_to": "fisher", "trace": True}, "trace and density"),
        ({"examples": [1, 1]}, "each once"),
        ({"examples": [10**6]}, "an example: expected below"),
    ],
)
def test_spectra_that_cannot_be(trained, digits, settings, message):
    with pytest.raises((thalweg.ConfigError, thalweg.ShapeError), match=message):
        trained.spectrum(*digits, **settings)
