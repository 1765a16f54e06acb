# SPDX-License-Identifier: Apache-2.0
"""Convolution nets over [batch, 3, 224, 224], as torchvision builds them, 1000 classes."""

from collections.abc import Callable

import onnx

from .builder import Builder

Act = Callable[[Builder, str], str]


def _none(g: Builder, x: str) -> str:
    return x


def _relu(g: Builder, x: str) -> str:
    return g.op("Relu", x)


def _hard_swish(g: Builder, x: str) -> str:
    return g.op("HardSwish", x)


def _hard_sigmoid(g: Builder, x: str) -> str:
    return g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def _silu(g: Builder, x: str) -> str:
    return g.silu(x)


def _sigmoid(g: Builder, x: str) -> str:
    return g.op("Sigmoid", x)


ROOT_2 = 2**0.5  # keeps the size of what passes a relu
SMOOTH = 1.5  # and of what passes a silu or hard swish


def _start(name: str) -> tuple[Builder, str]:
    g = Builder(name)
    return g, g.input("image", ["batch", 3, 224, 224])


def _pooled(g: Builder, x: str) -> str:
    return g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)


# Width inside, width outside, blocks, stride of the first.
RESNET50 = ((64, 256, 3, 1), (128, 512, 4, 2), (256, 1024, 6, 2), (512, 2048, 3, 2))


def resnet50() -> onnx.ModelProto:
    g, x = _start("resnet-50")
    x = _relu(g, g.conv("conv1", x, (3, 64), 7, 2, gain=ROOT_2))
    x = g.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    width = 64
    for stage, (inner, outer, blocks, stride) in enumerate(RESNET50, 1):
        for block in range(blocks):
            step = stride if block == 0 else 1
            x = _bottleneck(g, f"layer{stage}.{block}", x, (width, inner, outer), step)
            width = outer
    g.output("logits", g.gemm("fc", _pooled(g, x), width, 1000), ["batch", 1000])
    return g.model()


def _bottleneck(g: Builder, name: str, x: str, widths: tuple[int, int, int], stride: int) -> str:
    entry, inner, outer = widths
    y = _relu(g, g.conv(f"{name}.conv1", x, (entry, inner), gain=ROOT_2))
    y = _relu(g, g.conv(f"{name}.conv2", y, (inner, inner), 3, stride, gain=ROOT_2))
    y = g.conv(f"{name}.conv3", y, (inner, outer), gain=0.3)
    if entry != outer:
        x = g.conv(f"{name}.downsample", x, (entry, outer), 1, stride)
    return _relu(g, g.op("Add", y, x))


def _squeeze(g: Builder, name: str, x: str, widths: tuple[int, int], acts: tuple[Act, Act]) -> str:
    """Squeeze and excitation: x times a factor for each channel."""
    width, inner = widths
    y = g.op("GlobalAveragePool", x)
    y = acts[0](g, g.conv(f"{name}.fc1", y, (width, inner), gain=ROOT_2))
    return g.op("Mul", acts[1](g, g.conv(f"{name}.fc2", y, (inner, width))), x)


def _divisible(width: float, by: int = 8) -> int:
    """The multiple nearest to `width` that is not below nine tenths of it."""
    rounded = max(by, int(width + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * width else rounded


def _inverted(
    g: Builder,
    name: str,
    x: str,
    widths: tuple[int, int, int],
    window: tuple[int, int],
    squeeze: int,
    acts: tuple[Act, Act, Act],  # of the block, inside the squeeze, at its end
) -> str:
    """Expand, depthwise, squeeze (0: none), project; with a residual where the sizes allow it."""
    entry, inner, outer = widths
    kernel, stride = window
    gain = ROOT_2 if acts[0] is _relu else SMOOTH
    y = x
    if inner != entry:
        y = acts[0](g, g.conv(f"{name}.expand", y, (entry, inner), gain=gain))
    y = acts[0](g, g.conv(f"{name}.depthwise", y, (inner, inner), kernel, stride, inner, gain))
    if squeeze:
        y = _squeeze(g, f"{name}.se", y, (inner, squeeze), acts[1:])
    # A squeeze halves what it is given, more or less.
    y = g.conv(f"{name}.project", y, (inner, outer), gain=1.8 if squeeze else 1)
    return g.op("Add", x, y) if stride == 1 and entry == outer else y


# Kernel, width inside, width outside, squeezes, hard swish instead of relu, stride.
MOBILENET_V3_LARGE = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)


def mobilenet_v3_large() -> onnx.ModelProto:
    g, x = _start("mobilenet-v3-large")
    x, width = _hard_swish(g, g.conv("stem", x, (3, 16), 3, 2)), 16
    for at, (kernel, inner, outer, squeezes, hard, stride) in enumerate(MOBILENET_V3_LARGE):
        act = _hard_swish if hard else _relu
        squeeze = _divisible(inner / 4) if squeezes else 0
        acts = (act, _relu, _hard_sigmoid)
        x = _inverted(g, f"block{at}", x, (width, inner, outer), (kernel, stride), squeeze, acts)
        width = outer
    x = _pooled(g, _hard_swish(g, g.conv("head", x, (width, 960), gain=ROOT_2)))
    x = _hard_swish(g, g.gemm("classifier.0", x, 960, 1280))
    g.output("logits", g.gemm("classifier.3", x, 1280, 1000), ["batch", 1000])
    return g.model()


# Expansion, kernel, stride of the first, width outside, blocks.
EFFICIENTNET_B0 = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


def efficientnet_b0() -> onnx.ModelProto:
    g, x = _start("efficientnet-b0")
    x, width = _silu(g, g.conv("stem", x, (3, 32), 3, 2, gain=ROOT_2)), 32
    for stage, (expansion, kernel, first, outer, blocks) in enumerate(EFFICIENTNET_B0):
        for block in range(blocks):
            widths = (width, width * expansion, outer)
            window = (kernel, first if block == 0 else 1)
            acts = (_silu, _silu, _sigmoid)
            name = f"features.{stage}.{block}"
            x = _inverted(g, name, x, widths, window, max(1, width // 4), acts)
            width = outer
    x = _pooled(g, _silu(g, g.conv("head", x, (width, 1280), gain=ROOT_2)))
    g.output("logits", g.gemm("classifier", x, 1280, 1000), ["batch", 1000])
    return g.model()
