"""Search from everywhere: one hit is opened, several are listed."""

from typing import Final

from sqlalchemy import Connection
from starlette.responses import Response

from billing.console import links, tables, words
from billing.console.requests import ConsolePage, PageRequest, go
from billing.console.tables import Cell, PageTable
from billing.flows.service.api_keys import Scope
from billing.queries import customers, invoices, payments, refunds, search, subscriptions
from billing.queries.search import Hit

_LONGEST: Final = 200


def _search(request: PageRequest) -> Response:
    request.query.only("q")
    typed = request.query.get("q")[:_LONGEST]
    with request.connect() as conn:
        hits = search.search(conn, typed)
        targets = {_target(conn, hit) for hit in hits}
        if len(targets) == 1 and (only := targets.pop()):
            return go(only)
        rows = [
            (Cell(hit.noun), Cell(_told(conn, hit), _target(conn, hit), title=str(hit.id)))
            for hit in hits
        ]
    empty = (
        "Nothing has this id, number, e-mail address or end of a card. An id may be cut off after"
        " eight characters."
        if typed
        else "Type an id, an invoice's number, an e-mail address, or a card's last four digits."
    )
    shown = PageTable(("kind", "what"), rows, empty=empty)
    return request.page("search.html", typed=typed, shown=shown)


def _target(conn: Connection, hit: Hit) -> str:
    """Return the address of what was found; money back and disputes are on their payment's page."""
    if links.has_page(hit.noun):
        return links.to(hit.noun, hit.id)
    payment_id = None
    if hit.noun == "refund" and (refund := refunds.refund(conn, hit.id)) is not None:
        payment_id = refund.payment_id
    if hit.noun == "dispute" and (dispute := payments.dispute(conn, hit.id)) is not None:
        payment_id = dispute.payment_id
    return "" if payment_id is None else links.to("payment", payment_id)


def _told(conn: Connection, hit: Hit) -> str:
    match hit.noun:
        case "customer":
            customer = customers.customers(conn, id=hit.id)[0]
            named = customer.email or customer.external_id
            return f"{customer.name}, {named}" if named else customer.name
        case "subscription":
            found = subscriptions.subscriptions(conn, id=hit.id)[0]
            return f"{found.external_id or hit.id}: {found.plan}, {words.plain(found.status)}"
        case "payment":
            payment = payments.payments(conn, id=hit.id)[0]
            amount = tables.money(payment.amount, payment.currency).text
            return f"{amount} of {payment.customer_name}, {str(payment.state).lower()}"
        case "invoice":
            return invoices.invoices(conn, id=hit.id)[0].number
        case _:
            return str(hit.id)


PAGES: Final = (ConsolePage("GET", "/search", Scope.READ, _search),)
