"""Long stories of real processes that take turns: each commit tells half of them."""

import os
from typing import Final

import pytest

from tests.shares import share

# Neighbours are alike: one of the two is told.
LONG: Final = (
    "chaos", "webhook chaos",
    "many", "lost answers",
    "a restore", "two providers",
    "the demo", "the demo without faults",
)  # fmt: skip


def in_turn(story: str) -> pytest.MarkDecorator:
    """Return the mark of a long story: it is skipped when others have their turn.

    Who says how long a soak takes wants that one.
    """
    told = share(LONG, 2)
    assert story in LONG
    return pytest.mark.skipif(
        story not in told and "CHAOS_SECONDS" not in os.environ,
        reason="others have their turn; TEST_SHARE=all runs it",
    )
