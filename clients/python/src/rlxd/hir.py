# SPDX-License-Identifier: Apache-2.0
"""Blocks: what a model's author writes."""

from __future__ import annotations

from rlxd.mir import MirGraph


class HirGraph(MirGraph):
    """A graph of blocks and tensor ops."""
