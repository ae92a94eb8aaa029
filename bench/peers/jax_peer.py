"""JAX's side of `bench/run`: everything under `jit`, members by `vmap`, images as NHWC.

`jax-plan` times the compilation of what `jax` runs.
"""

import jax
import jax.numpy as jnp
import numpy
import protocol
from jax import lax


def convolution(x, w, stride):
    return lax.conv_general_dilated(
        x, w, (stride, stride), "SAME" if stride == 1 else [(w.shape[0] // 2,) * 2] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip


def normalized(p, name, x):
    mean = x.mean((0, 1, 2))
    variance = ((x - mean) ** 2).mean((0, 1, 2))
    scale = p[f"{name}.weight"] * lax.rsqrt(variance + 1e-5)
    return (x - mean) * scale + p[f"{name}.bias"]


def resnet20(p, x):
    x = jax.nn.relu(normalized(p, "bn1", convolution(x, p["conv1.weight"], 1)))
    for stage in (1, 2, 3):
        for block in range(3):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = convolution(x, p[f"{name}.conv1.weight"], stride)
            y = jax.nn.relu(normalized(p, f"{name}.bn1", y))
            y = normalized(p, f"{name}.bn2", convolution(y, p[f"{name}.conv2.weight"], 1))
            if stride == 2:
                x = convolution(x, p[f"{name}.downsample.0.weight"], stride)
                x = normalized(p, f"{name}.downsample.1", x)
            x = jax.nn.relu(x + y)
    return x.mean((1, 2)) @ p["fc.weight"].T + p["fc.bias"]


def mlp(p, x):
    depth = len(p) // 2
    for i in range(1, depth):
        x = jax.nn.relu(x @ p[f"fc{i}.weight"].T + p[f"fc{i}.bias"])
    return x @ p[f"fc{depth}.weight"].T + p[f"fc{depth}.bias"]


def normalized_layer(p, name, x):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]


def gpt(p, tokens, depth=4, heads=4):
    def dense(name, x):
        return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

    table = p["transformer.wte.weight"]
    x = table[tokens] + p["transformer.wpe.weight"]
    for i in range(depth):
        name = f"transformer.h.{i}"
        qkv = dense(f"{name}.attn.c_attn", normalized_layer(p, f"{name}.ln_1", x))
        q, k, v = (a.reshape(*a.shape[:2], heads, -1) for a in jnp.split(qkv, 3, 2))
        y = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x = x + dense(f"{name}.attn.c_proj", y.reshape(x.shape))
        hidden = dense(f"{name}.mlp.c_fc", normalized_layer(p, f"{name}.ln_2", x))
        x = x + dense(f"{name}.mlp.c_proj", jax.nn.gelu(hidden, approximate=True))
    return normalized_layer(p, "transformer.ln_f", x) @ table.T


def cross_entropies(logits, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[..., None], -1)[..., 0]


def inward(named):
    """Convolutions from PyTorch's layout, behind an axis of members if there is one."""
    four = {n: a for n, a in named.items() if "conv" in n or n.endswith("downsample.0.weight")}
    moved = {
        n: numpy.moveaxis(a, (-2, -1, -3, -4), (-4, -3, -2, -1)).copy() for n, a in four.items()
    }
    return {n: jnp.asarray(moved.get(n, a)) for n, a in named.items()}


def outward(named):
    out = {}
    for name, value in named.items():
        value = numpy.asarray(value)
        if "conv" in name or name.endswith("downsample.0.weight"):
            value = numpy.moveaxis(value, (-4, -3, -2, -1), (-2, -1, -3, -4))
        out[f"result/{name}"] = value
    return out


def build(variant, workload, threads, inputs):
    start = inward(protocol.parts(inputs, "parameter"))
    network = {"resnet": resnet20, "gpt": gpt}.get(workload.split("-")[0], mlp)
    function, arguments, advance, results = work(workload, network, start, inputs)
    if variant == "jax-plan":
        lowered = {}

        def lower():
            jax.clear_caches()
            lowered["it"] = jax.jit(function).lower(*arguments)

        return lambda: lowered["it"].compile(), lambda _: {}, lower
    # A step's state is given away, as a training loop does; a batch is not.
    donated = (0, 1) if workload.endswith(("step", "steps")) else ()
    donated = (0,) if workload.startswith("maml") else donated
    compiled = jax.jit(function, donate_argnums=donated)
    state = {"arguments": arguments}

    def run():
        value = jax.block_until_ready(compiled(*state["arguments"]))
        state["arguments"] = advance(state["arguments"], value)
        return value

    return run, results, lambda: None


def work(workload, network, start, inputs):
    """The function, its arguments, the next run's arguments, and its value as results by name."""
    x, y = jnp.asarray(inputs["x"]), jnp.asarray(inputs["y"])

    def loss(p, x, y):
        return cross_entropies(network(p, x), y).mean()

    def same(arguments, _):
        return arguments

    if workload.startswith("maml"):
        return maml(int(workload.split("-")[1]), network, start, inputs)
    if workload.startswith("data-weights"):
        return data_weights(network, start, inputs)
    directions = inward(protocol.parts(inputs, "direction"))
    gradient = jax.grad(loss)

    def product(p, d, x, y):
        return jax.jvp(lambda p: gradient(p, x, y), (p,), (d,))[1]

    def step(p, v, x, y):
        value, g = jax.value_and_grad(loss)(p, x, y)
        v = jax.tree.map(lambda v, g: 0.9 * v + g, v, g)
        return jax.tree.map(lambda p, v: p - float(inputs["lr"]) * v, p, v), v, value

    def next_step(arguments, value):
        return (value[0], value[1], *arguments[2:])

    def stepped(value):
        return outward(value[0]) | {"loss": numpy.asarray(value[2])}

    zeros = jax.tree.map(jnp.zeros_like, start)
    only = lambda value: {"loss": numpy.asarray(value)}  # noqa: E731
    if workload == "resnet-16-losses":
        return jax.vmap(loss, (0, None, None)), (start, x, y), same, only
    if workload.endswith("steps"):
        return jax.vmap(step), (start, zeros, x, y), next_step, stepped
    if workload.endswith("8-hvps"):
        many = jax.vmap(product, (None, 0, None, None))
        return many, (start, directions, x, y), same, outward
    if workload.endswith("loss"):
        return loss, (start, x, y), same, only
    if workload.endswith("gradient"):
        return gradient, (start, x, y), same, outward
    if workload.endswith("step"):
        return step, (start, zeros, x, y), next_step, stepped
    if workload.endswith("hvp"):
        return product, (start, directions, x, y), same, outward
    raise SystemExit(f"workload {workload}: none of JAX's")


def maml(steps, network, start, inputs):
    lr, meta_lr = float(inputs["lr"]), float(inputs["meta_lr"])
    data = [jnp.asarray(inputs[name]) for name in ("x", "y", "x_query", "y_query")]

    def loss(p, x, y):
        return ((network(p, x) - y) ** 2).mean()

    def adapted(p, x, y, x_query, y_query):
        own = p
        for _ in range(steps):
            own = jax.tree.map(lambda a, g: a - lr * g, own, jax.grad(loss)(own, x, y))
        return loss(own, x_query, y_query)

    def meta(p):
        return jax.vmap(adapted, (None, 0, 0, 0, 0))(p, *data).mean()

    def step(p):
        value, g = jax.value_and_grad(meta)(p)
        return jax.tree.map(lambda a, g: a - meta_lr * g, p, g), value

    def results(value):
        return outward(value[0]) | {"loss": numpy.asarray(value[1])}

    return step, (start,), lambda _, value: (value[0],), results


def data_weights(network, start, inputs):
    x, y = jnp.asarray(inputs["x"]), jnp.asarray(inputs["y"])
    x_query, y_query = jnp.asarray(inputs["x_query"]), jnp.asarray(inputs["y_query"])
    indices, lr = jnp.asarray(inputs["indices"]), float(inputs["lr"])
    outer = next(n for n in (50, 10, 1) if len(indices) % n == 0)
    indices = indices.reshape(outer, -1, indices.shape[-1])

    def step(weights, p, batch):
        def loss(p):
            return (weights[batch] * cross_entropies(network(p, x[batch]), y[batch])).mean()

        return jax.tree.map(lambda a, g: a - lr * g, p, jax.grad(loss)(p)), None

    def held_out(weights):
        @jax.checkpoint
        def many(p, batches):
            return lax.scan(lambda p, batch: step(weights, p, batch), p, batches)

        last, _ = lax.scan(many, start, indices)
        return cross_entropies(network(last, x_query), y_query).mean()

    def results(value):
        return {"loss": numpy.asarray(value[0]), "example_gradient": numpy.asarray(value[1])}

    weights = jnp.asarray(inputs["example_weights"])
    return jax.value_and_grad(held_out), (weights,), lambda arguments, _: arguments, results


if __name__ == "__main__":
    protocol.serve(build)
