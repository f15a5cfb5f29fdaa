"""The grammar of our own payment methods: what each charge does, step by step.

    <step>[_<count>][_then_<step>[_<count>]]...

A step lasts `count` charges, 1 when none is given. The last step takes no count and lasts for ever.
"""

from collections.abc import Callable

Steps = tuple[tuple[str, int], ...]  # (outcome, how many charges it lasts)


def read_steps(text: str, outcome_of: Callable[[str], str | None]) -> Steps | None:
    """Return the steps that a text names; None when it isn't of the grammar.

    `outcome_of` says what a step's name stands for, or None for a name that it doesn't know.
    """
    words = text.split("_then_")
    steps = [_step(word, outcome_of) for word in words]
    good = [step for step in steps if step is not None]
    if len(good) < len(steps) or _counted(words[-1]) is not None:
        return None
    return tuple(good)


def outcome_after(steps: Steps, used: int) -> str:
    """Return what the next charge does, after `used` charges."""
    for outcome, count in steps[:-1]:
        if used < count:
            return outcome
        used -= count
    return steps[-1][0]


def _step(word: str, outcome_of: Callable[[str], str | None]) -> tuple[str, int] | None:
    count = _counted(word)
    outcome = outcome_of(word if count is None else word.rpartition("_")[0])
    return None if outcome is None or count == 0 else (outcome, count or 1)


def _counted(word: str) -> int | None:
    tail = word.rpartition("_")[2]
    return int(tail) if tail.isascii() and tail.isdigit() and len(tail) <= 6 else None
