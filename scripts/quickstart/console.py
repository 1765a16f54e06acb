# SPDX-License-Identifier: Apache-2.0
"""Steps on a terminal: what is going on, how far it is, how long it took.

    with Step("Upload the weights") as step:
        step.progress(0.4, "36 of 91 MB")
        step.done("91 MB")

On a terminal the line is redrawn in place; in a log a line is added every few seconds.
"""

import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np

WIDTH = 100
_TITLE = 26
_FRAMES = "|/-\\"
_SHADES = " .:-=+*#%@"


class Step:
    """One line of the story. Prints its own time; a failure inside is printed and passed on."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.seconds = 0.0
        self._state = ""
        self._result = ""
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._terminal = sys.stdout.isatty()

    def progress(self, share: float, text: str) -> None:
        """`share` in 0..1. May be called from any thread, as often as one likes."""
        filled = round(20 * min(max(share, 0.0), 1.0))
        self._state = f"[{'#' * filled}{'.' * (20 - filled)}] {text}"

    def doing(self, text: str) -> None:
        self._state = text

    def done(self, text: str) -> None:
        self._result = text

    def __enter__(self) -> Self:
        self._start = time.perf_counter()
        self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._start
        self._stop.set()
        self._ticker.join()
        mark, text = ("ok  ", self._result) if error is None else ("FAIL", type(error).__name__)
        self._line(f"{mark} {self.title:{_TITLE}}{text}", duration(self.seconds), "\n")

    def _tick(self) -> None:
        """Redraws ten times a second on a terminal; elsewhere speaks up every two seconds."""
        count = 0
        while not self._stop.wait(0.1 if self._terminal else 2.0):
            frame = _FRAMES[count % len(_FRAMES)] if self._terminal else "..."
            elapsed = f"{time.perf_counter() - self._start:8.0f} s "
            end = "" if self._terminal else "\n"
            self._line(f"{frame:4} {self.title:{_TITLE}}{self._state}", elapsed, end)
            count += 1

    def _line(self, left: str, right: str, end: str) -> None:
        room = WIDTH - len(right) - 1
        start = "\r" if self._terminal else ""
        print(f"{start}{left[:room]:{room}} {right}", end=end, flush=True)


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def duration(seconds: float) -> str:
    """Eight characters and a unit: `   1.23 s`, `  80.2 ms`."""
    return f"{seconds:8.2f} s " if seconds >= 1 else f"{seconds * 1e3:8.1f} ms"


def megabytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count < 9.95e6 else f"{count / 1e6:.0f} MB"


def similarity_table(sentences: Sequence[str], embeddings: np.ndarray) -> list[str]:
    """Cosine similarities as numbers, with a darker mark the closer two sentences are."""
    numbers = "".join(f"{n + 1:5}    " for n in range(len(sentences)))
    lines = [f"  {'':54}{numbers}".rstrip()]
    for n, (row, sentence) in enumerate(zip(embeddings @ embeddings.T, sentences, strict=True)):
        cells = "  ".join(f"{value:5.2f} {_shade(value)}" for value in row)
        lines.append(f"  {n + 1} {sentence:52.52}{cells}".rstrip())
    return lines


def _shade(similarity: float) -> str:
    return _SHADES[min(max(int(similarity * len(_SHADES)), 0), len(_SHADES) - 1)]
