"""Writes keras.onnx and keras.npz: a Keras network as tf2onnx exports it, and what TensorFlow
computes from it. Needs tensorflow-cpu 2.21.0 and tf2onnx 1.17.0."""

import os
import pathlib

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy
import tensorflow
import tf2onnx

here = pathlib.Path(__file__).parent
layers = keras.layers
keras.utils.set_random_seed(3)
rng = numpy.random.default_rng(3)

# Attention, whose scale and epsilons are tensors of the file, and a recurrence that becomes a loop.
x = layers.Input((7, 6))
y = layers.LayerNormalization()(x)
y = layers.Add()([x, layers.MultiHeadAttention(2, 3)(y, y)])
y = layers.GRU(5)(y)
network = keras.Model(x, layers.Dense(4)(y))
for weight in network.weights:
    weight.assign(weight.numpy() + 0.1 * rng.normal(size=weight.shape))

rows = rng.normal(size=(6, 7, 6)).astype(numpy.float32)
signature = [tensorflow.TensorSpec((None, 7, 6), tensorflow.float32, name="x")]
function = tensorflow.function(network, input_signature=signature)
tf2onnx.convert.from_function(
    function, input_signature=signature, opset=17, output_path=str(here / "keras.onnx")
)
numpy.savez_compressed(here / "keras.npz", x=rows, y=numpy.asarray(network(rows)))
