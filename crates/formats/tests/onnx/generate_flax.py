"""Writes flax.onnx and flax.npz: a Flax network as jax2onnx exports it, and what JAX computes from
it. Needs jax, flax 0.12.8 and jax2onnx 0.17.1."""

import pathlib

import jax
import numpy
import onnx
from flax import linen
from jax2onnx import to_onnx

here = pathlib.Path(__file__).parent
rng = numpy.random.default_rng(3)


class Network(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.Conv(6, (3, 3))(x)
        x = linen.silu(linen.BatchNorm(use_running_average=True)(x))
        x = linen.Conv(6, (3, 3), feature_group_count=6, strides=(2, 2))(x)
        x = linen.relu(linen.GroupNorm(3)(x))
        x = linen.max_pool(x, window_shape=(2, 2), strides=(2, 2))
        x = linen.LayerNorm()(linen.Dense(8)(x.reshape(x.shape[0], -1)))
        return linen.Dense(4)(linen.gelu(x))


x = rng.normal(size=(6, 8, 8, 3)).astype(numpy.float32)
variables = Network().init(jax.random.PRNGKey(3), x)
# All different: equal arrays are written once.
variables = jax.tree.map(
    lambda a: a + 0.1 * numpy.abs(rng.normal(size=a.shape)).astype(a.dtype), variables
)


def function(x):
    return Network().apply(variables, x)


onnx.save(to_onnx(function, [("batch", 8, 8, 3)], model_name="flax"), here / "flax.onnx")
numpy.savez_compressed(here / "flax.npz", x=x, y=numpy.asarray(function(x)))
