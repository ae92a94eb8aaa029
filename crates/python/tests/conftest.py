"""What several tests share: data, and networks in Thalweg and in PyTorch with the same weights."""

from __future__ import annotations

import os

# Before PyTorch is loaded, whose threads wait awake between operations too small for them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import thalweg


@pytest.fixture(scope="session")
def digits():
    """120 digits, normalised: inputs [n, 8, 8, 1] and labels."""
    x, y, _, _ = thalweg.dataset("digits")
    return np.ascontiguousarray(x[:120]), np.ascontiguousarray(y[:120])


@pytest.fixture(scope="session")
def trained(digits):
    """A small network after a little training, in f64."""
    x, y = digits
    model = thalweg.build("mlp hidden=8 activation=tanh", (8, 8, 1), 10, precision="f64")
    return model.train(x, y, epochs=3, batch=20, lr=0.05, precision="f64")[0].model


@pytest.fixture(scope="session")
def convolutional(digits):
    """A residual network with batch norm after a little training, in f64."""
    x, y = digits
    model = thalweg.build("resnet depth=8 width=2", (8, 8, 1), 10, precision="f64")
    return model.train(x, y, epochs=1, batch=20, lr=0.05, precision="f64")[0].model


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")


class Twin:
    """PyTorch's side of a network of Thalweg's: the same function of a flat vector, in f64."""

    def __init__(self, torch, model, function, x, y):
        self.torch, self.model, self.function = torch, model, function
        self.x = torch.tensor(np.asarray(x), dtype=torch.float64)
        self.y = torch.tensor(np.asarray(y).astype(np.int64))
        self.shapes = [(p.name, p.shape, p.size) for p in model.parameters.info]
        state = model.state_dict()
        buffers = set(state) - set(model.parameters)
        self.buffers = {name: torch.tensor(state[name]) for name in buffers}
        self.flat = torch.tensor(model.parameters.flatten(), dtype=torch.float64)

    def outputs(self, flat):
        named, first = dict(self.buffers), 0
        for name, shape, size in self.shapes:
            named[name] = flat[first : first + size].reshape(shape)
            first += size
        return self.function(self.torch, named, self.x)

    def loss(self, flat):
        return self.torch.nn.functional.cross_entropy(self.outputs(flat), self.y)

    def gradient(self, flat=None):
        return self.torch.func.grad(self.loss)(self.flat if flat is None else flat).numpy()

    def hessian(self):
        return self.torch.autograd.functional.hessian(self.loss, self.flat).numpy()


def mlp(torch, w, x):
    hidden = torch.tanh(x.reshape(len(x), -1) @ w["fc1.weight"].T + w["fc1.bias"])
    return hidden @ w["fc2.weight"].T + w["fc2.bias"]


def resnet8(torch, w, x):
    """CIFAR's residual network of depth 8, with running statistics."""
    functional = torch.nn.functional

    def norm(name, h):
        return functional.batch_norm(
            h,
            w[f"{name}.running_mean"],
            w[f"{name}.running_var"],
            w[f"{name}.weight"],
            w[f"{name}.bias"],
        )

    def conv(name, h, stride=1):
        kernel = w[f"{name}.weight"]
        return functional.conv2d(h, kernel, None, stride, kernel.shape[-1] // 2)

    h = torch.relu(norm("bn1", conv("conv1", x.permute(0, 3, 1, 2))))
    for layer in (1, 2, 3):
        name, stride = f"layer{layer}.0", 1 if layer == 1 else 2
        out = torch.relu(norm(f"{name}.bn1", conv(f"{name}.conv1", h, stride)))
        out = norm(f"{name}.bn2", conv(f"{name}.conv2", out))
        if f"{name}.downsample.0.weight" in w:
            h = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", h, stride))
        elif h.shape != out.shape:
            # The shortcut without parameters: every second pixel, channels filled with zeros.
            h = h[:, :, ::2, ::2]
            more = out.shape[1] - h.shape[1]
            h = functional.pad(h, (0, 0, 0, 0, more // 2, more - more // 2))
        h = torch.relu(out + h)
    head = "fc" if "fc.weight" in w else "linear"
    return h.mean((2, 3)) @ w[f"{head}.weight"].T + w[f"{head}.bias"]


@pytest.fixture(scope="session")
def mlp_twin(torch, trained, digits):
    return Twin(torch, trained, mlp, *digits)


@pytest.fixture(scope="session")
def resnet_twin(torch, convolutional, digits):
    return Twin(torch, convolutional, resnet8, *digits)
