"""Within a period, under which terms usage is counted: the segments of its usage. Pure.

The first segment begins with the period. Another one begins with each change at once to another
plan, or to other add-ons: so each event is counted, and billed, under one set of terms. Changes of
quantities begin none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.rules.item_changes import Applies, HeldTerms, ItemChange, held_after, held_at_start


@dataclass(frozen=True, slots=True)
class UsageSegment:
    """From when on usage is counted under which terms; None: nothing was ever changed."""

    starts_at: datetime
    terms: HeldTerms | None


def usage_segments(
    changes: Sequence[ItemChange], start: datetime, end: datetime
) -> tuple[UsageSegment, ...]:
    """Return the segments of a period in order; their places are their numbers.

    `changes` are all of a subscription, in the order in which they were asked for. A change at the
    period's end, or one that cuts it there, is part of the next period.
    """
    found = [UsageSegment(start, held_at_start(changes, start))]
    for change in changes:
        at_once = change.applies is Applies.NOW and change.cuts is None
        if not at_once or change.change_id is None or not start <= change.holds_from < end:
            continue
        terms = held_after(changes, change.change_id, start)
        if _metered(terms) == _metered(found[-1].terms):
            continue
        segment = UsageSegment(change.holds_from, terms)
        if change.holds_from == found[-1].starts_at:
            found[-1] = segment
        else:
            found.append(segment)
    return tuple(found)


def _metered(terms: HeldTerms | None) -> object:
    """Return what of terms says which usage is counted, and what it costs."""
    return None if terms is None else (terms.plan, terms.version, dict(terms.addons))
