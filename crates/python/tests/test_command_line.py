"""The command line on models that PyTorch trained and exported, against PyTorch in f64."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
safetensors = pytest.importorskip("safetensors.numpy")

import models  # noqa: E402
from command import thalweg  # noqa: E402


@pytest.fixture(scope="module", params=models.ALL)
def files(request, tmp_path_factory):
    """A folder with m.onnx, t.npz and d.safetensors, and PyTorch's side."""
    folder = tmp_path_factory.mktemp(request.param)
    network = models.trained(request.param)
    inputs, labels = models.data()
    np.savez(folder / "t.npz", x=inputs.numpy(), y=labels.numpy())
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        network, (inputs[:2],), folder / "m.onnx", dynamo=True,
        dynamic_shapes=({0: batch},), verbose=False, external_data=False, optimize=False,
    )  # fmt: skip
    rng = np.random.default_rng(3)
    directions = {}
    for axis in "xy":
        for name, parameter in network.named_parameters():
            scale = 0.3 * float(parameter.detach().std().nan_to_num()) + 0.02
            drawn = rng.normal(size=tuple(parameter.shape)) * scale
            directions[f"{axis}.{name}"] = drawn.astype(np.float32)
    safetensors.save_file(directions, folder / "d.safetensors")
    reference = models.Reference(network, inputs, labels)
    flat = {
        axis: torch.cat(
            [
                torch.tensor(directions[f"{axis}.{name}"]).double().reshape(-1)
                for name in reference.named
            ]
        )
        for axis in "xy"
    }
    return folder, reference, flat


@pytest.mark.parametrize(("precision", "tolerance"), [("f64", 1e-6), ("f32", 1e-4)])
def test_surface(files, precision, tolerance):
    folder, reference, flat = files
    zarr = pytest.importorskip("zarr")
    run = folder / f"surface-{precision}"
    reply = thalweg(
        "surface", "m.onnx", "--data", "t.npz", "--directions", "d.safetensors", "--normalize",
        "none", "--batch-norm", "frozen", "--x", "-1:1:9", "--y", "-1:1:9", "--precision",
        precision, "--out", run, cwd=folder,
    )  # fmt: skip
    loss = zarr.open(run / "results.zarr", mode="r")["loss"][:]
    coordinates = np.linspace(-1, 1, 9)
    with torch.no_grad():
        expected = np.array(
            [
                [
                    float(reference.loss(reference.flat + a * flat["x"] + b * flat["y"]))
                    for a in coordinates
                ]
                for b in coordinates
            ]
        )
    np.testing.assert_allclose(loss, expected, rtol=tolerance)
    assert reply["loss"] == pytest.approx(expected[4, 4], rel=tolerance)
    low = np.unravel_index(expected.argmin(), expected.shape)
    assert reply["minimum"]["loss"] == pytest.approx(expected.min(), rel=tolerance)
    assert (reply["minimum"]["x"], reply["minimum"]["y"]) == (
        coordinates[low[1]],
        coordinates[low[0]],
    )


def test_spectrum(files):
    folder, reference, _ = files
    common = ("spectrum", "m.onnx", "--data", "t.npz", "--top", "5", "--precision", "f64")
    estimated = thalweg(*common, "--out", folder / "estimated", cwd=folder)
    exact = thalweg(*common, "--trace", "exact", "--out", folder / "exact", cwd=folder)
    hessian = reference.hessian()
    values = np.linalg.eigvalsh((hessian + hessian.T) / 2)[::-1]
    np.testing.assert_allclose([pair["value"] for pair in estimated["top"]], values[:5], rtol=1e-4)
    trace = estimated["trace"]
    assert abs(trace["value"] - np.trace(hessian)) <= 3 * trace["standard_error"]
    assert exact["trace"] == pytest.approx(np.trace(hessian), rel=1e-7)
