"""Credit pays an invoice after its taxes; what is left may be too small to be charged."""

from collections.abc import Iterable

from billing.pricing.drafts import AppliedCredit
from billing.pricing.facts import Credit


def applied(total: int, credit: Iterable[Credit]) -> tuple[AppliedCredit, ...]:
    """Return what each grant pays of a total, in the order given; who pays nothing is left out."""
    found = []
    for each in credit:
        amount = min(each.left, total)
        if amount > 0:
            found.append(AppliedCredit(each.grant, amount))
            total -= amount
    return tuple(found)


def small_of(rest: int, minimum: int, waives: bool) -> int:
    """Return what is waived of the rest: all of it below the minimum, where that is waived."""
    return rest if waives and rest < minimum else 0
