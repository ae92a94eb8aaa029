"""Models: where they come from, what they say of themselves, how they are changed and kept."""

import copy
import pickle

import numpy as np
import pytest
import thalweg


def test_a_model_says_what_it_is(convolutional):
    assert convolutional.architecture.startswith("resnet input=8x8x1 outputs=10 depth=8")
    assert convolutional.inputs == {"input": (8, 8, 1)}
    assert convolutional.outputs == {"output": (10,)}
    parameters = convolutional.parameters
    assert len(parameters) == len(parameters.info) == len(list(parameters))
    assert parameters.size == sum(array.size for array in parameters.values())
    first = parameters.info[0]
    assert (first.name, first.shape) == ("conv1.weight", (2, 1, 3, 3))
    assert (first.role, first.axes) == ("weight", ("output", "input", "spatial", "spatial"))
    assert {p.role for p in parameters.info} >= {"weight", "bias", "norm-scale", "norm-shift"}
    for p in parameters.info:
        assert parameters[p.name].shape == p.shape
    assert "parameters" in repr(convolutional) and "conv1.weight" in repr(parameters)
    assert "<table" in convolutional._repr_html_() and "<table" in parameters._repr_html_()
    np.testing.assert_array_equal(
        parameters.flatten(), np.concatenate([a.ravel() for a in parameters.values()])
    )


def test_parameters_are_set_by_name(trained, digits):
    model = copy.copy(trained)
    before = trained.loss(*digits)
    model.parameters["fc2.bias"] = np.zeros(10)
    assert model.loss(*digits) != before and trained.loss(*digits) == before
    assert not model.parameters["fc2.bias"].any()
    model.parameters["fc2.bias"] = trained.parameters["fc2.bias"]
    assert model.loss(*digits) == before
    with pytest.raises(KeyError):
        model.parameters["fc3.bias"] = np.zeros(10)
    with pytest.raises(thalweg.ShapeError, match=r"fc2\.bias should be \[10\], got \[9\]"):
        model.parameters["fc2.bias"] = np.zeros(9)
    # What is set is a copy.
    bias = np.zeros(10)
    model.parameters["fc2.bias"] = bias
    bias[:] = 7
    assert not model.parameters["fc2.bias"].any()


def test_another_point_of_weight_space(trained, digits):
    flat = trained.parameters.flatten()
    assert trained.at(flat).loss(*digits, precision="f64") == trained.loss(*digits, precision="f64")
    step = trained.gradient(*digits, precision="f64") * -0.01
    down = trained.at(trained.parameters.to_parameters() + step)
    assert down.loss(*digits, precision="f64") < trained.loss(*digits, precision="f64")
    with pytest.raises(thalweg.ShapeError, match="one element for each parameter"):
        trained.at(flat[:-1])
    with pytest.raises(thalweg.ShapeError, match=r"fc1\.bias is missing"):
        trained.at({name: a for name, a in trained.parameters.items() if name != "fc1.bias"})


def test_files_go_round(convolutional, digits, tmp_path):
    path = tmp_path / "w.safetensors"
    convolutional.save(path)
    again = thalweg.load(path)
    assert again.dtype == "f64" and again.architecture == convolutional.architecture
    assert again.loss(*digits, precision="f64") == convolutional.loss(*digits, precision="f64")
    same = thalweg.load(path, "resnet depth=8 width=2", input_shape=(8, 8, 1), n_outputs=10)
    assert same.loss(*digits) == convolutional.loss(*digits)
    state = convolutional.state_dict()
    assert "bn1.running_mean" in state and len(state) > len(convolutional.parameters)
    numpy_file = pytest.importorskip("safetensors.numpy")
    tensors = numpy_file.load_file(path)
    for name, array in state.items():
        np.testing.assert_array_equal(tensors[name], array)


def test_what_is_no_model_is_told(tmp_path):
    with pytest.raises(thalweg.FileError, match="there is no such file") as missing:
        thalweg.load(tmp_path / "nothing.safetensors")
    assert isinstance(missing.value, OSError)
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    with pytest.raises(thalweg.FormatError, match="bad.safetensors"):
        thalweg.load(bad)
    with pytest.raises(thalweg.ConfigError, match="unknown architecture"):
        thalweg.build("resnext", (8, 8, 1), 10)
    with pytest.raises(thalweg.ConfigError, match="did you mean"):
        thalweg.build("resnet widht=4", (8, 8, 1), 10)
    with pytest.raises(thalweg.ConfigError, match="extents of one example"):
        thalweg.build("mlp")
    with pytest.raises(thalweg.ThalwegError):
        thalweg.build("resnet", (7,), 10)
    assert "resnet" in thalweg.architectures()


def test_copies_and_pickles_are_the_same_function(convolutional, trained, digits):
    for model in (convolutional, trained):
        for again in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert again.loss(*digits, precision="f64") == model.loss(*digits, precision="f64")
            assert again.name == model.name and again.dtype == model.dtype


def test_normalisation_of_a_file_is_applied(tmp_path):
    """The loss of raw inputs is that of the command line's, which normalises them."""
    safetensors = pytest.importorskip("safetensors.numpy")
    x, y, _, _ = thalweg.dataset("digits", normalize=False)
    model = thalweg.build("linear", x.shape[1:], 10)
    metadata = {
        "architecture": model.architecture,
        "normalization_mean": "4.5",
        "normalization_divisor": "2",
    }
    safetensors.save_file(model.state_dict(), tmp_path / "n.safetensors", metadata)
    read = thalweg.load(tmp_path / "n.safetensors")
    assert read.normalization == ([4.5], [2.0])
    assert read.loss(x, y) == model.loss((x - np.float32(4.5)) / np.float32(2), y)
    assert pickle.loads(pickle.dumps(read)).loss(x, y) == read.loss(x, y)


def test_version():
    assert thalweg.__version__.count(".") == 2
