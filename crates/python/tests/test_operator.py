"""The Hessian as SciPy's operator."""

import pickle

import numpy as np
import pytest
import thalweg

linalg = pytest.importorskip("scipy.sparse.linalg")


@pytest.fixture(scope="module")
def operator(trained, digits):
    return thalweg.HessianOperator(trained, *digits, precision="f64")


def test_it_is_the_hessian(operator, trained, digits, mlp_twin):
    hessian = mlp_twin.hessian()
    n = hessian.shape[0]
    assert operator.shape == (n, n) and operator.dtype == np.float64
    identity = np.eye(n)[:, :20]
    np.testing.assert_allclose(operator @ identity, hessian[:, :20], rtol=1e-7, atol=1e-10)
    v = np.random.default_rng(0).normal(size=n)
    np.testing.assert_array_equal(operator.matvec(v), operator.rmatvec(v))
    np.testing.assert_array_equal(operator.T @ v, operator.H @ v)
    np.testing.assert_array_equal(operator @ v, trained.hvp(*digits, v, precision="f64"))
    np.testing.assert_array_equal(operator @ v[:, None], (operator @ v)[:, None])


def test_eigsh_finds_what_lanczos_finds(operator, trained, digits):
    values, vectors = linalg.eigsh(operator, k=4, which="LA")
    spectrum = trained.spectrum(*digits, top=4, precision="f64", tolerance=1e-6)
    np.testing.assert_allclose(np.sort(values)[::-1], spectrum.top, rtol=1e-7)
    named = operator.named(vectors[:, -1])
    assert abs(named.dot(spectrum.vectors[0])) == pytest.approx(1, abs=1e-5)


def test_solvers_solve(trained, digits):
    damped = thalweg.HessianOperator(trained, *digits, damping=1.0, precision="f64")
    gradient = trained.gradient(*digits, precision="f64").flatten()
    step, failed = linalg.cg(damped, gradient, rtol=1e-8)
    assert failed == 0
    np.testing.assert_allclose(damped @ step, gradient, atol=1e-7)


def test_single_precision(operator, trained, digits):
    single = thalweg.HessianOperator(trained, *digits)
    assert single.dtype == np.float32
    value = linalg.eigsh(single, k=1, which="LA", return_eigenvectors=False)[0]
    exact = linalg.eigsh(operator, k=1, which="LA", return_eigenvectors=False)[0]
    assert value == pytest.approx(exact, rel=1e-4)


def test_pickles(operator):
    v = np.ones(operator.shape[0])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(operator)) @ v, operator @ v)


def test_what_does_not_fit_is_told(trained, digits):
    with pytest.raises(thalweg.ShapeError):
        thalweg.HessianOperator(trained, digits[0][:3], digits[1])
    with pytest.raises(thalweg.OutOfMemoryError):
        thalweg.HessianOperator(trained, *digits, memory="1KiB")
    with pytest.raises(ValueError):
        thalweg.HessianOperator(trained, *digits) @ np.ones(3)
