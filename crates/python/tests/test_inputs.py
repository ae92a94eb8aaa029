"""Arrays in: any library's, without copies where layouts allow."""

import numpy as np
import pytest
import thalweg
from thalweg import _inputs


def test_tensors_of_torch_are_read_in_place(torch, trained, digits):
    x, y = digits
    expected = trained.loss(x, y)
    tensor = torch.tensor(x, requires_grad=True)
    array = _inputs.as_float(tensor, "x")
    assert array.__array_interface__["data"][0] == tensor.data_ptr()
    assert trained.loss(tensor, torch.tensor(y)) == expected
    # The engine itself reads where they lie: what is written between two calls is seen.
    operator = pytest.importorskip("scipy.sparse.linalg") and thalweg.HessianOperator(
        trained, tensor, torch.tensor(y)
    )
    v = np.ones(operator.shape[0], dtype=np.float32)
    before = operator @ v
    with torch.no_grad():
        tensor *= 0.5
    after = operator @ v
    np.testing.assert_array_equal(after, thalweg.HessianOperator(trained, x * 0.5, y) @ v)
    assert not np.array_equal(before, after)


def test_labels_of_any_integer_type_are_labels(trained, digits):
    x, y = digits
    expected = trained.evaluate(x, y)
    assert expected.accuracy is not None and expected.examples == len(y)
    for dtype in (np.int8, np.uint8, np.int64, np.uint64, ">i4"):
        assert trained.evaluate(x, y.astype(dtype)) == expected
    assert trained.evaluate(x, y[:, None]) == expected
    assert trained.evaluate(x, y.tolist()) == expected


def test_inputs_of_any_layout_and_type(trained, digits):
    x, y = digits
    expected = trained.loss(x, y, precision="f64")
    assert trained.loss(np.asfortranarray(x), y, precision="f64") == expected
    assert trained.loss(x.astype(np.float64), y, precision="f64") == expected
    assert trained.loss(x.astype(">f4"), y, precision="f64") == expected
    assert trained.loss(np.repeat(x, 2, axis=0)[::2], y, precision="f64") == expected
    whole = (x * 4).round().astype(np.int64)
    assert trained.loss(whole, y) == trained.loss(whole.astype(np.float32), y)


def test_values_of_float64_are_not_rounded_on_the_way(torch):
    """What float32 would round away changes the loss in float64."""
    model = thalweg.build("linear", (3,), 1, precision="f64")
    x = 1.0 + np.arange(12).reshape(4, 3) * 1e-12
    y = np.arange(4) * 1e-12
    state = model.state_dict()
    outputs = x @ state["fc.weight"].T + state["fc.bias"] if "fc.weight" in state else None
    if outputs is None:
        weight, bias = (a for _, a in sorted(state.items(), key=lambda kv: -kv[1].ndim))
        outputs = x @ weight.T + bias
    expected = ((outputs - y[:, None]) ** 2).mean()
    found = model.loss(x, y[:, None], loss="mse", precision="f64")
    assert found == pytest.approx(expected, rel=1e-14)
    assert model.loss(x, y[:, None], precision="f64") == found, "values ask for squared error"


def test_an_unaligned_array_is_copied(trained, digits):
    x, y = digits
    raw = np.zeros(x.nbytes + 1, dtype=np.uint8)
    shifted = raw[1:].view(np.float32).reshape(x.shape)
    shifted[:] = x
    assert trained.loss(shifted, y) == trained.loss(x, y)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (lambda x: x[:5], lambda y: y, thalweg.ShapeError, "5 inputs but 120 targets"),
        (lambda x: x[..., :7, :], lambda y: y, thalweg.ShapeError, "8x8|8, 8"),
        (lambda x: x[:0], lambda y: y[:0], thalweg.ThalwegError, "at least 1 example"),
        (lambda x: x, lambda y: y + 9, thalweg.DataError, "row .* is 1[0-9], expected .* 0 to 9"),
        (lambda x: x, lambda y: y - 1, thalweg.DataError, "is -1"),
        (lambda x: x, lambda y: y.astype(np.int64) << 40, thalweg.DataError, "32 bits"),
        (lambda x: x * np.nan, lambda y: y, thalweg.DataError, "row 0 holds NaN at element 0"),
        (lambda x: x.astype(complex), lambda y: y, thalweg.ShapeError, "real numbers"),
        (lambda x: x.astype(str), lambda y: y, thalweg.ShapeError, "real numbers"),
        (lambda x: [[1, 2], [3]], lambda y: y, thalweg.ShapeError, "x"),
        (lambda x: object(), lambda y: y, thalweg.ShapeError, "no array of numbers"),
        (lambda x: 1.0, lambda y: y, thalweg.ShapeError, "single number"),
        (lambda x: {"other": x}, lambda y: y, thalweg.ShapeError, "expected the inputs input"),
        (lambda x: x, lambda y: np.ones((120, 3)), thalweg.ShapeError, "expected"),
        (lambda x: x, lambda y: y[:, None].repeat(2, 1), thalweg.ShapeError, "expected"),
        (lambda x: x, lambda y: np.ones(()), thalweg.ShapeError, "single number"),
    ],
)
def test_what_does_not_fit_is_told(trained, digits, x, y, error, message):
    with pytest.raises(error, match=message) as caught:
        trained.loss(x(digits[0]), y(digits[1]))
    assert "\n" not in str(caught.value)
    with pytest.raises(error, match=message):
        trained.train(x(digits[0]), y(digits[1]), epochs=1)


def test_a_tensor_elsewhere_is_told(trained, digits):
    class Elsewhere:
        device = "cuda:0"

        def __dlpack__(self, **_):
            raise BufferError("no")

        def __dlpack_device__(self):
            return (2, 0)

    with pytest.raises(thalweg.ShapeError, match="on the device cuda:0"):
        trained.loss(Elsewhere(), digits[1])


def test_results_go_to_torch_without_a_copy(torch, trained, digits):
    gradient = trained.gradient(*digits).flatten()
    tensor = torch.from_dlpack(gradient)
    assert tensor.data_ptr() == gradient.__array_interface__["data"][0]
    surface = trained.surface(*digits, x_range=(-1, 1, 3))
    assert torch.from_dlpack(surface.loss).shape == (3, 3)
