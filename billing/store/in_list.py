"""Constant words as the list of an IN."""

from collections.abc import Sequence


def in_list(words: Sequence[str]) -> str:
    """Return constant words as the list of an IN; never for values from outside."""
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"
