"""Credit pays an invoice after its taxes; what is left may be too small to be charged."""

from collections.abc import Iterable
from uuid import UUID

from billing.pricing.drafts import AppliedCredit
from billing.pricing.facts import Credit, FactsError


def applied(total: int, credit: Iterable[Credit]) -> tuple[AppliedCredit, ...]:
    """Return what each grant pays of a total, in the order given; who pays nothing is left out.

    Raises: FactsError, for a grant that is named twice or of which less than nothing is left.
    """
    found, named = [], set[UUID]()
    for each in credit:
        if type(each.left) is not int or each.left < 0:
            raise FactsError(f"grant {each.grant} has {each.left} left, which can't pay")
        if each.grant in named:
            raise FactsError(f"grant {each.grant} pays twice")
        named.add(each.grant)
        amount = min(each.left, total)
        if amount > 0:
            found.append(AppliedCredit(each.grant, amount))
            total -= amount
    return tuple(found)


def small_of(rest: int, minimum: int, waives: bool) -> int:
    """Return what is waived of the rest: all of it below the minimum, where that is waived."""
    return rest if waives and rest < minimum else 0
