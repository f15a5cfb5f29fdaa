"""What an invoice may become, case by case; `tests/store` holds the database to the same table."""

from itertools import product

import pytest

from billing.rules.invoices import IllegalChange, InvoiceStatus, check_change

OPEN, PAID = InvoiceStatus.OPEN, InvoiceStatus.PAID
VOID, UNCOLLECTIBLE = InvoiceStatus.VOID, InvoiceStatus.UNCOLLECTIBLE

LEGAL = [
    (OPEN, PAID),
    (OPEN, VOID),
    (OPEN, UNCOLLECTIBLE),
    (UNCOLLECTIBLE, OPEN),
    (UNCOLLECTIBLE, PAID),
    (VOID, PAID),
    (PAID, OPEN),
]
ILLEGAL = [pair for pair in product(InvoiceStatus, InvoiceStatus) if pair not in LEGAL]


@pytest.mark.parametrize(("before", "after"), LEGAL)
def test_an_invoice_may_become(before: InvoiceStatus, after: InvoiceStatus) -> None:
    check_change(before, after)


@pytest.mark.parametrize(("before", "after"), ILLEGAL)
def test_an_invoice_may_not_become(before: InvoiceStatus, after: InvoiceStatus) -> None:
    with pytest.raises(IllegalChange, match=f"an invoice that is {before} can't become {after}"):
        check_change(before, after)


@pytest.mark.parametrize(
    ("status", "earns"), [(OPEN, True), (PAID, True), (VOID, False), (UNCOLLECTIBLE, False)]
)
def test_revenue_is_earned_of_what_is_owed_or_paid(status: InvoiceStatus, earns: bool) -> None:
    assert status.earns is earns
