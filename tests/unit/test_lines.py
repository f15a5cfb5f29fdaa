"""The index of lines: every key of any TOML text that `tomllib` accepts."""

import tomllib
from typing import Any

from billing.plans.lines import Path, key_lines

TEXT = '''\
# a comment with [brackets] = "x"
product = "a # no comment"

[[plan]]
code = "a"
retry_after = [  # one a line
  "3d",
  "5d",
]
"quoted key" = 1
dotted.key = 1979-05-27 07:32:00

  [[plan.version]]
  price = { USD = "1", "EUR" = '2' }
  words = """
[[plan]]
code = "not a key"
"""

  [[plan.version]]
  [plan.version.price]
  USD = "}"

[[plan]]
empty = []
nothing = {}
nested = [["a"], ["b", "c"]]
  [[plan.version]]
  quotes = """two "" inside, one at the end""""
  last = true
'''


def test_each_key_has_its_line() -> None:
    lines = key_lines(TEXT)

    assert lines["product",] == 2
    assert lines["plan", 0] == 4
    assert lines["plan", 0, "retry_after", 1] == 8
    assert lines["plan", 0, "quoted key"] == 10
    assert lines["plan", 0, "dotted", "key"] == 11
    assert lines["plan", 0, "version", 0, "price", "EUR"] == 14
    assert lines["plan", 0, "version", 1, "price", "USD"] == 22
    assert lines["plan", 1, "version", 0, "last"] == 30


def test_exactly_the_keys_of_the_parsed_data_are_found() -> None:
    assert set(key_lines(TEXT)) == set(_paths(tomllib.loads(TEXT), ()))


def test_windows_line_ends_count_once() -> None:
    assert key_lines(TEXT.replace("\n", "\r\n")) == key_lines(TEXT)


def _paths(value: Any, path: Path) -> list[Path]:
    here = [path] if path else []
    if isinstance(value, dict):
        return here + [p for key, inner in value.items() for p in _paths(inner, (*path, key))]
    if isinstance(value, list):
        return here + [p for i, inner in enumerate(value) for p in _paths(inner, (*path, i))]
    return here
