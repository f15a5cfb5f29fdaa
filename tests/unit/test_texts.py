"""Text that steers a terminal is refused where it comes in, and harmless where it is shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.cli.output import cell, to_json
from billing.rules.texts import has_controls, one_line, visible

STEERING = ["\x00", "\x07", "\x1b[2J", "\x7f", "\x85", "\x9b2J", "\u202e", "\u2066", "\u2028"]


@pytest.mark.parametrize("text", STEERING, ids=ascii)
def test_steering_text_is_told_and_shown_escaped(text: str) -> None:
    shown = one_line(f"Ada{text}")

    assert has_controls(text)
    assert not has_controls(shown)
    assert shown.startswith("Ada\\")


def test_lines_stay_lines_where_there_may_be_many() -> None:
    assert visible("a\n\tb\x1b") == "a\n\tb\\x1b"
    assert one_line("a\nb") == "a\\x0ab"


@given(st.text(st.characters(codec="utf-8")))
def test_json_for_a_terminal_says_the_same(text: str) -> None:
    written = to_json({"name": text})

    assert json.loads(written) == {"name": text}
    assert not has_controls(written)


@given(st.text())
def test_a_cell_is_one_harmless_line(text: str) -> None:
    shown = cell({"name": text, "names": [text], "facts": {"name": text}}, "names")

    assert not has_controls(shown)
    shown.encode()
