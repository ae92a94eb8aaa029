"""`thalweg export`: onnxruntime and PyTorch compute the same from what it writes.

Every architecture is trained for a few steps by the command, exported to ONNX and safetensors, and
run by onnxruntime in batches of several sizes; PyTorch runs a module written here by hand, whose
`state_dict` the safetensors file must be, name for name.
"""

from __future__ import annotations

import collections
import math
import pathlib
import subprocess

import numpy as np
import pytest
from command import command, thalweg

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
safetensors = pytest.importorskip("safetensors")
torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

BATCHES = (1, 2, 7, 64)
TOLERANCE = 1e-5

# PyTorch's side: modules with Thalweg's names, written from the architectures' documentation.


class Mlp(nn.Module):
    def __init__(self, sizes, activation=functional.relu, norm=None, bias=True):
        super().__init__()
        self.activation, self.depth = activation, len(sizes) - 1
        for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:]), 1):
            self.add_module(f"fc{i}", nn.Linear(inputs, outputs, bias=bias))
            if norm and i < self.depth:
                self.add_module(f"norm{i}", norm(outputs))

    def forward(self, x):
        x = x.flatten(1)
        for i in range(1, self.depth + 1):
            x = getattr(self, f"fc{i}")(x)
            if i < self.depth:
                x = self.activation(getattr(self, f"norm{i}", nn.Identity())(x))
        return x


class Linear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Sine(nn.Module):
    def __init__(self, inputs, outputs, omega):
        super().__init__()
        self.linear, self.omega = nn.Linear(inputs, outputs), omega

    def forward(self, x):
        return torch.sin(self.omega * self.linear(x))


class Siren(nn.Module):
    def __init__(self, widths, omega):
        super().__init__()
        layers = [Sine(a, b, omega) for a, b in zip(widths[:-2], widths[1:-1])]
        self.net = nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))

    def forward(self, x):
        return self.net(x.flatten(1))


class ConvNet(nn.Module):
    def __init__(self, channels, classes, norm=None, flatten=None, pool=functional.max_pool2d):
        super().__init__()
        self.depth, self.flatten, self.pool = len(channels) - 1, flatten, pool
        for i, (inputs, outputs) in enumerate(zip(channels, channels[1:]), 1):
            self.add_module(f"conv{i}", nn.Conv2d(inputs, outputs, 3, padding=1, bias=norm is None))
            if norm:
                self.add_module(f"norm{i}", norm(outputs))
        self.fc = nn.Linear(flatten or channels[-1], classes)

    def forward(self, x):
        for i in range(1, self.depth + 1):
            x = getattr(self, f"norm{i}", nn.Identity())(getattr(self, f"conv{i}")(x))
            x = self.pool(functional.relu(x), 2)
        return self.fc(x.flatten(1) if self.flatten else x.mean((2, 3)))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = norm(outputs)
        self.downsample = nn.Identity()
        if stride > 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, norm(outputs))

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self, depth, width, channels, classes, norm=nn.BatchNorm2d):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = norm(width)
        inputs = width
        for stage in range(3):
            blocks, outputs = [], width * 2**stage
            for block in range((depth - 2) // 6):
                stride = 2 if stage and not block else 1
                blocks.append(Block(inputs, outputs, stride, norm))
                inputs = outputs
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, width, heads, names, dense, causal):
        super().__init__()
        self.heads, self.names, self.causal = heads, names, causal
        self.add_module(names[0], dense(width, 3 * width))
        self.add_module(names[1], dense(width, width))

    def forward(self, x):
        n, t, width = x.shape
        qkv = getattr(self, self.names[0])(x).view(n, t, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return getattr(self, self.names[1])(y.transpose(1, 2).reshape(n, t, width))


class Perceptron(nn.Module):
    def __init__(self, width, names, dense, activation):
        super().__init__()
        self.names, self.activation = names, activation
        self.add_module(names[0], dense(width, 4 * width))
        self.add_module(names[1], dense(4 * width, width))

    def forward(self, x):
        inner, outer = (getattr(self, name) for name in self.names)
        return outer(self.activation(inner(x)))


class TransformerBlock(nn.Module):
    def __init__(self, width, heads, norms, attention, mlp, dense, activation, causal, eps):
        super().__init__()
        self.norms = norms
        for name in norms:
            self.add_module(name, nn.LayerNorm(width, eps=eps))
        self.attn = Attention(width, heads, attention, dense, causal)
        self.mlp = Perceptron(width, mlp, dense, activation)

    def forward(self, x):
        first, second = (getattr(self, name) for name in self.norms)
        x = x + self.attn(first(x))
        return x + self.mlp(second(x))


class Vit(nn.Module):
    def __init__(self, patch, depth, width, heads, image, channels, classes):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, (image // patch) ** 2 + 1, width))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(channels, width, patch, patch)
        names = ("norm1", "norm2"), ("qkv", "proj"), ("fc1", "fc2")
        block = lambda: TransformerBlock(  # noqa: E731
            width, heads, *names, nn.Linear, functional.gelu, causal=False, eps=1e-6
        )
        self.blocks = nn.Sequential(*(block() for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x)[:, 0]))


class WindowAttention(nn.Module):
    """Attention within windows, one table of biases by the distance of key and query for all."""

    def __init__(self, width, window, heads, units):
        super().__init__()
        self.window, self.heads = window, heads
        self.qkv = nn.Linear(width, 3 * heads * units, bias=False)
        self.bias_table = nn.Parameter(torch.zeros(2 * window - 1, 2 * window - 1))
        self.proj = nn.Linear(heads * units, width)

    def forward(self, x):
        side, (n, c, height, width) = self.window, x.shape
        x = x.reshape(n, c, height // side, side, width // side, side)
        x = x.permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, c)
        q, k, v = self.qkv(x).view(len(x), side * side, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        down, right = (place.flatten() for place in np.indices((side, side)))
        away = lambda place: place[None, :] - place[:, None] + side - 1  # noqa: E731
        bias = self.bias_table[away(down), away(right)]
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        y = self.proj(y.transpose(1, 2).flatten(2))
        y = y.reshape(n, height // side, width // side, side, side, c)
        return y.permute(0, 5, 1, 3, 2, 4).reshape(n, c, height, width)


class ReadyFirst(nn.Module):
    """A block with its normalisation first: two convolutions, or attention in windows."""

    def __init__(self, before, after, stride, attention):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
        self.shortcut = None
        if attention is not None:
            self.conv = nn.Conv2d(before, after, 1, bias=False)
            self.attn = WindowAttention(after, *attention)
            return
        if stride != 1 or before != after:
            self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False)
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)

    def forward(self, x):
        if hasattr(self, "attn"):
            return x + self.attn(self.bn2(self.conv(functional.gelu(self.bn1(x)))))
        ready = functional.relu(self.bn1(x))
        y = self.conv2(functional.relu(self.bn2(self.conv1(ready))))
        return y + (x if self.shortcut is None else self.shortcut(ready))


class AlterNet(nn.Module):
    def __init__(self, channels, width, stages, classes):
        """Of each stage the attention of each block: none, or window, heads and units."""
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.n, before = len(stages), width
        for stage, blocks in enumerate(stages):
            made, after = [], width << stage
            for i, attention in enumerate(blocks):
                made.append(ReadyFirst(before, after, 2 if stage and not i else 1, attention))
                before = after
            self.add_module(f"layer{stage + 1}", nn.Sequential(*made))
        self.norm = nn.BatchNorm2d(before)
        self.fc = nn.Linear(before, classes)

    def forward(self, x):
        x = self.stem(x)
        for stage in range(self.n):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(functional.relu(self.norm(x)).mean((2, 3)))


class InputFirst(nn.Module):
    """A dense layer whose weight is [in, out], as in Hugging Face's GPT-2."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return x @ self.weight + self.bias


class Gpt(nn.Module):
    def __init__(self, depth, width, heads, context, vocabulary, tied):
        super().__init__()
        gelu = lambda x: functional.gelu(x, approximate="tanh")  # noqa: E731
        names = ("ln_1", "ln_2"), ("c_attn", "c_proj"), ("c_fc", "c_proj")
        block = lambda: TransformerBlock(  # noqa: E731
            width, heads, *names, InputFirst, gelu, causal=True, eps=1e-5
        )
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocabulary, width),
                "wpe": nn.Embedding(context, width),
                "h": nn.Sequential(*(block() for _ in range(depth))),
                "ln_f": nn.LayerNorm(width),
            }
        )
        self.lm_head = None if tied else nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens):
        parts = self.transformer
        x = parts["wte"](tokens) + parts["wpe"].weight
        x = parts["ln_f"](parts["h"](x))
        return self.lm_head(x) if self.lm_head else x @ parts["wte"].weight.T


def group_norm(channels):
    return nn.GroupNorm(math.gcd(8, channels), channels)


# Text of the architecture, data, PyTorch's module.
CASES = {
    "linear": ("images", lambda: Linear(192, 5)),
    "mlp hidden=16": ("images", lambda: Mlp([192, 16, 5])),
    "mlp hidden=16-12 norm=batch activation=gelu": (
        "features",
        lambda: Mlp([11, 16, 12, 5], functional.gelu, nn.BatchNorm1d),
    ),
    "mlp hidden=16 norm=layer activation=softplus": (
        "images",
        lambda: Mlp([192, 16, 5], functional.softplus, nn.LayerNorm),
    ),
    "deep-linear depth=3 width=12": (
        "images",
        lambda: Mlp([192, 12, 12, 5], nn.Identity(), bias=False),
    ),
    "siren hidden=12-8 omega=3": ("features", lambda: Siren([11, 12, 8, 5], 3.0)),
    "convnet channels=4-8": ("images", lambda: ConvNet([3, 4, 8], 5)),
    "convnet channels=4-8 norm=batch head=flatten pool=average": (
        "images",
        lambda: ConvNet([3, 4, 8], 5, nn.BatchNorm2d, flatten=32, pool=functional.avg_pool2d),
    ),
    "resnet depth=8 width=4": ("images", lambda: ResNet(8, 4, 3, 5)),
    "resnet depth=14 width=8 norm=group": ("images", lambda: ResNet(14, 8, 3, 5, group_norm)),
    "alternet blocks=2-2 attention=0-1 heads=1-2 width=4 head_units=3 window=2": (
        "images",
        lambda: AlterNet(3, 4, [[None, None], [None, (2, 2, 3)]], 5),
    ),
    "vit patch=2 depth=2 width=12 heads=3": ("images", lambda: Vit(2, 2, 12, 3, 8, 3, 5)),
    "gpt depth=2 width=12 heads=3": ("text", lambda: Gpt(2, 12, 3, 10, VOCABULARY, True)),
    "gpt depth=1 width=12 heads=2 tied=false": (
        "text",
        lambda: Gpt(1, 12, 2, 10, VOCABULARY, False),
    ),
}
TEXT = "to be or not to be, that is the question: whether 'tis nobler in the mind " * 20
VOCABULARY = len(set(TEXT))


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, 120).astype(np.int64)
    labels[:5] = np.arange(5)
    shift = labels[:, None]
    images = (100 + 40 * random.standard_normal((120, 8, 8, 3)) + shift[:, None, None]) / 3
    features = random.standard_normal((120, 11)) * 7 + 2 * shift
    for name, x in [("images", images), ("features", features)]:
        np.savez(folder / f"{name}.npz", x=x.astype(np.float32), y=labels)
    (folder / "text.txt").write_text(TEXT)
    return {
        "images": (folder / "images.npz", images.astype(np.float32)),
        "features": (folder / "features.npz", features.astype(np.float32)),
        "text": (folder / "text.txt", random.integers(0, VOCABULARY, (120, 10))),
    }


class Exported:
    """What one architecture was written as."""

    def __init__(self, text, data, folder):
        kind, module = CASES[text]
        path, self.inputs = data[kind]
        run = folder / "run"
        words = [
            "train",
            "--arch",
            text,
            "--data",
            path,
            "--steps",
            6,
            "--batch",
            16,
            "--seeds",
            "0,1",
            "--out",
            run,
        ]
        thalweg(*words, *(["--context", 10] if kind == "text" else []))
        self.reply = thalweg("export", run, "--onnx")
        self.paths = [pathlib.Path(file) for file in self.reply["files"]]
        written = thalweg("export", run, "--safetensors", "--out", folder / "weights")["files"]
        self.weights = pathlib.Path(written[-1])
        self.member = run / "weights" / self.weights.name
        self.module, self.image = module().eval(), kind == "images"

    def torch(self, x):
        """PyTorch's outputs for raw data, channels last."""
        state = load_file(self.weights)
        self.module.load_state_dict(state, strict=True)
        with safetensors.safe_open(self.weights, "pt") as file:
            said = file.metadata()
        module, x = self.module.double(), torch.from_numpy(x)
        if "normalization_mean" in said:
            numbers = lambda key: torch.tensor([float(n) for n in said[key].split(" ")])  # noqa: E731
            mean, divisor = numbers("normalization_mean"), numbers("normalization_divisor")
            x = (x.double() - mean) / divisor
        with torch.no_grad():
            return module(x.permute(0, 3, 1, 2) if self.image else x).numpy()


@pytest.fixture(scope="session", params=CASES)
def exported(request, data, tmp_path_factory):
    return Exported(request.param, data, tmp_path_factory.mktemp("export"))


def run(path, x):
    session = onnxruntime.InferenceSession(path)
    [port], [output] = session.get_inputs(), session.get_outputs()
    assert port.shape[0] == output.shape[0] == "batch"
    return session.run(None, {port.name: x})[0]


def close(got, expected):
    scale = max(1.0, np.abs(expected).max())
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= TOLERANCE * scale


def test_the_file_is_valid(exported):
    for path in exported.paths:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        said = {entry.key: entry.value for entry in model.metadata_props}
        assert said["architecture"] == exported.reply["models"][0]["architecture"]
        assert said.get("image_layout") == ("channels first" if exported.image else None)


@pytest.mark.parametrize("batch", BATCHES)
def test_onnxruntime_and_pytorch_agree(exported, batch):
    x = exported.inputs[:batch]
    given = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if exported.image else x
    close(run(exported.paths[-1], given), exported.torch(x))


def test_weights_stay_what_they_are(exported):
    assert exported.weights.read_bytes() == exported.member.read_bytes()
    state = load_file(exported.weights)
    initializers = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(exported.paths[-1]).graph.initializer
    }
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(initializers[name], tensor.numpy(), err_msg=name)


def test_other_forms_compute_the_same(exported, tmp_path):
    out = tmp_path / "plain.onnx"
    words = ["export", exported.member, "--onnx", "--channels-last", "--out", out]
    thalweg(*words)
    x = exported.inputs[:5]
    close(run(out, x), exported.torch(x))
    out.unlink()
    thalweg(*words, "--no-normalization")
    with safetensors.safe_open(exported.member, "pt") as file:
        said = file.metadata()
    if "normalization_mean" in said:
        numbers = lambda key: np.array([float(n) for n in said[key].split(" ")])  # noqa: E731
        x = (x - numbers("normalization_mean")) / numbers("normalization_divisor")
        x = x.astype(np.float32)
    close(run(out, x), exported.torch(exported.inputs[:5]))


def test_every_architecture_is_here():
    done = subprocess.run([command(), "train", "--help"], capture_output=True, text=True)
    words = " ".join(done.stdout.split())
    known = words.split("Architecture: ")[1].split(", with options")[0]
    known = known.replace(" or ", ", ").split(", ")
    assert {name.split()[0] for name in known} == {text.split()[0] for text in CASES}


def test_a_resnet_reads_as_pytorchs_own(data, tmp_path):
    exported = Exported("resnet depth=8 width=4", data, tmp_path)
    torch.onnx.export(
        exported.module,
        (torch.zeros(2, 3, 8, 8),),
        tmp_path / "torch.onnx",
        dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        dynamic_axes={"x": {0: "batch"}},
        input_names=["x"],
        opset_version=18,
    )
    count = lambda path: collections.Counter(  # noqa: E731
        node.op_type for node in onnx.load(path).graph.node
    )
    ours, theirs = count(exported.paths[0]), count(tmp_path / "torch.onnx")
    # The normalisation comes on top, and the mean over pixels has a name of its own.
    assert ours.pop("Sub") == ours.pop("Div") == 1
    assert ours.pop("GlobalAveragePool") == ours.pop("Flatten") == theirs.pop("ReduceMean") == 1
    for count in (ours, theirs):
        count.pop("Constant", None)
        count.pop("Identity", None)
    assert ours == theirs
