"""One payment: why it was, or wasn't, charged, its attempts, its history, and what went back."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection
from starlette.responses import Response

from billing.console import links, references, tables, words
from billing.console.pages import lists
from billing.console.requests import ConsolePage, PageRequest
from billing.console.tables import Cell, PageTable
from billing.flows.service.api_keys import Scope
from billing.presenters import decisions
from billing.presenters import explain as explained
from billing.queries import payments, refunds
from billing.queries.explain import explain_payment
from billing.queries.payments import ListedPayment
from billing.rules.payments import State


def _payment(request: PageRequest) -> Response:
    request.query.only()
    with request.connect() as conn:
        found = references.find(conn, "payment", request.path["reference"])
        row = payments.payments(conn, id=found)[0]
        sections = explained.sections(explain_payment(conn, found, request.now))
        return request.page(
            "payment.html",
            section="payments",
            row=row,
            facts=_facts(row),
            acts=_acts(row),
            sections=sections,
            attempts=_attempts(conn, found),
            history=_history(conn, found),
            refunds=_some(lists.REFUNDS, refunds.refunds(conn, payment_id=found)),
            disputes=_some(lists.DISPUTES, payments.disputes(conn, payment_id=found)),
        )


def _facts(row: ListedPayment) -> list[tuple[str, Cell]]:
    decision = decisions.in_words(row.decision, row.decision_facts)
    return [
        ("customer", lists.customer_of(row)),
        ("amount", tables.money(row.amount, row.currency)),
        ("state", lists.payment_state(row)),
        ("captured", tables.money(row.amount_captured, row.currency)),
        ("given back", tables.money(row.amount_refunded, row.currency)),
        ("what follows", Cell(words.text(decision))),
        ("next try", tables.plain(row.next_attempt_at)),
        ("invoice", tables.thing("invoice", row.invoice_number, row.invoice_number)),
        ("subscription", lists.subscription_of(row)),
        ("account", Cell(row.provider)),
        ("at the provider", tables.plain(row.provider_payment_id)),
        ("parked because", tables.plain(row.parked_error)),
        ("id", Cell(str(row.id))),
    ]  # fmt: skip


def _acts(row: ListedPayment) -> list[tuple[str, str]]:
    """Return what can be done to a payment now, and where that is previewed."""
    able = {
        "refund": row.amount_captured > row.amount_refunded,
        "retry": row.state in (State.CREATED, State.FAILED) and row.parked_at is None,
        "release": row.parked_at is not None,
    }
    words = {"refund": "Give money back", "retry": "Try it again now", "release": "Release it"}
    address = links.to("payment", row.id)
    return [(words[name], f"{address}/{name}") for name in able if able[name]]


def _attempts(conn: Connection, payment_id: UUID) -> PageTable:
    return PageTable(
        ("attempt", "kind", "sent at", "sends", "outcome", "decline", "what followed"),
        [
            (
                tables.plain(each.n),
                Cell(words.plain(each.kind)),
                tables.plain(each.first_sent_at),
                tables.plain(each.sends),
                tables.state(each.outcome) if each.outcome else Cell("open", tone="warning"),
                tables.plain(each.decline_code),
                Cell(words.text(decisions.in_words(each.decision, each.decision_facts))),
            )
            for each in payments.attempts_of(conn, payment_id)
        ],
        ("attempt", "sends"),
        "None was made.",
    )


def _history(conn: Connection, payment_id: UUID) -> PageTable:
    return PageTable(
        ("when", "from", "to", "why", "by"),
        [
            (
                tables.plain(each.at),
                tables.state(each.from_state),
                tables.state(each.to_state),
                Cell(words.plain(each.cause)),
                tables.plain(each.actor),
            )
            for each in payments.transitions(conn, payment_id)
        ],
        empty="It was created and has not moved since.",
    )


def _some(listing: tables.ListPage, rows: Sequence[object]) -> PageTable:
    return PageTable(listing.headings, [listing.cells(row) for row in rows], listing.numbers)


PAGES: Final = (ConsolePage("GET", "/payments/{reference}", Scope.READ, _payment),)
