"""Values and derivatives against PyTorch's in f64."""

import numpy as np
import pytest
import thalweg

TWINS = ["mlp_twin", "resnet_twin"]


@pytest.fixture(params=TWINS)
def twin(request):
    return request.getfixturevalue(request.param)


def test_outputs_loss_and_accuracy(twin, digits):
    x, y = digits
    outputs = twin.outputs(twin.flat).detach().numpy()
    found = twin.model.predict(x, precision="f64", batch=50)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, outputs, rtol=1e-10, atol=1e-11)
    np.testing.assert_array_equal(twin.model(x, precision="f64"), found)
    expected = float(twin.loss(twin.flat))
    assert twin.model.loss(x, y, precision="f64", batch=37) == pytest.approx(expected, rel=1e-11)
    assert twin.model.loss(x, y) == pytest.approx(expected, rel=1e-5)
    share = float((outputs.argmax(1) == y).mean())
    assert twin.model.accuracy(x, y, precision="f64") == share


def test_gradient(twin, digits):
    gradient = twin.model.gradient(*digits, precision="f64")
    expected = twin.gradient()
    np.testing.assert_allclose(gradient.flatten(), expected, rtol=1e-8, atol=1e-12)
    assert list(gradient) == list(twin.model.parameters)
    name, shape, size = twin.shapes[0]
    np.testing.assert_array_equal(gradient[name], gradient.flatten()[:size].reshape(shape))
    single = twin.model.gradient(*digits).flatten()
    assert np.linalg.norm(single - expected) < 1e-4 * np.linalg.norm(expected)


def test_hessian_products(twin, digits):
    rng = np.random.default_rng(0)
    n = len(twin.flat)
    directions = rng.normal(size=(11, n))
    found = twin.model.hvp(*digits, directions, precision="f64", batch=50)
    grad = twin.torch.func.grad(twin.loss)
    for v, product in zip(directions[:3], found):
        _, expected = twin.torch.func.jvp(grad, (twin.flat,), (twin.torch.tensor(v),))
        np.testing.assert_allclose(product, expected.numpy(), rtol=1e-7, atol=1e-10)
    # One direction, and a named one, are the same as together.
    np.testing.assert_array_equal(
        twin.model.hvp(*digits, directions[4], precision="f64", batch=50), found[4]
    )
    named = twin.model.parameters.to_parameters() * 0.0 + directions[4]
    product = twin.model.hvp(*digits, named, precision="f64", batch=50)
    assert isinstance(product, thalweg.Parameters)
    np.testing.assert_array_equal(product.flatten(), found[4])


def test_surface(twin, digits):
    rng = np.random.default_rng(1)
    d, e = rng.normal(size=(2, len(twin.flat))) * 0.1
    surface = twin.model.surface(
        *digits, directions=[d, e], x_range=(-1, 1, 5), y_range=[-0.5, 0.25], precision="f64"
    )
    assert surface.loss.shape == (2, 5)
    for j, b in enumerate(surface.y):
        for i, a in enumerate(surface.x):
            point = twin.flat + a * twin.torch.tensor(d) + b * twin.torch.tensor(e)
            assert surface.loss[j, i] == pytest.approx(float(twin.loss(point)), rel=1e-9)
    assert surface.attributes["normalize"] == "none"
    single = twin.model.surface(
        *digits, directions=[d, e], x_range=(-1, 1, 5), y_range=[-0.5, 0.25]
    )
    np.testing.assert_allclose(single.loss, surface.loss, rtol=1e-4)


def test_spectrum_and_trace(mlp_twin, digits):
    twin = mlp_twin
    hessian = twin.hessian()
    values, vectors = np.linalg.eigh(hessian)
    found = twin.model.spectrum(
        *digits, top=5, bottom=2, trace="exact", precision="f64", tolerance=1e-6
    )
    np.testing.assert_allclose(found.top, values[::-1][:5], rtol=1e-8)
    np.testing.assert_allclose(found.bottom, values[:2], rtol=1e-6)
    assert found.trace == pytest.approx(np.trace(hessian), rel=1e-9)
    assert found.frobenius_squared == pytest.approx((hessian**2).sum(), rel=1e-9)
    for k in range(3):
        assert abs(found.vectors[k].flatten() @ vectors[:, -1 - k]) == pytest.approx(1, abs=1e-6)
    estimated = twin.model.spectrum(*digits, top=2, trace=64, density=True, precision="f64")
    trace = estimated.trace
    assert isinstance(trace, thalweg.Estimate) and trace.samples == 64
    assert abs(trace.value - np.trace(hessian)) < 4 * trace.standard_error
    density = estimated.density
    mass = np.trapezoid(density.values, density.centres)
    assert mass == pytest.approx(1, abs=1e-3)
    outliers = estimated.outliers
    assert outliers.below < outliers.above and outliers.count.standard_error > 0
    beyond = (estimated.top < outliers.below) | (estimated.top > outliers.above)
    assert outliers.found == beyond.sum()
    assert found.outliers is None


def test_operator_of_a_network_with_batch_norm(resnet_twin, digits):
    linalg = pytest.importorskip("scipy.sparse.linalg")
    twin = resnet_twin
    operator = thalweg.HessianOperator(twin.model, *digits, precision="f64")
    values, vectors = linalg.eigsh(operator, k=2, which="LA", tol=1e-8)
    gradient = twin.torch.func.grad(twin.loss)
    for value, vector in zip(values, vectors.T):
        direction = twin.torch.tensor(np.ascontiguousarray(vector))
        _, product = twin.torch.func.jvp(gradient, (twin.flat,), (direction,))
        np.testing.assert_allclose(product.numpy(), value * vector, atol=1e-6 * values[-1])


def test_filter_normalisation_gives_filters_the_norm_of_theirs(convolutional, digits):
    surface = convolutional.surface(
        *digits, x_range=(0, 1, 2), line=True, ignore="bias", precision="f64"
    )
    (direction,) = surface.directions[0]
    state = convolutional.state_dict()
    for parameter in convolutional.parameters.info:
        d, w = direction[parameter.name], state[parameter.name]
        if parameter.role == "bias":
            assert not d.any()
        elif d.ndim > 1:
            axis = parameter.axes.index("output")
            others = tuple(i for i in range(d.ndim) if i != axis)
            np.testing.assert_allclose(
                np.sqrt((d**2).sum(others)), np.sqrt((w**2).sum(others)), rtol=1e-10
            )
