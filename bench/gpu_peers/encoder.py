# SPDX-License-Identifier: Apache-2.0
"""The encoder of bench/minilm_module.h in PyTorch, with the weights that bench_gpu_bench wrote."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

HIDDEN, LAYERS, HEADS, INNER, EPS = 768, 12, 12, 3072, 1e-12


class Encoder(torch.nn.Module):
    """ids i64 and keep bool, both [batch, seq] -> embedding [batch, HIDDEN]."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        super().__init__()

        def param(name: str, *shape: int) -> Tensor:
            bits = torch.from_file(
                str(folder / f"{name}.bin"), size=(folder / f"{name}.bin").stat().st_size // 4
            )
            return bits.reshape(*shape).to("cuda", dtype)

        self.word, self.position = param("word", -1, HIDDEN), param("position", -1, HIDDEN)
        self.type = param("type", HIDDEN)
        self.ln = param("ln_g", HIDDEN), param("ln_b", HIDDEN)
        self.layers = [
            {
                **{
                    name: (
                        param(f"layer{n}.{name}_w", rows, columns).t().contiguous(),
                        param(f"layer{n}.{name}_b", columns),
                    )
                    for name, rows, columns in (
                        *((x, HIDDEN, HIDDEN) for x in "qkvo"),
                        ("f1", HIDDEN, INNER),
                        ("f2", INNER, HIDDEN),
                    )
                },
                **{
                    name: (
                        param(f"layer{n}.{name}_g", HIDDEN),
                        param(f"layer{n}.{name}_b", HIDDEN),
                    )
                    for name in ("ln1", "ln2")
                },
            }
            for n in range(LAYERS)
        ]

    def forward(self, ids: Tensor, keep: Tensor) -> Tensor:
        batch, seq = ids.shape
        x = F.embedding(ids, self.word) + self.position[:seq] + self.type
        x = F.layer_norm(x, (HIDDEN,), *self.ln, EPS)
        mask = keep[:, None, None, :]
        for layer in self.layers:
            q, k, v = (
                F.linear(x, *layer[name]).view(batch, seq, HEADS, -1).transpose(1, 2)
                for name in "qkv"
            )
            a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            a = a.transpose(1, 2).reshape(batch, seq, HIDDEN)
            x = F.layer_norm(x + F.linear(a, *layer["o"]), (HIDDEN,), *layer["ln1"], EPS)
            h = F.linear(F.gelu(F.linear(x, *layer["f1"])), *layer["f2"])
            x = F.layer_norm(x + h, (HIDDEN,), *layer["ln2"], EPS)
        weight = keep[:, :, None].to(torch.float32)
        mean = (x * weight).sum(1) / weight.sum(1)
        return mean / mean.square().sum(1, keepdim=True).sqrt()


def recorded(function: Callable[[Tensor, Tensor], Tensor], ids: Tensor, keep: Tensor) -> Callable:
    """`function` on these tensors as one CUDA graph: what they hold then is read anew each time."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            function(ids, keep)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = function(ids, keep)

    def run(_ids: Tensor, _keep: Tensor) -> Tensor:
        graph.replay()
        return out

    return run
