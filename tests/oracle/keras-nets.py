#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes tests/data/keras/: small networks with all layers that runtime/ runs, as Keras 2 and Keras 3 save them, and what Keras
itself computes with them.

    python3 tests/oracle/keras-nets.py tests/data/keras [FOLDER]

NAME.h5 is the network; NAME.npz has images ("x", floats or bytes), and "out", the output for each. The packages are installed into
virtual environments in FOLDER; without one, in a temporary folder that goes when the script ends. Nobody needs this script to run the
tests: the files are kept.
"""
import os
import subprocess
import sys
import tempfile
import venv

PACKAGES = {
    "keras2": ["tensorflow-cpu==2.15.1"],
    "keras3": ["keras==3.15.1", "jax==0.10.2", "h5py"],
}


def sequential(keras, k3):
    """A chain, with every kind of window."""
    layers = keras.layers
    return keras.Sequential([
        keras.Input((11, 9, 3)),
        layers.Rescaling(1 / 127.5, offset=-1),
        layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(max_value=6.0),
        layers.DepthwiseConv2D((3, 2), padding="same", depth_multiplier=2, activation="relu"),
        layers.ZeroPadding2D(((1, 2), (0, 1))),
        layers.Conv2D(6, (2, 3), dilation_rate=(2, 1), groups=2, activation="tanh"),
        layers.MaxPooling2D(3, strides=2, padding="same"),
        layers.Dropout(0.5),
        layers.Flatten(),
        layers.Dense(7, activation="relu"),
        layers.Dense(5, activation="softmax"),
    ])


def activations(keras, k3):
    """Each activation in a branch of its own, joined."""
    layers = keras.layers
    names = ["linear", "relu", "sigmoid", "tanh", "softmax", "elu", "selu", "swish", "gelu", "hard_sigmoid", "softplus",
             "softsign", "exponential"]
    if k3:
        names += ["relu6", "silu", "hard_silu", "leaky_relu"]
    x = keras.Input((2, 3, 4))
    y = layers.Dense(3)(x)
    found = [layers.Activation(name)(y) for name in names]
    found.append(layers.LeakyReLU(0.2)(y))
    found.append(layers.ELU(0.5)(y))
    found.append(layers.ReLU(negative_slope=0.1, threshold=0.3, max_value=0.8)(y))
    found.append(layers.Softmax()(y))
    return keras.Model(x, layers.Concatenate()(found))


def branches(keras, k3):
    """A graph: blocks that are added, a gate that multiplies, a model inside, a layer that is called twice."""
    layers = keras.layers
    x = keras.Input((8, 8, 3))
    stem = layers.SeparableConv2D(6, 3, padding="same", depth_multiplier=2, activation="relu")(x)
    block = layers.Conv2D(6, 3, padding="same")(stem)
    block = layers.BatchNormalization(scale=False)(block)
    block = layers.Add()([stem, block, stem])
    gate = layers.GlobalAveragePooling2D(keepdims=True)(block)
    gate = layers.Dense(6, activation="sigmoid")(gate)
    block = layers.Multiply()([gate, block])
    inner = keras.Sequential([keras.Input((8, 8, 6)), layers.Conv2D(4, 1, activation="relu"),
                              layers.BatchNormalization(center=False)], name="inner")
    left = inner(block)
    right = layers.AveragePooling2D((3, 2), strides=1, padding="same")(block)
    joined = layers.Concatenate(axis=-1)([left, right])
    joined = layers.Reshape((4, 16, 10))(joined)
    shared = layers.Conv2D(10, (1, 3), padding="same", activation="elu", name="shared")
    joined = shared(shared(joined))
    tall = layers.MaxPooling2D((2, 3))(joined)
    joined = layers.Concatenate(axis=1)([layers.GlobalMaxPooling2D()(joined), layers.GlobalAveragePooling2D()(tall)])
    return keras.Model(x, layers.Activation("softmax")(layers.Dense(6)(joined)))


NETS = {"sequential": sequential, "activations": activations, "branches": branches}


def write(folder, version):
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import numpy as np
    if version == "keras2":
        from tensorflow import keras
    else:
        import keras
    for name, build in NETS.items():
        keras.backend.clear_session()
        rng = np.random.default_rng(20)
        model = build(keras, version == "keras3")
        shapes = [w.shape for w in model.get_weights()]
        values = [rng.uniform(-1, 1, s).astype(np.float32) * (1 if len(s) < 2 else 2 / np.prod(s[:-1]) ** 0.5) for s in shapes]
        # Variances are positive.
        values = [np.abs(v) + 0.1 if "variance" in w.name else v for v, w in zip(values, model.weights)]
        model.set_weights(values)
        size = (5,) + tuple(model.input_shape[1:])
        if name == "sequential":
            x = rng.integers(0, 256, size, dtype=np.uint8)
        else:
            x = rng.uniform(-2, 2, size).astype(np.float32)
        out = np.asarray(model.predict(x.astype(np.float32), verbose=0), dtype=np.float32)
        path = os.path.join(folder, f"{version}-{name}")
        model.save(path + ".h5", include_optimizer=False)
        np.savez_compressed(path + ".npz", x=x, out=out)


def main():
    if sys.argv[1] == "--write":
        write(sys.argv[2], sys.argv[3])
        return
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        base = sys.argv[2] if len(sys.argv) > 2 else temporary
        for version, packages in PACKAGES.items():
            place = os.path.join(base, version)
            python = os.path.join(place, "bin", "python")
            if not os.path.exists(python):
                venv.create(place, with_pip=True)
                subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
            subprocess.run([python, __file__, "--write", folder, version], check=True)


if __name__ == "__main__":
    main()
