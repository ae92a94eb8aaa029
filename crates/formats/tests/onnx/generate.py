"""Writes the models and the numbers that tests/onnx.rs compares with; versions in versions.txt.

Each NAME.onnx comes with NAME.npz: the inputs, and in f64 the output, and for some the loss (mean
cross-entropy with `labels`), its gradient, and its Hessian times `vec:*`, by PyTorch's own
derivatives. What exporters note about the machine they ran on is taken out.
"""

import copy
import io
import pathlib
import sys
import warnings

import numpy
import onnx
import skl2onnx
import sklearn.neural_network
import torch
import torch.nn.functional as F
from torch import nn

warnings.filterwarnings("ignore")
here = pathlib.Path(__file__).parent


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.b1 = nn.BatchNorm2d(4)
        self.c2 = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.b2 = nn.BatchNorm2d(6, momentum=0.3)
        self.f = nn.Linear(6 * 2 * 2, 3)

    def forward(self, x):
        x = F.max_pool2d(F.elu(self.b1(self.c1(x))), 2, ceil_mode=True)
        return self.f(F.hardswish(self.b2(self.c2(x))).flatten(1))


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.expand = nn.Conv2d(3, 6, 1)
        self.depthwise = nn.Conv2d(6, 6, 5, padding=2, groups=6, stride=2)
        self.norm = nn.BatchNorm2d(6)
        self.reduce = nn.Conv2d(6, 2, 1)
        self.excite = nn.Conv2d(2, 6, 1)
        self.project = nn.Conv2d(6, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        y = F.hardswish(self.norm(self.depthwise(F.hardswish(self.expand(x)))))
        weight = self.excite(F.relu(self.reduce(F.adaptive_avg_pool2d(y, 1))))
        y = self.project(y * F.hardsigmoid(weight))
        return self.head(F.adaptive_avg_pool2d(y, 1).flatten(1))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, padding=2, dilation=2)
        self.deep = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.group = nn.GroupNorm(2, 8)
        self.up = nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1)
        self.join = nn.Conv2d(16, 4, 3, padding=1)
        self.instance = nn.InstanceNorm2d(4, affine=True)
        self.slope = nn.PReLU(4)
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        a = torch.tanh(self.down(x))
        b = F.silu(self.group(self.deep(a)))
        wide = F.interpolate(b, scale_factor=2, mode="bilinear", align_corners=False)
        half = F.interpolate(a, size=(4, 4), mode="nearest")
        back = F.interpolate(half, size=(8, 8), mode="bicubic")
        joined = self.join(torch.cat([a, self.up(b), wide[:, 4:], back], 1))
        return self.out(self.slope(self.instance(joined))).flatten(2).mean(2)


class Vit(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(2, 8, 4, 4)
        self.cls = nn.Parameter(torch.randn(1, 1, 8))
        self.places = nn.Parameter(torch.randn(1, 5, 8) * 0.1)
        self.n1 = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.o = nn.Linear(8, 8)
        self.n2 = nn.LayerNorm(8)
        self.a = nn.Linear(8, 16)
        self.b = nn.Linear(16, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        n = x.shape[0]
        x = torch.cat([self.cls.expand(n, -1, -1), x], 1) + self.places
        t, c = x.shape[1:]
        q, k, v = self.qkv(self.n1(x)).reshape(n, t, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c)
        x = x + self.o(mixed)
        x = x + self.b(F.gelu(self.a(self.n2(x))))
        return self.head(x[:, 0])


class Gpt(nn.Module):
    def __init__(self, words=7, length=6, units=8, heads=2):
        super().__init__()
        self.heads = heads
        self.w = nn.Embedding(words, units)
        self.p = nn.Embedding(length, units)
        self.l1 = nn.LayerNorm(units)
        self.qkv = nn.Linear(units, 3 * units)
        self.o = nn.Linear(units, units)
        self.l2 = nn.LayerNorm(units)
        self.m1 = nn.Linear(units, 2 * units)
        self.m2 = nn.Linear(2 * units, units)
        self.lf = nn.LayerNorm(units)
        mask = torch.tril(torch.ones(length, length)).view(1, 1, length, length)
        self.register_buffer("mask", mask)

    def forward(self, index):
        n, t = index.shape
        x = self.w(index) + self.p(torch.arange(t, device=index.device))
        split = lambda y: y.view(n, t, self.heads, -1).transpose(1, 2)
        q, k, v = map(split, self.qkv(self.l1(x)).chunk(3, -1))
        scores = (q @ k.transpose(-1, -2)) / q.shape[-1] ** 0.5
        hidden = self.mask[:, :, :t, :t] == 0
        weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
        x = x + self.o((weights @ v).transpose(1, 2).reshape(n, t, -1))
        x = x + self.m2(F.gelu(self.m1(self.l2(x)), approximate="tanh"))
        return self.lf(x) @ self.w.weight.T


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.layer(x).mean(1))


class Recurrent(nn.Module):
    def __init__(self, kind, both):
        super().__init__()
        self.layer = kind(3, 4, 2, batch_first=True, bidirectional=both)
        self.head = nn.Linear(8 if both else 4, 3)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


def clean(model):
    """Without the notes of where the exporter ran."""
    for node in model.graph.node:
        # What the node came from names tensors that the exporter computed; the rest is of a machine.
        traced = [p for p in node.metadata_props if p.key == "pkg.torch.onnx.fx_node"]
        traced = [onnx.StringStringEntryProto(key=p.key, value=p.value) for p in traced]
        del node.metadata_props[:]
        node.metadata_props.extend(traced)
        node.doc_string = ""
    del model.metadata_props[:]
    return model


def newer(model, x, dynamic, **options):
    if dynamic:
        options["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(
        model, (x,), dynamo=True, input_names=["x"], verbose=False, **options
    )
    return clean(program.model_proto)


def older(model, x, dynamic, opset=17, train=False):
    options = {"dynamic_axes": {"x": {0: "batch"}}} if dynamic else {}
    if train:
        options["training"] = torch.onnx.TrainingMode.TRAINING
        options["do_constant_folding"] = False
    # In training mode the exporter runs the model, which moves its statistics.
    state = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    target = io.BytesIO()
    torch.onnx.export(
        model, (x,), target, dynamo=False, input_names=["x"], opset_version=opset, **options
    )
    file = clean(onnx.load_from_string(target.getvalue()))
    for tensor in file.graph.initializer:
        if tensor.name in state:
            tensor.CopyFrom(onnx.numpy_helper.from_array(state[tensor.name], tensor.name))
    return file


def derivatives(model, x, labels, prefix=""):
    """The loss with its gradient and a Hessian-vector product."""
    names, parameters = zip(*model.named_parameters())

    def loss(*values):
        output = torch.func.functional_call(model, dict(zip(names, values)), (x,))
        return F.cross_entropy(output.flatten(0, -2), labels.flatten())

    torch.manual_seed(7)
    vector = tuple(torch.randn_like(parameter) for parameter in parameters)
    value = loss(*parameters)
    gradient = torch.autograd.grad(value, parameters, create_graph=True)
    inner = sum((g * v).sum() for g, v in zip(gradient, vector))
    product = torch.autograd.grad(inner, parameters)
    found = {f"{prefix}loss": value.detach().numpy()}
    for name, g, v, h in zip(names, gradient, vector, product):
        found[f"{prefix}grad:{name}"] = g.detach().numpy()
        found[f"{prefix}vec:{name}"] = v.numpy()
        found[f"{prefix}hvp:{name}"] = h.numpy()
    return found


def randomize(model):
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
        if isinstance(part, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)):
            nn.init.normal_(part.weight, 1, 0.2)
            nn.init.normal_(part.bias, 0, 0.2)


def write(name, model, x, export, derive=False):
    randomize(model)
    model.eval()
    exact = copy.deepcopy(model).double()
    wide = x.double() if x.is_floating_point() else x
    arrays = {"x": x.numpy()}
    with torch.no_grad():
        arrays["y"] = exact(wide).numpy()
    if derive:
        rows = arrays["y"].shape[:-1]
        labels = torch.from_numpy(numpy.random.default_rng(0).integers(0, 3, rows))
        arrays["labels"] = labels.numpy().astype("i4")
        arrays |= derivatives(exact, wide, labels)
        if any(isinstance(part, nn.BatchNorm2d) for part in model.modules()):
            moving = copy.deepcopy(exact).train()
            with torch.no_grad():
                arrays["batch:y"] = moving(wide).numpy()
            for key, value in moving.state_dict().items():
                if "running" in key:
                    arrays[f"moved:{key}"] = value.numpy()
            arrays |= derivatives(copy.deepcopy(exact).train(), wide, labels, "batch:")
    file = export(copy.deepcopy(model))
    onnx.save(file, here / f"{name}.onnx")
    numpy.savez_compressed(here / f"{name}.npz", **arrays)


def models():
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    x = torch.randn(4, 6)
    write("mlp", mlp, x, lambda m: newer(m, x[:2], True), derive=True)
    image = torch.randn(4, 2, 7, 7)
    write("cnn", Cnn(), image, lambda m: older(m, image[:2], True, train=True), derive=True)
    write("cnn_folded", Cnn(), image, lambda m: newer(m, image[:1], False))
    colour = torch.randn(4, 3, 6, 6)
    write("squeeze_excite", SqueezeExcite(), colour, lambda m: older(m, colour[:2], True, 13))
    grey = torch.randn(4, 1, 8, 8)
    write("unet", UNet(), grey, lambda m: newer(m, grey[:2], False))
    patches = torch.randn(4, 2, 8, 8)
    write("vit", Vit(), patches, lambda m: older(m, patches[:1], False))
    words = torch.randint(0, 7, (4, 5))
    raw = lambda m: newer(m, words[:2], True, optimize=False)
    write("gpt", Gpt(), words, raw, derive=True)
    write("gpt_folded", Gpt(), words, lambda m: newer(m, words[:2], True))
    sequence = torch.randn(4, 5, 8)
    write("encoder", Encoder(), sequence, lambda m: older(m, sequence[:1], False))
    short = torch.randn(4, 5, 3)
    write("lstm", Recurrent(nn.LSTM, True), short, lambda m: older(m, short[:2], False))
    write("gru", Recurrent(nn.GRU, False), short, lambda m: newer(m, short[:2], True))


def scikit_learn():
    draws = numpy.random.default_rng(0)
    x = draws.normal(size=(60, 4))
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5).astype(int)
    model = sklearn.neural_network.MLPClassifier((6,), random_state=0, max_iter=40).fit(x, y)
    kinds = [("x", skl2onnx.common.data_types.FloatTensorType([None, 4]))]
    file = skl2onnx.convert_sklearn(model, initial_types=kinds, options={"zipmap": False})
    onnx.save(file, here / "scikit_learn.onnx")
    rows = x[:4].astype("f4")
    # In f64 from the weights that the file has.
    for part in (model.coefs_, model.intercepts_):
        part[:] = [array.astype("f4").astype("f8") for array in part]
    expected = model.predict_proba(rows.astype("f8"))
    numpy.savez_compressed(here / "scikit_learn.npz", x=rows, y=expected)


def hand_made():
    """External data, local functions and a branch, without an exporter."""
    helper, f32 = onnx.helper, onnx.TensorProto.FLOAT
    port = lambda name: helper.make_tensor_value_info(name, f32, ["n", 3])
    weight = onnx.numpy_helper.from_array(numpy.arange(9, dtype="f4").reshape(3, 3) / 8, "weight")
    bias = onnx.numpy_helper.from_array(numpy.array([1, -1, 0.5], "f4"), "bias")
    node = helper.make_node("Gemm", ["x", "weight", "bias"], ["y"], "gemm")
    graph = helper.make_graph([node], "external", [port("x")], [port("y")], [weight, bias])
    opset = [helper.make_opsetid("", 21)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    (here / "external.bin").unlink(missing_ok=True)
    onnx.save(model, here / "external.onnx", save_as_external_data=True, size_threshold=0,
              location="external.bin")
    leaky = helper.make_node("LeakyRelu", ["v"], ["w"], "leaky")
    slope = onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    leaky.attribute.append(slope)
    half = helper.make_function(
        "own", "Half", ["v"], ["u"],
        [leaky, helper.make_node("Add", ["w", "w"], ["t"], "twice"),
         helper.make_node("Mul", ["t", "t"], ["u"], "square")],
        opset, attributes=["slope"])
    twice = helper.make_function(
        "own", "Twice", ["a"], ["b"],
        [helper.make_node("Half", ["a"], ["c"], "first", domain="own", slope=0.5),
         helper.make_node("Half", ["c"], ["b"], "second", domain="own", slope=0.25)],
        opset + [helper.make_opsetid("own", 1)])
    count = helper.make_node("Size", ["bias"], ["count"], "size")
    three = helper.make_node("Constant", [], ["three"], "three", value_int=3)
    equal = helper.make_node("Equal", ["count", "three"], ["is_three"], "equal")
    value = lambda name: helper.make_tensor_value_info(name, f32, None)
    branch = lambda name, op: helper.make_graph(
        [helper.make_node(op, ["h", "bias"], [name], name)], name, [], [value(name)])
    choose = helper.make_node("If", ["is_three"], ["y"], "choose", then_branch=branch("sum", "Add"),
                              else_branch=branch("difference", "Sub"))
    nodes = [helper.make_node("Twice", ["x"], ["h"], "call", domain="own"),
             count, three, equal, choose]
    graph = helper.make_graph(nodes, "functions", [port("x")], [port("y")], [bias])
    model = helper.make_model(graph, opset_imports=opset + [helper.make_opsetid("own", 1)],
                              functions=[half, twice], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, here / "functions.onnx")


models()
scikit_learn()
hand_made()
(here / "versions.txt").write_text(
    f"python {sys.version.split()[0]}\nnumpy {numpy.__version__}\ntorch {torch.__version__}\n"
    f"onnx {onnx.__version__}\nskl2onnx {skl2onnx.__version__}\n"
    f"scikit-learn {sklearn.__version__}\n"
)
