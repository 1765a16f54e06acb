# SPDX-License-Identifier: Apache-2.0
"""A tagger: words to two layers of an LSTM in both directions, to a class a word."""

import numpy as np
import onnx

from .builder import Builder

VOCAB, EMBEDDING, HIDDEN, LAYERS, TAGS = 10000, 128, 256, 2, 20


def lstm_tagger() -> onnx.ModelProto:
    g = Builder("lstm-tagger")
    ids = g.input("input_ids", ["batch", "seq"], np.int64)
    table = g.param("embedding.weight", VOCAB, EMBEDDING, scale=1.0)
    x = g.op("Transpose", g.op("Gather", table, ids, axis=0), perm=[1, 0, 2])
    zeros = np.zeros(1, np.float32)
    start = g.op(
        "ConstantOfShape",
        g.shape(2, g.dim(ids, 0), HIDDEN),
        value=onnx.numpy_helper.from_array(zeros),
    )
    for layer in range(LAYERS):
        width, name = (2 * HIDDEN if layer else EMBEDDING), f"lstm.{layer}"
        weights = [
            g.param(f"{name}.w", 2, 4 * HIDDEN, width, scale=width**-0.5),
            g.param(f"{name}.r", 2, 4 * HIDDEN, HIDDEN, scale=HIDDEN**-0.5),
            g.param(f"{name}.b", 2, 8 * HIDDEN, scale=0.02),
        ]
        y = g.ops(
            "LSTM", 3, x, *weights, "", start, start, direction="bidirectional", hidden_size=HIDDEN
        )[0]
        x = g.reshape(g.op("Transpose", y, perm=[0, 2, 1, 3]), 0, 0, -1)
    x = g.linear("tags", g.op("Transpose", x, perm=[1, 0, 2]), 2 * HIDDEN, TAGS)
    g.output("logits", x, ["batch", "seq", TAGS])
    return g.model()
