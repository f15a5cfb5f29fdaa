"""Facts become sentences: every kind of fact has its own."""

from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import get_args
from uuid import UUID

import pytest

from billing.flows.subscriptions.catalog import (
    CatalogChange,
    CatalogChangeKind,
    CatalogSubject,
    TermDifference,
)
from billing.plans.item_terms import item_terms
from billing.plans.items import Item, QuantityRange
from billing.presenters import catalog, timeline
from billing.presenters.explain_books import cycle, money_back
from billing.presenters.explain_collection import next_step
from billing.queries.explain.books import CycleFacts, HoldFacts, HoldKind
from billing.queries.explain.collection import NextFacts, NextKind
from billing.queries.explain.money_back import MoneyBackFacts, RefundFacts
from billing.queries.explain.renewal import ParkedFacts
from billing.queries.settlement import BreakLink
from billing.queries.timeline import TimelineEntry
from billing.queries.timeline_facts import (
    AttemptFinished,
    AttemptSent,
    CreditMoved,
    CreditNoteIssued,
    CycleClosed,
    CycleOpened,
    DisputeClosed,
    DisputeOpened,
    Fact,
    InvoiceIssued,
    PaymentMoved,
    RefundFinished,
    RefundRequested,
    SubscriptionNoted,
)
from billing.rules.credit import CreditSource, MoveKind
from billing.rules.credit_notes import Destination
from billing.rules.money import Money
from billing.rules.payment_methods import PaymentMethodKind
from billing.rules.payments import AttemptKind, AttemptOutcome
from billing.rules.refunds import RefundState

ID = UUID("01890000-0000-7000-8000-000000000001")
AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
USD = Money(999, "USD")

NEXT = {
    NextKind.PARKED: "None: it was parked on 2026-03-01 09:30 UTC (rejected): no such card",
    NextKind.FAILED: "None: the ladder is over.",
    NextKind.CAPTURED: "None: 9.99 USD were captured.",
    NextKind.UNSCHEDULED: "None is scheduled.",
    NextKind.OPEN_ATTEMPT: (
        "The open attempt is sent again, or looked up, until its outcome is known."
    ),
    NextKind.CAPTURE: "9.99 USD are to be captured since 2026-03-01 09:30 UTC.",
    NextKind.VOID: "It is to be voided since 2026-03-01 09:30 UTC: the ladder is over.",
    NextKind.WAITS_FOR_CAPTURE: (
        "It waits to be captured; when nobody does, it is voided on 2026-03-01 09:30 UTC."
    ),
    NextKind.WAITS_FOR_METHOD: (
        "Nothing is tried until the payment method changes; it is given up on 2026-03-01 09:30 UTC."
    ),
    NextKind.ATTEMPT_DUE: (
        "An attempt (ladder) is due since 2026-03-01 09:30 UTC; a worker makes it."
    ),
    NextKind.ATTEMPT_LATER: "An attempt (ladder) follows on 2026-03-01 09:30 UTC.",
}


@pytest.mark.parametrize("kind", NextKind)
def test_everything_that_can_come_next_has_its_sentence(kind: NextKind) -> None:
    facts = NextFacts(
        kind,
        AT,
        ParkedFacts(AT, "rejected", "no such card"),
        USD,
        "the ladder is over",
        AttemptKind.LADDER,
        2,
    )

    assert next(next_step(facts)) == NEXT[kind]


@pytest.mark.parametrize("kind", HoldKind)
def test_everything_that_can_hold_a_cycle_open_has_its_sentence(kind: HoldKind) -> None:
    hold = HoldFacts(kind, AT, BreakLink(ID, "fx_mismatch", "a cause"))

    opened, held = cycle(CycleFacts(ID, 3, AT, None, None, (hold,)))

    assert opened == "Cycle 3 was opened on 2026-03-01 09:30 UTC."
    assert held.startswith("It is held open ")
    assert held.endswith(".")


def test_a_closed_cycle_shows_the_beginning_of_its_digest() -> None:
    told = list(cycle(CycleFacts(ID, 3, AT, AT, "0123456789abcdef", ())))

    assert told[1:] == ["It was closed on 2026-03-01 09:30 UTC with digest 0123456789ab..."]


HAPPENED: list[tuple[Fact, str, dict[str, object]]] = [
    (
        CycleOpened(2, "regular", AT, AT.replace(month=4), date(2026, 1, 1)),
        "cycle 2 (regular), 2026-03-01 to 2026-04-01, terms of 2026-01-01",
        {"n": 2},
    ),
    (CycleClosed(2), "cycle 2", {"n": 2}),
    (InvoiceIssued(2, "ABC-2", USD), "invoice ABC-2, 9.99 USD", {"n": 2, "invoice": "ABC-2"}),
    (
        AttemptSent(ID, 1, "first", USD, PaymentMethodKind.CARD, "visa", "4242"),
        "attempt 1 (first), 9.99 USD, visa ending in 4242",
        {"payment_id": ID, "attempt": 1},
    ),
    (
        AttemptFinished(ID, 1, "declined", "generic_decline", "no_ladder", {"code": "x"}),
        "attempt 1 declined (generic_decline): x; a charge without an invoice has no ladder",
        {"payment_id": ID, "attempt": 1},
    ),
    (
        AttemptFinished(ID, 1, "declined", "generic_decline", "a sentence of an old row", {}),
        "attempt 1 declined (generic_decline): a sentence of an old row",
        {"payment_id": ID, "attempt": 1},
    ),
    (
        AttemptFinished(ID, 2, "succeeded", None, "captured", {}),
        "attempt 2 succeeded",
        {"payment_id": ID, "attempt": 2},
    ),
    (
        PaymentMoved(ID, "CREATED", "FAILED", "void"),
        "payment CREATED -> FAILED (void)",
        {"payment_id": ID},
    ),
    (
        RefundRequested(ID, ID, USD, "sent twice"),
        "refund of 9.99 USD: sent twice",
        {"payment_id": ID, "refund_id": ID},
    ),
    (
        RefundFinished(ID, ID, USD, "failed", "the card is closed"),
        "refund of 9.99 USD failed: the card is closed",
        {"payment_id": ID, "refund_id": ID},
    ),
    (
        DisputeOpened(ID, ID, USD, "fraudulent"),
        "dispute of 9.99 USD: fraudulent",
        {"payment_id": ID, "dispute_id": ID},
    ),
    (
        DisputeClosed(ID, ID, USD, "won"),
        "dispute of 9.99 USD won",
        {"payment_id": ID, "dispute_id": ID},
    ),
    (
        CreditMoved(MoveKind.GRANTED, ID, CreditSource.GOODWILL, USD, "an outage", None),
        "9.99 USD of credit (goodwill) granted: an outage",
        {"grant_id": ID},
    ),
    (
        CreditMoved(MoveKind.APPLIED, ID, CreditSource.SMALL, USD, "small", "ANN-0007"),
        "9.99 USD of credit (too small to be charged) pays invoice ANN-0007",
        {"grant_id": ID, "invoice": "ANN-0007"},
    ),
    (
        CreditMoved(MoveKind.RETURNED, ID, CreditSource.BOUGHT, USD, "", "ANN-0007"),
        "9.99 USD of credit (bought) is back from invoice ANN-0007",
        {"grant_id": ID, "invoice": "ANN-0007"},
    ),
    (
        CreditMoved(MoveKind.EXPIRED, ID, CreditSource.CREDIT_NOTE, USD, "", None),
        "9.99 USD of credit (from a credit note) expired",
        {"grant_id": ID},
    ),
    (
        CreditMoved(MoveKind.REFUNDED, ID, CreditSource.BOUGHT, USD, "", None),
        "9.99 USD of credit (bought) went with the money it was bought with",
        {"grant_id": ID},
    ),
    (
        CreditMoved(MoveKind.RESTORED, ID, CreditSource.BOUGHT, USD, "", None),
        "9.99 USD of credit (bought) is back: the money stayed",
        {"grant_id": ID},
    ),
    (
        CreditNoteIssued("ANN-C0001", "ANN-0007", USD, Destination.REFUND, "an outage"),
        "credit note ANN-C0001, 9.99 USD to the payment method: an outage",
        {"invoice": "ANN-0007", "credit_note": "ANN-C0001"},
    ),
    (
        SubscriptionNoted("paused", None, {"before": "active", "why": "on leave"}),
        "active -> paused: on leave",
        {},
    ),
    (SubscriptionNoted("imported", "a sentence of an old row", {}), "a sentence of an old row", {}),
]


@pytest.mark.parametrize(("fact", "words", "links"), HAPPENED)
def test_what_happened_is_told_with_its_links(
    fact: Fact, words: str, links: dict[str, object]
) -> None:
    line = timeline.line(TimelineEntry(AT, "something", "cli:ada", fact))

    assert line == {"at": AT, "kind": "something", "what": words, "actor": "cli:ada", **links}


def test_every_fact_of_the_timeline_is_in_the_table() -> None:
    assert {type(fact) for fact, _, _ in HAPPENED} == set(get_args(Fact))


SEATS = Item("seats", per="seat", quantity=QuantityRange(), unit={"USD": Fraction(1250)})
MORE_SEATS = replace(SEATS, unit={"USD": Fraction(1300)}, quantity=QuantityRange(2, 9, 2))
SETUP = Item("setup", once=True, price={"USD": 5000})
ADDON, COUPON = CatalogSubject.ADDON, CatalogSubject.COUPON
CHANGES = [
    (CatalogChange(CatalogChangeKind.NEW_PLAN, "tv", name="TV"), "new plan 'TV'"),
    (
        CatalogChange(CatalogChangeKind.NEW_ADDON, "sso", name="SSO", subject=ADDON),
        "new add-on 'SSO'",
    ),
    (
        CatalogChange(
            CatalogChangeKind.NEW_COUPON,
            "spring",
            subject=COUPON,
            differences=(
                TermDifference("amount", None, {"USD": 500}),
                TermDifference("for", None, "3 invoices"),
                TermDifference("on", None, ["base", "seats"]),
            ),
        ),
        "new coupon: amount 5.00 USD; for 3 invoices; on base, seats",
    ),
    (
        CatalogChange(
            CatalogChangeKind.NEW_RATE,
            "DE saas USt",
            date(2026, 5, 1),
            subject=CatalogSubject.TAX_RATE,
            differences=(
                TermDifference("rate", None, "19"),
                TermDifference("until", None, "2027-01-01"),
            ),
        ),
        "new rate: rate 19; until 2027-01-01",
    ),
    (
        CatalogChange(
            CatalogChangeKind.CORRECTED,
            "tv",
            date(2026, 5, 1),
            differences=(TermDifference("tax", None, {"class": "saas", "included": True}),),
        ),
        "nothing uses it yet, corrected: tax: None -> saas, in the price",
    ),
    (
        CatalogChange(CatalogChangeKind.NEW_VERSION, "tv", date(2026, 5, 1), items=(SEATS, SETUP)),
        "new version: seats 12.50 USD a seat; setup 50.00 USD once",
    ),
    (
        CatalogChange(
            CatalogChangeKind.CORRECTED,
            "tv",
            date(2026, 5, 1),
            differences=(
                TermDifference(
                    "items",
                    [item_terms(SEATS), item_terms(SETUP)],
                    [item_terms(MORE_SEATS), item_terms(Item("base", price={"USD": 999}))],
                ),
            ),
        ),
        "nothing uses it yet, corrected: item seats: 12.50 USD a seat -> 13.00 USD a seat,"
        " quantity min 1, max 1000000, default 1 -> min 2, max 9, default 2; item setup is gone;"
        " item base 9.99 USD is new",
    ),
    (
        CatalogChange(
            CatalogChangeKind.CORRECTED,
            "tv",
            date(2026, 5, 1),
            differences=(
                TermDifference("items", None, [item_terms(SETUP)]),
                TermDifference("prices", {"USD": 999}, None),
            ),
        ),
        "nothing uses it yet, corrected: item setup 50.00 USD once is new;"
        " prices: 9.99 USD -> None",
    ),
    (
        CatalogChange(
            CatalogChangeKind.CHANGED_TERMS,
            "sso",
            date(2026, 5, 1),
            subject=ADDON,
            differences=(TermDifference("item", {"price": {"USD": 999}}, {"price": {"USD": 899}}),),
        ),
        "item: 9.99 USD -> 8.99 USD",
    ),
    (
        CatalogChange(
            CatalogChangeKind.CHANGED_TERMS,
            "tv",
            date(2026, 5, 1),
            differences=(
                TermDifference(
                    "items",
                    [item_terms(SEATS), item_terms(SETUP)],
                    [item_terms(SETUP), item_terms(SEATS)],
                ),
            ),
        ),
        "items in another order: setup, seats",
    ),
    (
        CatalogChange(
            CatalogChangeKind.POLICY,
            "tv",
            differences=(
                TermDifference(
                    "change",
                    {"up": "now", "down": "period_end", "credit": "next_invoice"},
                    {"up": "now", "down": "now", "credit": "none"},
                ),
            ),
        ),
        "change: up now, down period_end, credit next_invoice -> up now, down now, credit none",
    ),
    (
        CatalogChange(
            CatalogChangeKind.NEW_VERSION, "tv", date(2026, 5, 1), prices=(USD,), moves=True
        ),
        "new version: 9.99 USD; existing subscriptions move to it from their next period on",
    ),
    (
        CatalogChange(
            CatalogChangeKind.POLICY, "tv", differences=(TermDifference("name", "TV", "Telly"),)
        ),
        "name: TV -> Telly",
    ),
    (
        CatalogChange(
            CatalogChangeKind.POLICY, "tv", differences=(TermDifference("dunning", None, "x"),)
        ),
        "dunning: (default) -> x",
    ),
    (
        CatalogChange(
            CatalogChangeKind.CHANGED_TERMS,
            "tv",
            date(2026, 5, 1),
            differences=(
                TermDifference("every", "1 month", "1 year"),
                TermDifference("trial", None, "1w"),
            ),
        ),
        "every: 1 month -> 1 year; trial: None -> 1w",
    ),
    (
        CatalogChange(
            CatalogChangeKind.CORRECTED,
            "tv",
            date(2026, 5, 1),
            differences=(TermDifference("trial", None, "1w"),),
        ),
        "nothing uses it yet, corrected: trial: None -> 1w",
    ),
    (
        CatalogChange(CatalogChangeKind.WITHDRAWN, "tv", date(2026, 5, 1)),
        "nothing uses it yet, and the catalog has it no more: taken out",
    ),
    (
        CatalogChange(CatalogChangeKind.NOT_IN_CATALOG, "tv"),
        "published, but no longer in the catalog: it stays as it is",
    ),
    (
        CatalogChange(CatalogChangeKind.NOT_IN_CATALOG, "tv", date(2026, 5, 1)),
        "published, not in the catalog",
    ),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_a_change_of_the_catalog_is_told(change: CatalogChange, words: str) -> None:
    assert catalog.words(change) == words


def test_every_kind_of_change_is_in_the_table() -> None:
    assert {change.kind for change, _ in CHANGES} == set(CatalogChangeKind)


@pytest.mark.parametrize(
    ("failure", "error", "outcome", "told"),
    [
        (None, None, None, "requested."),
        (None, "timeout: no answer", None, "requested (timeout: no answer)."),
        (
            None,
            None,
            AttemptOutcome.ABSENT,
            "requested (the provider's lists prove that nothing was refunded: it is sent anew).",
        ),
        ("charge_disputed: no", None, AttemptOutcome.REJECTED, "failed (charge_disputed: no)."),
    ],
    ids=["sent", "unknown", "proven absent", "refused"],
)
def test_a_refund_is_told_with_what_its_last_call_came_to(
    failure: str | None, error: str | None, outcome: AttemptOutcome | None, told: str
) -> None:
    state = RefundState.FAILED if failure else RefundState.REQUESTED
    refund = RefundFacts(ID, USD, AT, "cli:ada", "late", state, failure, error, outcome)

    (sentence,) = money_back(MoneyBackFacts((refund,), ()))

    assert sentence.endswith(f"by cli:ada (late), is {told}")
