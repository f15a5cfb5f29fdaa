"""Findings about usage, in sentences."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from billing.rules.promises import FindingKind

USAGE_WORDS: Final[Mapping[FindingKind, Callable[[Mapping[str, Any]], str]]] = {
    FindingKind.USAGE_TOTAL: lambda row: (
        f"subscription {row['subscription']}, meter {row['meter']}, period {row['n']}: the total of"
        f" {row['events']} event(s) isn't what those {row['counted_again']} that are kept or were"
        " sealed come to"
    ),
    FindingKind.USAGE_KEYS: lambda row: (
        f"subscription {row['subscription']}, meter {row['meter']}, period {row['n']}: the total"
        f" has {row['keys'] or 0} different key(s), and {row['different'] or 0} are kept"
    ),
    FindingKind.USAGE_KEY_MISSING: lambda row: (
        f"subscription {row['subscription']}, meter {row['meter']}, period {row['n']}: the key of"
        f" event {row['event']} isn't among those that were counted"
    ),
    FindingKind.USAGE_COUNTED_TWICE: lambda row: (
        f"event {row['event']} is counted {row['times']} times, as if it were several events:"
        f" {row['first']} to {row['last']}"
    ),
    FindingKind.USAGE_ID_OF_EVENT: lambda row: (
        f"event {row['event']} of {row['at']} was received on {row['received_on']} and isn't there"
        " as it was received"
    ),
    FindingKind.USAGE_RECEIVED: lambda row: (
        f"{row['accepted']} events were accepted, and {row['events']} are kept and"
        f" {row['sealed']} were sealed; they counted {row['counted']} times, and totals have"
        f" {row['in_totals']}"
    ),
    FindingKind.USAGE_SEALED: lambda row: (
        f"sealed days have {row['counted']} counted events, totals have {row['events']} of sealed"
        f" days, and {row['left_over']} events of such days are there; or other ones"
    ),
}
