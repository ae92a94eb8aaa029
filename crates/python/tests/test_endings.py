"""Models that end in a softmax or a sigmoid: a loss is of the scores before it, as on the command
line, and it is said."""

import pickle
import warnings

import numpy as np
import pytest
import thalweg
from command import thalweg as command

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

SAID = "ends in a softmax: cross-entropy is taken of the scores before it"
EXACT = {"precision": "f64"}


def exported(ending, folder):
    """A small network before its ending, the file of it with the ending, and data of its own."""
    torch.manual_seed(3)
    scores = nn.Sequential(nn.Linear(12, 7), nn.Tanh(), nn.Linear(7, 4))
    x, y = torch.randn(40, 12), torch.arange(40) % 4
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        nn.Sequential(scores, ending), (x[:2],), folder / "m.onnx", dynamo=True,
        dynamic_shapes=({0: batch},), verbose=False, external_data=False, optimize=False,
    )  # fmt: skip
    np.savez(folder / "t.npz", x=x.numpy(), y=y.numpy())
    return scores.double(), folder / "m.onnx", x, y


@pytest.fixture(scope="module")
def softmax(tmp_path_factory):
    return exported(nn.Softmax(-1), tmp_path_factory.mktemp("softmax"))


def test_the_loss_is_that_of_the_command(softmax):
    scores, path, x, y = softmax
    model = thalweg.load(path)
    for precision, tolerance in (("f64", 1e-12), ("f32", 1e-6)):
        line = ("surface", "m.onnx", "--data", "t.npz", "--x=-1:1:3", "--precision", precision)
        reply = command(*line, "--out", path.parent / precision, cwd=path.parent)
        with pytest.warns(UserWarning, match=SAID) as said:
            found = model.loss(x, y, precision=precision)
        assert [one.filename for one in said] == [__file__]
        assert found == pytest.approx(reply["loss"], rel=1e-15)
        expected = float(functional.cross_entropy(scores(x.double()), y))
        assert found == pytest.approx(expected, rel=tolerance)


def test_everything_of_the_loss_is_of_the_scores(softmax):
    scores, path, x, y = softmax
    model = thalweg.load(path)
    # What the model gives stays what it is.
    probabilities = functional.softmax(scores(x.double()), -1).detach().numpy()
    np.testing.assert_allclose(model.predict(x, **EXACT), probabilities, rtol=1e-12)
    functional.cross_entropy(scores(x.double()), y).backward()
    expected = torch.cat([p.grad.reshape(-1) for p in scores.parameters()]).numpy()
    with pytest.warns(UserWarning, match=SAID):
        gradient = model.gradient(x, y, **EXACT)
    np.testing.assert_allclose(gradient.flatten(), expected, rtol=1e-9, atol=1e-14)
    with pytest.warns(UserWarning, match=SAID):
        surface = model.surface(x, y, x_range=(-1, 1, 3), **EXACT)
    with pytest.warns(UserWarning, match=SAID):
        sent = pickle.loads(pickle.dumps(model)).loss(x, y, **EXACT)
    assert surface.centre.loss == sent == surface.loss[1, 1]
    with pytest.warns(UserWarning, match=SAID):
        member = model.train(x, y, steps=30, batch=20, lr=0.5, optimizer="sgd")[0]
    with pytest.warns(UserWarning, match=SAID):
        assert member.model.loss(x, y) < 0.95 * surface.centre.loss
    # The mean over the batches of an epoch before a step is the loss that is measured.
    with pytest.warns(UserWarning, match=SAID):
        first = model.train(x, y, steps=1, batch=40, lr=0.1, optimizer="sgd")[0].loss[0]
    assert first == pytest.approx(sent, rel=1e-5)


def test_what_was_asked_for_by_name_or_is_another_loss_stays(softmax):
    _, path, x, y = softmax
    model = thalweg.load(path)
    (name,) = model.outputs
    probabilities = torch.tensor(model.predict(x, **EXACT))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named = thalweg.load(path, outputs=name).loss(x, y, **EXACT)
        values = np.eye(4)[y.numpy()]
        squares = model.loss(x, values, **EXACT)
    assert named == pytest.approx(float(functional.cross_entropy(probabilities, y)), rel=1e-12)
    assert squares == model.loss(x, values, loss="mse", **EXACT)
    assert squares != pytest.approx(named, rel=1e-3)


def test_a_sigmoid_and_a_log_softmax(tmp_path):
    scores, path, x, y = exported(nn.Sigmoid(), tmp_path)
    targets = functional.one_hot(y, 4).double()
    expected = functional.binary_cross_entropy_with_logits(scores(x.double()), targets)
    with pytest.warns(UserWarning, match="ends in a sigmoid: .* is taken of the scores before it"):
        found = thalweg.load(path).loss(x, targets, loss="bce", **EXACT)
    assert found == pytest.approx(float(expected), rel=1e-12)
    scores, path, x, y = exported(nn.LogSoftmax(-1), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = thalweg.load(path).loss(x, y, **EXACT)
    expected = functional.cross_entropy(scores(x.double()), y)
    assert found == pytest.approx(float(expected), rel=1e-12)
