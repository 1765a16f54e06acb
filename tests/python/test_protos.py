# SPDX-License-Identifier: Apache-2.0
"""Fields of the wire are documented where they stand."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "proto"
PROTOS = sorted(
    proto
    for room in ("rlx/v1", "rlx/config", "inference")
    for proto in (ROOT / room).glob("*.proto")
)

OPENS = re.compile(r"(message|enum|oneof|service)\s+(\w+)\s*\{(.*\})?")
FIELD = re.compile(r"(?:optional |repeated )?(?:map<.*>|[\w.]+)\s+(\w+)\s*=\s*\d+;(.*)")


def fields(text: str) -> list[tuple[str, bool]]:
    """Each field's name, and whether a comment stands above it or beside it, or above a message
    around it that says that all of it is ignored."""
    found, scopes, ignored, above = [], [], [False], ""
    for line in map(str.strip, text.splitlines()):
        comment, above = above, line if line.startswith("//") else ""
        if opens := OPENS.match(line):
            if not opens[3]:
                scopes.append((opens[1], opens[2]))
                ignored.append(ignored[-1] or comment.startswith("// Ignored"))
        elif line.startswith("}"):
            scopes.pop()
            ignored.pop()
        elif (field := FIELD.match(line)) and scopes[-1][0] != "enum":
            name = ".".join([name for kind, name in scopes if kind != "oneof"] + [field[1]])
            found.append((name, bool(comment) or ignored[-1] or "//" in field[2]))
    assert not scopes
    return found


def test_the_reader_sees_comments() -> None:
    text = """
message A {
  int32 a = 1;  // beside
  // above
  repeated B.C b = 2;
  oneof d {
    bytes e = 3;
  }
  enum F { G = 0; }
  map<string, B> h = 4;
}
// Ignored: all of it.
message I {
  message J {
    int32 a = 1;
  }
  int32 b = 2;
}
message K {
  int32 a = 1;
}
"""
    assert fields(text) == [
        ("A.a", True),
        ("A.b", True),
        ("A.e", False),
        ("A.h", False),
        ("I.J.a", True),
        ("I.b", True),
        ("K.a", False),
    ]


def test_every_field_has_its_comment() -> None:
    found = [field for proto in PROTOS for field in fields(proto.read_text())]
    assert len(PROTOS) >= 13 and len(found) > 430
    assert [name for name, documented in found if not documented] == []
