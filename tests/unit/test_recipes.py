"""What each event posts, against the table of recipes in docs/ledger.md."""

import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.ledger import recipes
from billing.ledger.journal import EmptyEntry, Entry, JournalError
from billing.money import CurrencyMismatch, Money

AT = datetime(2026, 3, 1, tzinfo=UTC)
LATER = datetime(2026, 5, 9, tzinfo=UTC)
ANN = uuid.UUID("018f0000-0000-7000-8000-00000000000a")
INVOICE = uuid.UUID("018f0000-0000-7000-8000-0000000000f1")
PAYMENT = uuid.UUID("018f0000-0000-7000-8000-0000000000e1")
CYCLE = uuid.UUID("018f0000-0000-7000-8000-0000000000c1")


def usd(amount: int) -> Money:
    return Money(amount, "USD")


def invoice_issued(**changes: Any) -> Entry:
    facts: dict[str, Any] = {
        "invoice_id": INVOICE,
        "customer_id": ANN,
        "cycle_id": CYCLE,
        "net": usd(999),
        "tax": usd(190),
        "effective_at": AT,
    }
    return recipes.invoice_issued(**(facts | changes))


def payment_captured(**changes: Any) -> Entry:
    facts: dict[str, Any] = {
        "payment_id": PAYMENT,
        "capture": 2,
        "customer_id": ANN,
        "cycle_id": CYCLE,
        "amount": usd(1189),
        "effective_at": AT,
    }
    return recipes.payment_captured(**(facts | changes))


def write_off(**changes: Any) -> Entry:
    facts: dict[str, Any] = {
        "invoice_id": INVOICE,
        "customer_id": ANN,
        "cycle_id": CYCLE,
        "recognised": usd(0),
        "deferred": usd(999),
        "tax": usd(190),
        "effective_at": AT,
    }
    return recipes.write_off(**(facts | changes))


def legs(entry: Entry) -> dict[str, int]:
    """Signed amounts by account; the customer's accounts carry the customer's id."""
    return {str(posting.account): posting.money.amount for posting in entry.postings}


RECEIVABLE = f"receivable({ANN})"

EVENTS: list[tuple[str, Entry, str, dict[str, int]]] = [
    (
        "invoice issued",
        invoice_issued(),
        f"invoice_issued:{INVOICE}",
        {RECEIVABLE: 1189, "deferred_revenue": -999, "tax_payable": -190},
    ),
    (
        "invoice issued without tax",
        invoice_issued(tax=usd(0)),
        f"invoice_issued:{INVOICE}",
        {RECEIVABLE: 999, "deferred_revenue": -999},
    ),
    (
        "invoice voided",
        recipes.invoice_voided(invoice_issued(), effective_at=LATER),
        f"invoice_voided:{INVOICE}",
        {RECEIVABLE: -1189, "deferred_revenue": 999, "tax_payable": 190},
    ),
    (
        "payment captured",
        payment_captured(),
        f"payment_captured:{PAYMENT}:2",
        {"psp_clearing": 1189, RECEIVABLE: -1189},
    ),
    (
        "payment captured, told apart by the provider's charge",
        payment_captured(capture="ch_3Pq", amount=usd(1)),
        f"payment_captured:{PAYMENT}:ch_3Pq",
        {"psp_clearing": 1, RECEIVABLE: -1},
    ),
    (
        "write-off before anything was earned",
        write_off(),
        f"write_off:{INVOICE}:1",
        {"deferred_revenue": 999, "tax_payable": 190, RECEIVABLE: -1189},
    ),
    (
        "write-off after all was earned",
        write_off(recognised=usd(999), deferred=usd(0)),
        f"write_off:{INVOICE}:1",
        {"bad_debt": 999, "tax_payable": 190, RECEIVABLE: -1189},
    ),
    (
        "write-off of an invoice that was reopened, a part of it earned",
        write_off(recognised=usd(400), deferred=usd(599), nth=2),
        f"write_off:{INVOICE}:2",
        {"bad_debt": 400, "deferred_revenue": 599, "tax_payable": 190, RECEIVABLE: -1189},
    ),
    (
        "write-off reversed by a late payment",
        recipes.write_off_reversed(write_off(), effective_at=LATER),
        f"write_off_reversed:{INVOICE}:1",
        {"deferred_revenue": -999, "tax_payable": -190, RECEIVABLE: 1189},
    ),
]


@pytest.mark.parametrize(
    ("entry", "source_key", "expected"),
    [event[1:] for event in EVENTS],
    ids=[event[0] for event in EVENTS],
)
def test_an_event_posts_what_its_recipe_says(
    entry: Entry, source_key: str, expected: dict[str, int]
) -> None:
    assert legs(entry) == expected
    assert entry.source_key == source_key
    assert entry.kind == source_key.split(":")[0]
    assert entry.cycle_id == CYCLE


def test_the_page_has_a_row_for_every_recipe_and_names_its_source_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text("utf-8")

    keys = set(re.findall(r"^\|.*\| `([a-z_]+):[^`]*` \|$", page, re.MULTILINE))

    assert keys == {entry.kind for _, entry, _, _ in EVENTS} | {"reversal"}


def test_the_same_event_makes_the_same_entry() -> None:
    assert invoice_issued() == invoice_issued()
    assert invoice_issued().payload_hash() == invoice_issued().payload_hash()


def test_a_free_invoice_has_no_entry() -> None:
    with pytest.raises(EmptyEntry):
        invoice_issued(net=usd(0), tax=usd(0))


@pytest.mark.parametrize("make", [invoice_issued, write_off])
def test_a_negative_part_is_refused_even_where_the_total_would_balance(make: Any) -> None:
    with pytest.raises(JournalError, match="from zero up"):
        make(tax=usd(-190))


def test_two_currencies_in_one_event_are_refused() -> None:
    with pytest.raises(CurrencyMismatch):
        invoice_issued(tax=Money(190, "EUR"))


# --- reversals -----------------------------------------------------------------------------


def test_a_reversal_names_what_it_takes_back_and_stays_in_its_cycle() -> None:
    taken_back = recipes.reversal(
        payment_captured(), source_key="reversal:mistake-7", effective_at=LATER
    )

    assert taken_back.reverses == payment_captured().source_key
    assert taken_back.kind == "reversal"
    assert taken_back.cycle_id == CYCLE
    assert taken_back.effective_at == LATER


def test_after_the_close_a_reversal_stands_outside_the_cycle() -> None:
    assert (
        recipes.write_off_reversed(write_off(), effective_at=LATER, after_close=True).cycle_id
        is None
    )


@pytest.mark.parametrize(
    ("take_back", "of"),
    [
        (recipes.invoice_voided, payment_captured()),
        (recipes.invoice_voided, write_off()),
        (recipes.write_off_reversed, invoice_issued()),
    ],
)
def test_only_an_entry_of_the_right_kind_is_taken_back(take_back: Any, of: Entry) -> None:
    with pytest.raises(JournalError, match=of.source_key):
        take_back(of, effective_at=LATER)


amounts = st.integers(0, 10**12)


@given(amounts, amounts, amounts)
def test_issue_write_off_late_payment_leaves_nothing_owed(net: int, tax: int, earned: int) -> None:
    earned = min(earned, net)
    if net + tax == 0:
        return
    written_off = write_off(recognised=usd(earned), deferred=usd(net - earned), tax=usd(tax))
    books = [
        invoice_issued(net=usd(net), tax=usd(tax)),
        written_off,
        recipes.write_off_reversed(written_off, effective_at=LATER),
        payment_captured(amount=usd(net + tax)),
    ]

    owed = 0
    history = []
    for entry in books:
        owed += legs(entry)[RECEIVABLE]
        history.append(owed)

    assert history == [net + tax, 0, net + tax, 0]


@given(amounts.filter(bool), amounts)
def test_an_entry_and_its_reversal_cancel_line_by_line(net: int, tax: int) -> None:
    issued = invoice_issued(net=usd(net), tax=usd(tax))

    voided = recipes.invoice_voided(issued, effective_at=LATER)

    assert [replace(p, money=-p.money) for p in voided.postings] == list(issued.postings)
