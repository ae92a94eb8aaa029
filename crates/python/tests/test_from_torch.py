"""Networks of PyTorch's through its exporters: the same function, under the same names."""

import numpy as np
import pytest
import thalweg

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import models  # noqa: E402


@pytest.fixture(scope="module", params=models.ALL)
def pair(request):
    network = models.trained(request.param)
    inputs, labels = models.data()
    model = thalweg.from_torch(network, inputs[:2])
    return request.param, model, models.Reference(network, inputs, labels)


def aligned(model, reference, vector):
    """A vector over PyTorch's parameters in the model's order."""
    named = reference.unflatten(torch.as_tensor(vector))
    return np.concatenate([named[name].numpy().reshape(-1) for name in model.parameters])


def test_names_and_shapes_are_those_of_the_module(pair):
    name, model, reference = pair
    assert set(model.parameters) == set(reference.named)
    for p in model.parameters.info:
        assert p.shape == tuple(reference.named[p.name].shape)
        np.testing.assert_allclose(
            model.parameters[p.name], reference.named[p.name].detach().numpy(), rtol=1e-6
        )


def test_loss_gradient_and_products(pair):
    name, model, reference = pair
    x, y = reference.inputs, reference.labels
    exact = {"precision": "f64", "batch": 20}
    assert model.loss(x, y, **exact) == pytest.approx(
        float(reference.loss(reference.flat)), rel=1e-9
    )
    gradient = torch.func.grad(reference.loss)(reference.flat)
    found = model.gradient(x, y, **exact)
    expected = aligned(model, reference, gradient)
    np.testing.assert_allclose(found.flatten(), expected, rtol=1e-6, atol=1e-10)
    flat = reference.flat.clone().requires_grad_()
    (graph,) = torch.autograd.grad(reference.loss(flat), flat, create_graph=True)
    v = torch.randn(len(flat), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (product,) = torch.autograd.grad(graph @ v, flat)
    found = model.hvp(x, y, aligned(model, reference, v), **exact)
    np.testing.assert_allclose(
        found, aligned(model, reference, product), rtol=1e-5, atol=1e-8 * float(product.abs().max())
    )


def test_it_is_sent_and_kept(pair, tmp_path):
    import pickle

    name, model, reference = pair
    x, y = reference.inputs.float(), reference.labels
    again = pickle.loads(pickle.dumps(model))
    assert again.loss(x, y) == model.loss(x, y)
    moved = model.at(model.parameters.flatten() * 1.01)
    moved.to_onnx(tmp_path / "m.onnx")
    read = thalweg.load(tmp_path / "m.onnx", input_shape=(1, 8, 8))
    assert read.loss(x, y) == pytest.approx(moved.loss(x, y), rel=1e-6)
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(moved.predict(x), outputs, rtol=1e-4, atol=1e-5)


def test_the_module_stays_as_it_was():
    network = models.trained("mobile").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    model = thalweg.from_torch(network, models.data()[0][:1], name="mine")
    assert network.training and model.name == "mine"
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    with pytest.raises(thalweg.ConfigError, match="example"):
        thalweg.from_torch(network, 3)


def test_it_trains_on(pair):
    name, model, reference = pair
    x, y = reference.inputs.float(), reference.labels
    member = model.train(x, y, steps=20, batch=16, lr=0.02, optimizer="momentum")[0]
    assert member.diverged is None
    assert member.model.loss(x, y) < model.loss(x, y)
    assert member.model.name == "trained"


def test_architectures_of_thalweg_export(convolutional, digits, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    x, _ = digits
    convolutional.to_onnx(tmp_path / "r.onnx", layout="channels-last")
    session = runtime.InferenceSession(str(tmp_path / "r.onnx"), providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(convolutional.predict(x), outputs, rtol=1e-4, atol=1e-5)
    convolutional.to_onnx(tmp_path / "c.onnx")
    again = thalweg.load(tmp_path / "c.onnx")
    images = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(again.predict(images), outputs, rtol=1e-4, atol=1e-5)


def test_files_that_are_not_models(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no")
    with pytest.raises(thalweg.FormatError, match="m.onnx"):
        thalweg.load(path)
    with pytest.raises(thalweg.FileError, match="there is no such file"):
        thalweg.load(tmp_path / "n.onnx")
