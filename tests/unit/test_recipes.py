"""What each event posts, against the table of recipes in docs/ledger.md."""

import re
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.ledger import keys, recipes
from billing.ledger.accounts import Account, AccountCode
from billing.ledger.journal import EmptyEntry, Entry, JournalError
from billing.rules.credit_notes import Destination
from billing.rules.money import CurrencyMismatch, Money

AT = datetime(2026, 3, 1, tzinfo=UTC)
LATER = datetime(2026, 5, 9, tzinfo=UTC)
ANN = uuid.UUID("018f0000-0000-7000-8000-00000000000a")
INVOICE = uuid.UUID("018f0000-0000-7000-8000-0000000000f1")
PAYMENT = uuid.UUID("018f0000-0000-7000-8000-0000000000e1")
CYCLE = uuid.UUID("018f0000-0000-7000-8000-0000000000c1")
REFUND = uuid.UUID("018f0000-0000-7000-8000-0000000000b1")
CUSTOMER = uuid.UUID("018f0000-0000-7000-8000-0000000000c5")
DISPUTE = uuid.UUID("018f0000-0000-7000-8000-0000000000d1")
NOTE = uuid.UUID("018f0000-0000-7000-8000-0000000000d7")
BREAK = uuid.UUID("018f0000-0000-7000-8000-0000000000b9")
GRANT = uuid.UUID("018f0000-0000-7000-8000-0000000000a9")


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
        "provider": "stripe",
        "capture": 2,
        "customer_id": ANN,
        "cycle_id": CYCLE,
        "amount": usd(1189),
        "effective_at": AT,
    }
    return recipes.payment_captured(**(facts | changes))


def credit_applied() -> Entry:
    return recipes.credit_applied(
        invoice_id=INVOICE,
        grant_id=GRANT,
        customer_id=ANN,
        cycle_id=CYCLE,
        amount=usd(300),
        effective_at=AT,
    )


def credit_note(destination: Destination, **changes: Any) -> Entry:
    facts: dict[str, Any] = {
        "note_id": NOTE,
        "customer_id": ANN,
        "destination": destination,
        "recognised": usd(300),
        "deferred": usd(699),
        "tax": usd(190),
        "effective_at": AT,
    }
    return recipes.credit_note(**(facts | changes))


def credit_expired(*, paid_for: bool) -> Entry:
    return recipes.credit_expired(
        grant_id=GRANT,
        n=3,
        customer_id=ANN,
        amount=usd(200),
        paid_for=paid_for,
        effective_at=AT,
    )


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


def refund_requested(**changes: Any) -> Entry:
    facts: dict[str, Any] = {
        "refund_id": REFUND,
        "customer_id": CUSTOMER,
        "cycle_id": CYCLE,
        "recognised": usd(300),
        "deferred": usd(699),
        "tax": usd(190),
        "effective_at": AT,
    }
    return recipes.refund_requested(**(facts | changes))


def refund_succeeded() -> Entry:
    return recipes.refund_succeeded(
        refund_id=REFUND,
        provider="stripe",
        customer_id=CUSTOMER,
        cycle_id=CYCLE,
        amount=usd(1189),
        effective_at=AT,
    )


def dispute(moved: Any, fee: Money | None = None) -> Entry:
    entry: Entry = moved(
        dispute_id=DISPUTE,
        customer_id=CUSTOMER,
        provider="stripe",
        transaction_id="txn_1",
        amount=usd(1189),
        fee=usd(0) if fee is None else fee,
        effective_at=AT,
    )
    return entry


def dispute_lost(**changes: Any) -> Entry:
    facts: dict[str, Any] = {
        "dispute_id": DISPUTE,
        "customer_id": CUSTOMER,
        "recognised": usd(300),
        "deferred": usd(699),
        "tax": usd(190),
        "effective_at": AT,
    }
    return recipes.dispute_lost(**(facts | changes))


def payout(recipe: Any, amount: Money) -> Entry:
    entry: Entry = recipe(provider="stripe", payout_id="po_1", amount=amount, effective_at=AT)
    return entry


def exchange(fee: Money | None = None) -> Entry:
    return recipes.fx_event(
        provider="stripe",
        source="txn_9",
        sold=Money(1000, "EUR"),
        bought=usd(1080),
        fee=usd(0) if fee is None else fee,
        effective_at=AT,
    )


def legs(entry: Entry) -> dict[str, int]:
    """Signed amounts by account; the customer's accounts carry the customer's id.

    Several postings to one account are added up, those in other currencies than USD set apart.
    """
    found: dict[str, int] = {}
    for posting in entry.postings:
        money = posting.money
        name = f"{posting.account}{'' if money.currency == 'USD' else ' ' + money.currency}"
        found[name] = found.get(name, 0) + money.amount
    return found


RECEIVABLE = f"receivable({ANN})"
CREDIT = f"customer_credit({ANN})"

Event = tuple[str, Entry, str, dict[str, int]]


def of_a_cycle() -> list[Event]:
    """Return what belongs to a cycle, made anew for each test."""
    return [
        (
            "invoice issued",
            invoice_issued(),
            f"invoice_issued:{INVOICE}",
            {RECEIVABLE: 1189, "deferred_revenue": -999, "tax_payable": -190},
        ),
        (
            "credit applied to an invoice",
            credit_applied(),
            f"credit_applied:{INVOICE}:{GRANT}",
            {CREDIT: 300, RECEIVABLE: -300},
        ),
        (
            "credit returned",
            recipes.credit_returned(credit_applied(), effective_at=LATER),
            f"credit_returned:{INVOICE}:{GRANT}",
            {CREDIT: -300, RECEIVABLE: 300},
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
            {"psp_clearing(stripe)": 1189, RECEIVABLE: -1189},
        ),
        (
            "the settlement of a capture declined",
            recipes.capture_returned(payment_captured(), effective_at=LATER),
            f"capture_returned:{PAYMENT}:2",
            {"psp_clearing(stripe)": -1189, RECEIVABLE: 1189},
        ),
        (
            "payment captured, told apart by the provider's charge",
            payment_captured(capture="ch_3Pq", amount=usd(1)),
            f"payment_captured:{PAYMENT}:ch_3Pq",
            {"psp_clearing(stripe)": 1, RECEIVABLE: -1},
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
        (
            "refund requested of what was partly earned",
            refund_requested(),
            f"refund_requested:{REFUND}",
            {
                "refunds_contra": 300,
                "deferred_revenue": 699,
                "tax_payable": 190,
                "refund_payable": -1189,
            },
        ),
        (
            "refund requested of what was earned wholly and without tax",
            refund_requested(recognised=usd(50), deferred=usd(0), tax=usd(0)),
            f"refund_requested:{REFUND}",
            {"refunds_contra": 50, "refund_payable": -50},
        ),
        (
            "refund succeeded",
            refund_succeeded(),
            f"refund_succeeded:{REFUND}",
            {"refund_payable": 1189, "psp_clearing(stripe)": -1189},
        ),
        (
            "refund came back",
            recipes.refund_returned(refund_succeeded(), effective_at=LATER),
            f"refund_returned:{REFUND}",
            {"refund_payable": -1189, "psp_clearing(stripe)": 1189},
        ),
        (
            "refund failed",
            recipes.refund_failed(refund_requested(), effective_at=LATER),
            f"refund_failed:{REFUND}",
            {
                "refunds_contra": -300,
                "deferred_revenue": -699,
                "tax_payable": -190,
                "refund_payable": 1189,
            },
        ),
    ]


def moved(code: AccountCode, amount: int) -> Entry:
    return recipes.movement_booked(
        provider="stripe",
        transaction_id="txn_4",
        account=Account(code),
        amount=usd(amount),
        effective_at=AT,
    )


def without_cycle() -> list[Event]:
    """Return what happens to money that is ours already, or long after the close."""
    return [
        (
            "credit granted",
            recipes.credit_granted(
                grant_id=GRANT, customer_id=ANN, amount=usd(500), effective_at=AT
            ),
            f"credit_granted:{GRANT}",
            {"credit_grants": 500, CREDIT: -500},
        ),
        (
            "top-up issued",
            recipes.top_up_issued(
                invoice_id=INVOICE, customer_id=ANN, total=usd(5000), effective_at=AT
            ),
            f"invoice_issued:{INVOICE}",
            {RECEIVABLE: 5000, "credit_ordered": -5000},
        ),
        (
            "top-up written off",
            recipes.top_up_written_off(
                invoice_id=INVOICE, customer_id=ANN, total=usd(5000), effective_at=AT, nth=2
            ),
            f"write_off:{INVOICE}:2",
            {"credit_ordered": 5000, RECEIVABLE: -5000},
        ),
        (
            "credit bought",
            recipes.credit_bought(
                grant_id=GRANT, customer_id=ANN, amount=usd(5000), effective_at=AT
            ),
            f"credit_bought:{GRANT}",
            {"credit_ordered": 5000, CREDIT: -5000},
        ),
        (
            "bought credit went with a refund",
            recipes.credit_refunded(
                grant_id=GRANT,
                n=2,
                customer_id=ANN,
                amount=usd(300),
                by_bank=False,
                effective_at=AT,
            ),
            f"credit_refunded:{GRANT}:2",
            {CREDIT: 300, "refunds_contra": -300},
        ),
        (
            "bought credit went with a dispute",
            recipes.credit_refunded(
                grant_id=GRANT,
                n=2,
                customer_id=ANN,
                amount=usd(300),
                by_bank=True,
                effective_at=AT,
            ),
            f"credit_refunded:{GRANT}:2",
            {CREDIT: 300, "disputes_contra": -300},
        ),
        (
            "bought credit is back: the refund failed",
            recipes.credit_restored(
                grant_id=GRANT,
                n=3,
                customer_id=ANN,
                amount=usd(300),
                by_bank=False,
                effective_at=AT,
            ),
            f"credit_restored:{GRANT}:3",
            {CREDIT: -300, "refunds_contra": 300},
        ),
        (
            "credit note of what was partly earned, to credit",
            credit_note(Destination.CREDIT),
            f"credit_note:{NOTE}",
            {"credits_contra": 300, "deferred_revenue": 699, "tax_payable": 190, CREDIT: -1189},
        ),
        (
            "credit note of what was not earned, to the payment method",
            credit_note(Destination.REFUND, recognised=usd(0), tax=usd(0)),
            f"credit_note:{NOTE}",
            {"deferred_revenue": 699, "refund_payable": -699},
        ),
        (
            "credit note of what was earned, paid outside of the provider",
            credit_note(Destination.OUTSIDE, deferred=usd(0)),
            f"credit_note:{NOTE}",
            {"credits_contra": 300, "tax_payable": 190, "bank": -490},
        ),
        (
            "credit note whose refund failed",
            recipes.credit_note_credited(
                note_id=NOTE, customer_id=ANN, amount=usd(1189), effective_at=AT
            ),
            f"credit_note_credited:{NOTE}",
            {"refund_payable": 1189, CREDIT: -1189},
        ),
        (
            "credit that was given away expired",
            credit_expired(paid_for=False),
            f"credit_expired:{GRANT}:3",
            {CREDIT: 200, "credit_grants": -200},
        ),
        (
            "credit that was paid for expired",
            credit_expired(paid_for=True),
            f"credit_expired:{GRANT}:3",
            {CREDIT: 200, "credit_breakage": -200},
        ),
        (
            "revenue recognised",
            recipes.revenue_recognized(invoice_id=INVOICE, amount=usd(33), through=AT),
            f"revenue_recognized:{INVOICE}:20260301T000000.000000Z",
            {"deferred_revenue": 33, "revenue": -33},
        ),
        (
            "recognition taken back",
            recipes.recognition_taken_back(invoice_id=INVOICE, amount=usd(33), at=LATER),
            f"recognition_taken_back:{INVOICE}:20260509T000000.000000Z",
            {"deferred_revenue": -33, "revenue": 33},
        ),
        (
            "one-off charged",
            recipes.one_off_charged(
                payment_id=PAYMENT, customer_id=ANN, amount=usd(500), effective_at=AT
            ),
            f"one_off_charged:{PAYMENT}",
            {RECEIVABLE: 500, "revenue": -500},
        ),
        (
            "the settlement of a one-off declined",
            recipes.one_off_returned(
                recipes.one_off_charged(
                    payment_id=PAYMENT, customer_id=ANN, amount=usd(500), effective_at=AT
                ),
                effective_at=LATER,
            ),
            f"one_off_returned:{PAYMENT}",
            {RECEIVABLE: -500, "revenue": 500},
        ),
        (
            "dispute opened, with its fee",
            dispute(recipes.dispute_opened, usd(1500)),
            f"dispute_opened:{DISPUTE}:txn_1",
            {"dispute_receivable": 1189, "dispute_fees": 1500, "psp_clearing(stripe)": -2689},
        ),
        (
            "dispute opened, its fee in the currency of our balance",
            dispute(recipes.dispute_opened, Money(1500, "EUR")),
            f"dispute_opened:{DISPUTE}:txn_1",
            {
                "dispute_receivable": 1189,
                "psp_clearing(stripe)": -1189,
                "dispute_fees EUR": 1500,
                "psp_clearing(stripe) EUR": -1500,
            },
        ),
        (
            "dispute won, its fee kept",
            dispute(recipes.dispute_won),
            f"dispute_won:{DISPUTE}:txn_1",
            {"dispute_receivable": -1189, "psp_clearing(stripe)": 1189},
        ),
        (
            "dispute won, its fee given back",
            dispute(recipes.dispute_won, usd(-1500)),
            f"dispute_won:{DISPUTE}:txn_1",
            {"dispute_receivable": -1189, "dispute_fees": -1500, "psp_clearing(stripe)": 2689},
        ),
        (
            "dispute lost",
            dispute_lost(),
            f"dispute_lost:{DISPUTE}:1",
            {
                "disputes_contra": 300,
                "deferred_revenue": 699,
                "tax_payable": 190,
                "dispute_receivable": -1189,
            },
        ),
        (
            "dispute lost for the second time",
            dispute_lost(nth=2, deferred=usd(0), tax=usd(0)),
            f"dispute_lost:{DISPUTE}:2",
            {"disputes_contra": 300, "dispute_receivable": -300},
        ),
        (
            "dispute decided anew",
            recipes.dispute_lost_reversed(dispute_lost(), effective_at=LATER),
            f"dispute_lost_reversed:{DISPUTE}:1",
            {
                "disputes_contra": -300,
                "deferred_revenue": -699,
                "tax_payable": -190,
                "dispute_receivable": 1189,
            },
        ),
        (
            "fee settled",
            recipes.fee_settled(
                provider="stripe", transaction_id="txn_2", fee=usd(59), effective_at=AT
            ),
            "fee_settled:txn_2",
            {"psp_fees": 59, "psp_clearing(stripe)": -59},
        ),
        (
            "fee given back",
            recipes.fee_settled(
                provider="stripe", transaction_id="txn_3", fee=usd(-59), effective_at=AT
            ),
            "fee_settled:txn_3",
            {"psp_fees": -59, "psp_clearing(stripe)": 59},
        ),
        (
            "reserve held back",
            moved(AccountCode.PSP_RESERVES, -500),
            "movement_booked:txn_4",
            {"psp_reserves": 500, "psp_clearing(stripe)": -500},
        ),
        (
            "reserve released",
            moved(AccountCode.PSP_RESERVES, 500),
            "movement_booked:txn_4",
            {"psp_reserves": -500, "psp_clearing(stripe)": 500},
        ),
        (
            "contribution passed on",
            moved(AccountCode.CONTRIBUTIONS, -500),
            "movement_booked:txn_4",
            {"contributions": 500, "psp_clearing(stripe)": -500},
        ),
        (
            "payout sent",
            payout(recipes.payout_sent, usd(900)),
            "payout_sent:po_1",
            {"payout_transit": 900, "psp_clearing(stripe)": -900},
        ),
        (
            "payout fetched from our bank",
            payout(recipes.payout_sent, usd(-900)),
            "payout_sent:po_1",
            {"payout_transit": -900, "psp_clearing(stripe)": 900},
        ),
        (
            "payout arrived",
            payout(recipes.payout_arrived, usd(900)),
            "payout_arrived:po_1",
            {"bank": 900, "payout_transit": -900},
        ),
        (
            "payout failed",
            recipes.payout_failed(payout(recipes.payout_sent, usd(900)), effective_at=LATER),
            "payout_failed:po_1",
            {"payout_transit": -900, "psp_clearing(stripe)": 900},
        ),
        (
            "payout that came back before we saw it leave",
            payout(recipes.payout_came_back, usd(900)),
            "payout_failed:po_1",
            {"payout_transit": -900, "psp_clearing(stripe)": 900},
        ),
        (
            "payout sent back by the bank",
            recipes.payout_returned(payout(recipes.payout_arrived, usd(900)), effective_at=LATER),
            "payout_returned:po_1",
            {"bank": -900, "payout_transit": 900},
        ),
        (
            "currency exchanged",
            exchange(),
            "fx_event:txn_9",
            {
                "fx_position EUR": 1000,
                "psp_clearing(stripe) EUR": -1000,
                "psp_clearing(stripe)": 1080,
                "fx_position": -1080,
            },
        ),
        (
            "currency exchanged, for a fee",
            exchange(usd(22)),
            "fx_event:txn_9",
            {
                "fx_position EUR": 1000,
                "psp_clearing(stripe) EUR": -1000,
                "psp_clearing(stripe)": 1058,
                "psp_fees": 22,
                "fx_position": -1080,
            },
        ),
        (
            "difference accepted, too much",
            recipes.adjustment(
                break_id=BREAK,
                account=Account(AccountCode.PSP_CLEARING, provider="stripe"),
                change=usd(7),
                effective_at=AT,
            ),
            f"adjustment:{BREAK}",
            {"psp_clearing(stripe)": 7, "adjustments": -7},
        ),
        (
            "difference accepted, too little",
            recipes.adjustment(
                break_id=BREAK,
                account=Account(AccountCode.PSP_CLEARING, provider="stripe"),
                change=usd(-7),
                effective_at=AT,
            ),
            f"adjustment:{BREAK}",
            {"psp_clearing(stripe)": -7, "adjustments": 7},
        ),
    ]


# What is taken back is dated by its own event, and names the entry that it takes back.
TAKES_BACK = {
    "the settlement of a capture declined": f"payment_captured:{PAYMENT}:2",
    "the settlement of a one-off declined": f"one_off_charged:{PAYMENT}",
    "invoice voided": f"invoice_issued:{INVOICE}",
    "credit returned": f"credit_applied:{INVOICE}:{GRANT}",
    "write-off reversed by a late payment": f"write_off:{INVOICE}:1",
    "refund came back": f"refund_succeeded:{REFUND}",
    "refund failed": f"refund_requested:{REFUND}",
    "dispute decided anew": f"dispute_lost:{DISPUTE}:1",
    "payout failed": "payout_sent:po_1",
    "payout sent back by the bank": "payout_arrived:po_1",
}
CYCLE_OF = {name: CYCLE for name, *_ in of_a_cycle()} | {name: None for name, *_ in without_cycle()}


@pytest.mark.parametrize(("name", "cycle_id"), CYCLE_OF.items())
def test_an_event_posts_what_its_recipe_says(name: str, cycle_id: uuid.UUID | None) -> None:
    made = {event[0]: event for event in (*of_a_cycle(), *without_cycle())}

    _, entry, source_key, expected = made[name]

    assert legs(entry) == expected
    assert entry.source_key == source_key
    assert entry.kind == source_key.split(":")[0]
    assert entry.cycle_id == cycle_id
    assert entry.effective_at == (
        LATER if name in TAKES_BACK or name == "recognition taken back" else AT
    )
    assert entry.reverses == TAKES_BACK.get(name)


def test_the_page_has_a_row_for_every_recipe_and_names_its_source_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text("utf-8")

    keys = set(re.findall(r"^\|.*\| `([a-z_]+):[^`]*` \|$", page, re.MULTILINE))

    kinds = {entry.kind for _, entry, _, _ in (*of_a_cycle(), *without_cycle())}
    assert keys == kinds | {"reversal"}


def test_an_exchange_of_a_currency_for_itself_is_refused() -> None:
    with pytest.raises(JournalError, match="one currency"):
        recipes.fx_event(
            provider="stripe",
            source="txn_9",
            sold=usd(1),
            bought=usd(1),
            fee=usd(0),
            effective_at=AT,
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda: recipes.fee_settled(
            provider="stripe", transaction_id="t", fee=usd(0), effective_at=AT
        ),
        lambda: payout(recipes.payout_sent, usd(0)),
        lambda: recipes.revenue_recognized(invoice_id=INVOICE, amount=usd(0), through=AT),
    ],
)
def test_an_event_about_nothing_has_no_entry(make: Any) -> None:
    with pytest.raises(EmptyEntry):
        make()


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


@pytest.mark.parametrize(
    "make",
    [
        refund_requested,
        refund_succeeded,
        lambda: dispute(recipes.dispute_opened),
        lambda: dispute(recipes.dispute_won),
        dispute_lost,
        lambda: recipes.refund_failed(refund_requested(), effective_at=LATER),
    ],
)
def test_an_entry_on_accounts_without_an_owner_names_its_customer(make: Any) -> None:
    assert make().customer() == CUSTOMER


def test_every_entry_of_a_refund_is_found_by_the_keys_of_the_refund() -> None:
    posted = [
        refund_requested(),
        refund_succeeded(),
        recipes.refund_returned(refund_succeeded(), effective_at=LATER),
        recipes.refund_failed(refund_requested(), effective_at=LATER),
    ]

    assert keys.of_refund(REFUND) == tuple(entry.source_key for entry in posted)


@pytest.mark.parametrize(
    ("take_back", "make"),
    [
        (recipes.invoice_voided, invoice_issued),
        (recipes.write_off_reversed, write_off),
        (recipes.refund_failed, refund_requested),
        (recipes.refund_returned, refund_succeeded),
        (recipes.dispute_lost_reversed, lambda: replace(dispute_lost(), cycle_id=CYCLE)),
    ],
)
def test_after_the_close_a_reversal_stands_outside_the_cycle(take_back: Any, make: Any) -> None:
    before = take_back(make(), effective_at=LATER)
    after = take_back(make(), effective_at=LATER, after_close=True)

    assert (before.cycle_id, after.cycle_id) == (CYCLE, None)
    assert after == replace(before, cycle_id=None)


def test_a_source_key_is_the_same_on_a_machine_in_another_zone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    try:
        with monkeypatch.context() as moved:
            moved.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            earned = recipes.revenue_recognized(invoice_id=INVOICE, amount=usd(33), through=AT)
    finally:
        time.tzset()
    assert earned.source_key == f"revenue_recognized:{INVOICE}:20260301T000000.000000Z"


@pytest.mark.parametrize(
    ("take_back", "of"),
    [
        (recipes.invoice_voided, payment_captured()),
        (recipes.capture_returned, invoice_issued()),
        (recipes.one_off_returned, payment_captured()),
        (recipes.invoice_voided, write_off()),
        (recipes.write_off_reversed, invoice_issued()),
        (recipes.refund_failed, refund_succeeded()),
        (recipes.refund_returned, refund_requested()),
        (recipes.dispute_lost_reversed, dispute(recipes.dispute_opened)),
        (recipes.payout_failed, payout(recipes.payout_arrived, usd(1))),
        (recipes.payout_returned, payout(recipes.payout_sent, usd(1))),
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


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (
            lambda: recipes.fee_settled(
                provider="eu", transaction_id="txn_2", fee=usd(59), effective_at=AT
            ),
            "fee_settled:eu/txn_2",
        ),
        (
            lambda: recipes.payout_sent(
                provider="eu", payout_id="po_1", amount=usd(9), effective_at=AT
            ),
            "payout_sent:eu/po_1",
        ),
        (
            lambda: recipes.payout_came_back(
                provider="eu", payout_id="po_1", amount=usd(9), effective_at=AT
            ),
            "payout_failed:eu/po_1",
        ),
        (
            lambda: recipes.fx_event(
                provider="eu",
                source="txn_9",
                sold=Money(1000, "EUR"),
                bought=usd(1080),
                fee=usd(0),
                effective_at=AT,
            ),
            "fx_event:eu/txn_9",
        ),
    ],
)
def test_equal_ids_of_two_accounts_at_providers_are_two_events(make: Any, key: str) -> None:
    made = make()

    assert made.source_key == key
    assert {
        posting.account.provider
        for posting in made.postings
        if posting.account.code is AccountCode.PSP_CLEARING
    } == {"eu"}
