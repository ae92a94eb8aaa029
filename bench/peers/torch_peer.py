"""PyTorch's side of `bench/run`.

`torch` and `torch-nchw` run eagerly, in channels-last layout and not; `torch-compile` is
`torch.compile` in channels-last layout; `torch-loop` goes through the members one by one, and
`torch-loop-compile` does so with compiled networks; `torch-func` is `torch.func`, with `vmap` over members.
"""

import protocol
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional


class Block(nn.Module):
    def __init__(self, inner, outer, stride, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = norm(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = norm(outer)
        self.downsample = nn.Sequential()
        if stride != 1 or inner != outer:
            self.downsample = nn.Sequential(
                nn.Conv2d(inner, outer, 1, stride, bias=False), norm(outer)
            )

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet20(nn.Module):
    def __init__(self, norm, channels=3):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1 = norm(16)
        inner = 16
        for number, (width, stride) in enumerate([(16, 1), (32, 2), (64, 2)]):
            blocks = []
            for i in range(3):
                blocks.append(Block(inner, width, stride if i == 0 else 1, norm))
                inner = width
            setattr(self, f"layer{number + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


class Mlp(nn.Module):
    def __init__(self, widths):
        super().__init__()
        self.depth = len(widths) - 1
        for i in range(self.depth):
            setattr(self, f"fc{i + 1}", nn.Linear(widths[i], widths[i + 1]))

    def forward(self, x):
        for i in range(1, self.depth):
            x = functional.relu(getattr(self, f"fc{i}")(x))
        return getattr(self, f"fc{self.depth}")(x)


class Attention(nn.Module):
    HEADS = 4

    def __init__(self, width):
        super().__init__()
        self.c_attn = Conv1D(width, 3 * width)
        self.c_proj = Conv1D(width, width)

    def forward(self, x):
        heads = [a.unflatten(2, (self.HEADS, -1)).transpose(1, 2) for a in self.c_attn(x).chunk(3, 2)]
        y = functional.scaled_dot_product_attention(*heads, is_causal=True)
        return self.c_proj(y.transpose(1, 2).flatten(2))


class Conv1D(nn.Module):
    """A dense layer whose weight is [in, out], as in Hugging Face's GPT-2."""

    def __init__(self, inner, outer):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inner, outer))
        self.bias = nn.Parameter(torch.zeros(outer))

    def forward(self, x):
        return torch.addmm(self.bias, x.flatten(0, -2), self.weight).unflatten(0, x.shape[:-1])


class Perceptron(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = Conv1D(width, 4 * width)
        self.c_proj = Conv1D(4 * width, width)

    def forward(self, x):
        return self.c_proj(functional.gelu(self.c_fc(x), approximate="tanh"))


class TransformerBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = Perceptron(width)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    """Logits of the next token for every token of every sequence, one below the other."""

    def __init__(self, context=128, vocabulary=65, depth=4, width=128):
        super().__init__()
        blocks = nn.ModuleList([TransformerBlock(width) for _ in range(depth)])
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocabulary, width),
                "wpe": nn.Embedding(context, width),
                "h": blocks,
                "ln_f": nn.LayerNorm(width),
            }
        )

    def forward(self, tokens):
        parts = self.transformer
        x = parts["wte"](tokens) + parts["wpe"].weight
        for block in parts["h"]:
            x = block(x)
        return functional.linear(parts["ln_f"](x).flatten(0, 1), parts["wte"].weight)


def model(workload, variant):
    if workload == "gpt-hvp":
        # Only the other way to attend has a second derivative; the switch holds for the CPU too.
        torch.backends.cuda.enable_flash_sdp(False)
    if workload.startswith("resnet"):
        # Functions of weights may not change running statistics.
        tracked = not variant.endswith("func")
        network = ResNet20(lambda n: nn.BatchNorm2d(n, track_running_stats=tracked))
    elif workload.startswith("gpt"):
        network = Gpt()
    else:
        network = Mlp([1, 40, 40, 1] if workload.startswith("maml") else [784, 256, 10])
    network.train()
    last = variant in ("torch", "torch-compile", "torch-loop", "torch-loop-compile")
    if workload.startswith("resnet") and last:
        network = network.to(memory_format=torch.channels_last)
    return network, last


def tensors(arrays, last=False):
    return {name: tensor(array, last) for name, array in arrays.items()}


def tensor(array, last=False):
    value = torch.from_numpy(array)
    if value.dtype == torch.int32:
        value = value.long()
    if last and value.dim() == 4:
        value = value.contiguous(memory_format=torch.channels_last)
    return value


def images(array, last):
    """NHWC images (behind an axis of members, if any) as NCHW."""
    value = torch.from_numpy(array)
    if value.dim() < 4:
        return value
    value = value.movedim(-1, -3)
    return value if last and value.dim() == 4 else value.contiguous()


def result(named, **values):
    named = {f"result/{name}": value.detach().numpy() for name, value in named.items()}
    return named | {name: value.detach().numpy() for name, value in values.items()}


def build(variant, workload, threads, inputs):
    run, results = work(variant, workload, threads, inputs)
    return run, results, lambda: None


def work(variant, workload, threads, inputs):
    torch.set_num_threads(threads)
    network, last = model(workload, variant)
    start = tensors(protocol.parts(inputs, "parameter"), last)
    if workload.startswith("maml"):
        return maml(variant, workload, network, start, inputs)
    x, y = images(inputs["x"], last), tensor(inputs["y"])
    if workload.startswith("gpt"):
        x, y = x.long(), y.flatten()
    if "64" in workload or "16" in workload:
        return population(variant, workload, network, start, x, y, inputs, last)
    network.load_state_dict(start, strict=False)
    if workload.endswith("loss"):
        return losses(variant, network, x, y)
    if workload.endswith("gradient"):
        return slope(variant, network, x, y)
    if workload.endswith("step"):
        return step(variant, network, x, y, float(inputs["lr"]))
    directions = tensors(protocol.parts(inputs, "direction"), last)
    if workload.endswith("8-hvps"):
        return many_products(variant, network, start, directions, x, y)
    if workload.endswith("hvp"):
        return product(variant, network, start, directions, x, y)
    raise SystemExit(f"workload {workload}: none of PyTorch's")


def losses(variant, network, x, y):
    def loss():
        with torch.no_grad():
            return functional.cross_entropy(network(x), y)

    return compiled(variant, loss), lambda value: result({}, loss=value)


def compiled(variant, function):
    return torch.compile(function) if variant.endswith("compile") else function


def slope(variant, network, x, y):
    named = dict(network.named_parameters())
    forward = compiled(variant, network)

    def run():
        return torch.autograd.grad(functional.cross_entropy(forward(x), y), named.values())

    return run, lambda values: result(dict(zip(named, values)))


def step(variant, network, x, y, lr):
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9)
    forward = compiled(variant, network)

    def run():
        optimizer.zero_grad()
        loss = functional.cross_entropy(forward(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return run, lambda loss: result(dict(network.named_parameters()), loss=loss)


def product(variant, network, start, directions, x, y):
    names = list(start)
    if variant == "torch-func":
        gradient = grad(lambda p: functional.cross_entropy(functional_call(network, p, x), y))

        def run():
            return jvp(gradient, (start,), (directions,))[1]

        return run, result
    parameters = [dict(network.named_parameters())[name] for name in names]

    def run():
        loss = functional.cross_entropy(network(x), y)
        first = torch.autograd.grad(loss, parameters, create_graph=True)
        vector = [directions[name] for name in names]
        return torch.autograd.grad(first, parameters, grad_outputs=vector)

    return run, lambda values: result(dict(zip(names, values)))


def many_products(variant, network, start, directions, x, y):
    names = list(start)
    if variant == "torch-func":
        gradient = grad(lambda p: functional.cross_entropy(functional_call(network, p, x), y))

        def run():
            return vmap(lambda d: jvp(gradient, (start,), (d,))[1])(directions)

        return run, result
    parameters = [dict(network.named_parameters())[name] for name in names]
    vectors = [[directions[name][i] for name in names] for i in range(8)]

    def run():
        loss = functional.cross_entropy(network(x), y)
        first = torch.autograd.grad(loss, parameters, create_graph=True)
        return [
            torch.autograd.grad(first, parameters, grad_outputs=vector, retain_graph=True)
            for vector in vectors
        ]

    def stacked(rows):
        return result({name: torch.stack([row[i] for row in rows]) for i, name in enumerate(names)})

    return run, stacked


def population(variant, workload, network, start, x, y, inputs, last):
    names = list(start)
    members = len(start[names[0]])
    steps = workload.endswith("steps")
    if variant.startswith("torch-loop"):
        # One compilation serves all members; more would be refused after eight.
        torch._dynamo.config.cache_size_limit = 64
        if last and x.dim() == 5:
            x = [row.contiguous(memory_format=torch.channels_last) for row in x]
        own = []
        for i in range(members):
            other, _ = model(workload, variant)
            other.load_state_dict({name: a[i] for name, a in start.items()}, strict=False)
            own.append(other)
        if not steps:

            nets = [compiled(variant, net) for net in own]

            def run():
                with torch.no_grad():
                    return torch.stack([functional.cross_entropy(net(x), y) for net in nets])

            return run, lambda value: result({}, loss=value)
        lr = float(inputs["lr"])
        runs = [step(variant, net, x[i], y[i], lr)[0] for i, net in enumerate(own)]

        def results(loss):
            each = [dict(net.named_parameters()) for net in own]
            return result({n: torch.stack([p[n] for p in each]) for n in names}, loss=loss)

        return lambda: torch.stack([run().detach() for run in runs]), results

    def loss(p, x, y):
        return functional.cross_entropy(functional_call(network, p, x), y)

    if not steps:

        def run():
            with torch.no_grad():
                return vmap(loss, in_dims=(0, None, None))(start, x, y)

        return run, lambda value: result({}, loss=value)
    both = vmap(torch.func.grad_and_value(loss))
    lr = float(inputs["lr"])
    state = {"p": start, "v": {name: torch.zeros_like(a) for name, a in start.items()}}

    def run():
        gradients, values = both(state["p"], x, y)
        state["v"] = {n: 0.9 * v + gradients[n] for n, v in state["v"].items()}
        state["p"] = {n: p - lr * state["v"][n] for n, p in state["p"].items()}
        return values

    return run, lambda values: result(state["p"], loss=values)


def maml(variant, workload, network, start, inputs):
    steps = int(workload.split("-")[1])
    lr, meta_lr = float(inputs["lr"]), float(inputs["meta_lr"])
    data = [tensor(inputs[name]) for name in ("x", "y", "x_query", "y_query")]
    state = {"p": start}

    def loss(p, x, y):
        return functional.mse_loss(functional_call(network, p, x), y)

    if variant == "torch-func":

        def adapted(p, x, y, x_query, y_query):
            own = p
            for _ in range(steps):
                g = grad(loss)(own, x, y)
                own = {name: a - lr * g[name] for name, a in own.items()}
            return loss(own, x_query, y_query)

        def meta(p):
            return vmap(adapted, in_dims=(None, 0, 0, 0, 0))(p, *data).mean()

        both = torch.func.grad_and_value(meta)
    else:

        def both(p):
            p = {name: a.detach().requires_grad_() for name, a in p.items()}
            total = 0.0
            for x, y, x_query, y_query in zip(*data):
                own = p
                for _ in range(steps):
                    g = torch.autograd.grad(loss(own, x, y), own.values(), create_graph=True)
                    own = {name: a - lr * d for (name, a), d in zip(own.items(), g)}
                total = total + loss(own, x_query, y_query)
            mean = total / len(data[0])
            return dict(zip(p, torch.autograd.grad(mean, p.values()))), mean

    def run():
        gradients, value = both(state["p"])
        state["p"] = {n: a.detach() - meta_lr * gradients[n] for n, a in state["p"].items()}
        return value

    return run, lambda value: result(state["p"], loss=value)


if __name__ == "__main__":
    protocol.serve(build)
