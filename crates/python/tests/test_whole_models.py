"""Whole networks as PyTorch's two exporters write them, against onnxruntime in f32."""

import numpy as np
import pytest
import thalweg

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

import models  # noqa: E402

EXPORTERS = ("dynamo", "torchscript")
VISION = {
    "resnet18": {},
    "mobilenet_v3_small": {},
    "efficientnet_b0": {},
    "densenet121": {},
    # vit_b_16 itself has 86 million parameters.
    "VisionTransformer": {
        "image_size": 64, "patch_size": 16, "num_layers": 3, "num_heads": 4, "hidden_dim": 64,
        "mlp_dim": 128,
    },
}  # fmt: skip

CASES = [(name, exporter) for name in [*models.ALL, *VISION] for exporter in EXPORTERS]
# The older exporter has no `bilinear`.
CASES.remove(("dense", "torchscript"))


def built(name):
    """A network with statistics of batches in its buffers, and an example of a batch."""
    torch.manual_seed(5)
    if name in models.ALL:
        return models.trained(name), models.data(6)[0]
    vision = pytest.importorskip("torchvision.models")
    network = getattr(vision, name)(**VISION[name])
    x = torch.randn(6, 3, 64, 64)
    with torch.no_grad():
        # Some of their layers begin with zeros.
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        network.train()(x)
    return network.eval(), x


def export(network, x, path, exporter):
    if exporter == "dynamo":
        batch = torch.export.Dim("batch")
        settings = {"dynamo": True, "dynamic_shapes": ({0: batch},), "external_data": False}
    else:
        settings = {"dynamo": False, "dynamic_axes": {"x": {0: "batch"}}}
    torch.onnx.export(network, (x[:2],), path, input_names=["x"], verbose=False, **settings)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "exporter"), CASES)
def test_outputs_are_those_of_onnxruntime(name, exporter, tmp_path):
    network, x = built(name)
    path = tmp_path / "m.onnx"
    export(network, x, path, exporter)
    model = thalweg.load(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n in (1, 5):
        (expected,) = session.run(None, {"x": x[:n].numpy()})
        found = model.predict(x[:n], batch=3)
        assert found.shape == expected.shape and np.ptp(expected) > 0
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
