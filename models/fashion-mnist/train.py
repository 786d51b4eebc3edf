#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Train the Fashion-MNIST classifier that ships with afpipe.

  train.py            train, then write model.h5, images-idx3-ubyte.gz and
                      labels-idx1-ubyte.gz into the output folder
                      (needs tensorflow-cpu 2.15 and the Debian package
                      dataset-fashion-mnist)
  train.py --check    reload the three files and print the accuracy on the
                      shipped images (needs only numpy and h5py)

The last epoch's weights are the ones written: the test images are used for
measuring alone, never for choosing an epoch or a setting.
"""

import argparse
import gzip
import hashlib
import io
import os
import struct
import sys
import time

import numpy as np

DATA = "/usr/share/datasets/fashion-mnist"
HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = "model.h5"
IMAGES = "images-idx3-ubyte.gz"
LABELS = "labels-idx1-ubyte.gz"
SHIPPED = 1000

SEED = 20240229
EPOCHS = 6
BATCH = 128
LEARNING_RATE = 2e-3
DROPOUT = 0.3


def read_idx(path):
    """An array of unsigned bytes from a gzip-compressed IDX file."""
    with gzip.open(path, "rb") as f:
        raw = f.read()
    zero, kind, ndim = struct.unpack(">HBB", raw[:4])
    if zero != 0 or kind != 0x08 or ndim == 0:
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    shape = struct.unpack(f">{ndim}I", raw[4:4 + 4 * ndim])
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * ndim)
    if body.size != int(np.prod(shape)):
        raise ValueError(f"{path}: {body.size} bytes for a shape of {shape}")
    return body.reshape(shape)


def write_idx(path, array):
    """The reverse of read_idx(); the same input gives the same bytes."""
    head = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    out = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, out, mtime=0) as f:
        f.write(head + np.ascontiguousarray(array, np.uint8).tobytes())
    with open(path, "wb") as f:
        f.write(out.getvalue())


def scale(images):
    """The network's input: N x 28 x 28 x 1, float32, 0..1."""
    return images[..., np.newaxis].astype(np.float32) / np.float32(255)


def train(outdir, data, epochs, limit):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    import keras
    import tensorflow as tf

    if not keras.__version__.startswith("2."):
        sys.exit(f"Keras 2 is needed for the layout of {MODEL}, "
                 f"this is {keras.__version__}; install tensorflow-cpu 2.15")

    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(SEED)

    x = scale(read_idx(os.path.join(data, "train-images-idx3-ubyte.gz")))
    y = read_idx(os.path.join(data, "train-labels-idx1-ubyte.gz"))
    test_images = read_idx(os.path.join(data, "t10k-images-idx3-ubyte.gz"))
    test_labels = read_idx(os.path.join(data, "t10k-labels-idx1-ubyte.gz"))
    if limit:
        x, y = x[:limit], y[:limit]

    layers = keras.layers
    model = keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(DROPOUT, seed=SEED),
        layers.Dense(64, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ], name="fashion_mnist")
    model.summary()

    steps = epochs * -(-len(x) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    model.compile(keras.optimizers.Adam(rate),
                  "sparse_categorical_crossentropy", ["accuracy"])

    start = time.monotonic()
    for epoch in range(epochs):
        order = rng.permutation(len(x))
        flip = rng.random(len(x)) < 0.5
        model.reset_metrics()
        for i in range(0, len(x), BATCH):
            pick, mirror = order[i:i + BATCH], flip[i:i + BATCH]
            batch = x[pick]
            batch[mirror] = batch[mirror, :, ::-1]
            loss, accuracy = model.train_on_batch(batch, y[pick],
                                                  reset_metrics=False)
        print(f"epoch {epoch + 1} of {epochs}: loss {loss:.4f}, "
              f"training accuracy {accuracy:.4f}, "
              f"{time.monotonic() - start:.0f} s", flush=True)

    model.save(os.path.join(outdir, MODEL), save_format="h5",
               include_optimizer=False)
    write_idx(os.path.join(outdir, IMAGES), test_images[:SHIPPED])
    write_idx(os.path.join(outdir, LABELS), test_labels[:SHIPPED])

    guess = model.predict(scale(test_images), batch_size=500, verbose=0)
    right = guess.argmax(axis=1) == test_labels
    print(f"Keras, {right.size} test images: {right.sum()} right, "
          f"accuracy {right.mean():.4f}")
    right = right[:SHIPPED]
    print(f"Keras, first {right.size} test images: {right.sum()} right, "
          f"accuracy {right.mean():.4f}")


def load_weights(path):
    """The kernels and biases by layer name, from the Keras HDF5 file."""
    import h5py

    weights = {}
    with h5py.File(path, "r") as f:
        top = f["model_weights"]
        for layer in top.attrs["layer_names"]:
            layer = layer.decode() if isinstance(layer, bytes) else layer
            for name in top[layer].attrs["weight_names"]:
                name = name.decode() if isinstance(name, bytes) else name
                kind = name.rsplit("/", 1)[-1].split(":")[0]
                weights.setdefault(layer, {})[kind] = top[layer][name][()]
    return weights


def predict(weights, x):
    """The network's forward pass in numpy; dropout is absent at inference."""
    def conv(x, layer):
        kernel, bias = weights[layer]["kernel"], weights[layer]["bias"]
        n, rows, cols, _ = x.shape
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        out = np.zeros((n, rows, cols, kernel.shape[3]), np.float32) + bias
        for i in range(3):
            for j in range(3):
                out += padded[:, i:i + rows, j:j + cols, :] @ kernel[i, j]
        return np.maximum(out, 0)

    def pool(x):
        n, rows, cols, depth = x.shape
        x = x.reshape(n, rows // 2, 2, cols // 2, 2, depth)
        return x.max(axis=(2, 4))

    def dense(x, layer):
        return x @ weights[layer]["kernel"] + weights[layer]["bias"]

    x = conv(x, "conv2d")
    x = pool(conv(x, "conv2d_1"))
    x = pool(conv(x, "conv2d_2"))
    x = np.maximum(dense(x.reshape(len(x), -1), "dense"), 0)
    x = dense(x, "dense_1")
    x = np.exp(x - x.max(axis=1, keepdims=True))
    return x / x.sum(axis=1, keepdims=True)


def measure(weights, images, labels, what):
    right = 0
    for i in range(0, len(images), 100):
        guess = predict(weights, scale(images[i:i + 100])).argmax(axis=1)
        right += int((guess == labels[i:i + 100]).sum())
    print(f"numpy, {len(images)} {what} images: {right} right, "
          f"accuracy {right / len(images):.4f}")


def check(outdir, data, full):
    weights = load_weights(os.path.join(outdir, MODEL))
    images = read_idx(os.path.join(outdir, IMAGES))
    labels = read_idx(os.path.join(outdir, LABELS))
    if images.shape != (SHIPPED, 28, 28) or labels.shape != (SHIPPED,):
        sys.exit(f"unexpected shapes {images.shape} and {labels.shape}")

    for name in (MODEL, IMAGES, LABELS):
        with open(os.path.join(outdir, name), "rb") as f:
            raw = f.read()
        print(f"{hashlib.sha256(raw).hexdigest()}  {name}  {len(raw)} bytes")
    total = sum(w.size for layer in weights.values() for w in layer.values())
    print(f"{total} weights in {len(weights)} layers")
    measure(weights, images, labels, "shipped")
    if full:
        measure(weights,
                read_idx(os.path.join(data, "t10k-images-idx3-ubyte.gz")),
                read_idx(os.path.join(data, "t10k-labels-idx1-ubyte.gz")),
                "test")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true",
                        help="measure the shipped files, train nothing")
    parser.add_argument("--full", action="store_true",
                        help="with --check: also all 10,000 test images")
    parser.add_argument("--output", default=HERE, metavar="DIR",
                        help="where the files are (default: beside train.py)")
    parser.add_argument("--data", default=DATA, metavar="DIR",
                        help="the data set (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=EPOCHS,
                        help="default: %(default)s")
    parser.add_argument("--limit", type=int, default=0, metavar="N",
                        help="use N training images only, for a quick trial")
    args = parser.parse_args()

    if args.check:
        check(args.output, args.data, args.full)
    else:
        os.makedirs(args.output, exist_ok=True)
        train(args.output, args.data, args.epochs, args.limit)
        check(args.output, args.data, False)


if __name__ == "__main__":
    main()
