# SPDX-License-Identifier: Apache-2.0
"""Sentences to arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

MAX_TOKENS = 256  # what the model was trained to embed; its position table would allow 512


@dataclass(frozen=True)
class Batch:
    ids: np.ndarray  # int32 [batch, seq], zero where padded
    keep: np.ndarray  # bool [batch, seq], true where a token stands

    def unpadded(self) -> list[np.ndarray]:
        """The ids of each sentence, as long as the sentence is."""
        return [ids[keep] for ids, keep in zip(self.ids, self.keep, strict=True)]


def tokenize(tokenizer_json: Path, sentences: Sequence[str], multiple_of: int = 8) -> Batch:
    """Tokenizes and pads to the longest sentence, rounded up to `multiple_of`.

    Rounding keeps the number of different shapes, and so of compiled programs, small.
    """
    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(sentences))]
    length = -(-max(map(len, rows)) // multiple_of) * multiple_of
    ids = np.zeros((len(rows), length), np.int32)
    keep = np.zeros((len(rows), length), np.bool_)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = tokens
        keep[row, : len(tokens)] = True
    return Batch(ids, keep)
