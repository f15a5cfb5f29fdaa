"""The notes on a break, and the effects of resolving it, in sentences."""

from collections.abc import Mapping
from typing import Any, Final

from billing.rules.reconciliation import BreakNoteKind

Facts = Mapping[str, Any]

_EFFECTS: Final[Mapping[str, str]] = {
    "adjustment": "psp_clearing is adjusted by {}, against adjustments",
    "accepts": "{} is accepted as it is and posted",
    "settles_payment": "payment {} counts as settled",
    "settles_refund": "refund {} counts as settled",
    "exchange": "it is a side of {}",
    "proposed_by": "proposed by {}",
}
_NOT_ADJUSTED: Final = "the books stay as they are; the provider's balance differs by {}"


def in_words(kind: BreakNoteKind, words: str | None, facts: Facts) -> str:
    """Return a note as a sentence. Rows of earlier versions hold it already."""
    if words is not None:
        return words
    match BreakNoteKind(kind):
        case BreakNoteKind.ASSIGNED:
            return f"assigned to {facts['name']}"
        case BreakNoteKind.UNASSIGNED:
            return f"no longer assigned to {facts['name']}"
        case BreakNoteKind.PROPOSED:
            return f"proposes to adjust psp_clearing by {facts['adjustment']}: {facts['reason']}"
        case _:
            return "; ".join([facts["reason"], *effects(facts)])


def effects(facts: Facts) -> list[str]:
    """Return what resolving a break does apart from closing it, a sentence each."""
    told = [words.format(facts[name]) for name, words in _EFFECTS.items() if name in facts]
    if "suggested" in facts and "adjustment" not in facts:
        told.insert(0, _NOT_ADJUSTED.format(facts["suggested"]))
    return told
