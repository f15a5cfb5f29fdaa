"""One customer: what they pay with, what they have, and what they owe."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from billing.console import links, references, tables, words
from billing.console.pages import lists
from billing.console.requests import ConsolePage, PageRequest
from billing.console.tables import Cell, ListPage, PageTable
from billing.flows.service.api_keys import Scope
from billing.queries import customers, invoices, payments, subscriptions
from billing.rules.payment_methods import recognised_by

_SHOWN: Final = 20


def _customer(request: PageRequest) -> Response:
    request.query.only()
    with request.connect() as conn:
        found = references.find(conn, "customer", request.path["reference"])
        row = customers.customers(conn, id=found)[0]
        methods = customers.payment_methods_of(conn, found)
        accounts = customers.accounts_of(conn, found)
        asked: dict[str, Any] = {"customer_id": found, "newest_first": True, "limit": _SHOWN}
        subscribed = subscriptions.subscriptions(conn, **asked)
        billed = invoices.invoices(conn, **asked)
        owed = invoices.invoices(conn, customer_id=found, status="open", limit=1_000)
        paid = payments.payments(conn, **asked)
    open_amounts: dict[str, int] = {}
    for each in owed:
        open_amounts[each.currency] = open_amounts.get(each.currency, 0) + each.due
    due = ", ".join(words.money(total, currency) for currency, total in open_amounts.items())
    return request.page(
        "customer.html",
        section="customers",
        row=row,
        facts=[
            ("your id", tables.plain(row.external_id)),
            ("e-mail", tables.plain(row.email)),
            ("open", Cell(due or "nothing", tone="warning" if due else "")),
            ("collects at", Cell(row.provider)),
            ("since", tables.plain(row.created_at)),
            ("id", Cell(str(row.id))),
        ],
        methods=PageTable(
            ("payment method", "expires", "account", "token", "since", "default"),
            [
                (
                    Cell(recognised_by(each.kind, each.brand, each.last4)),
                    Cell(f"{each.exp_month}/{each.exp_year}" if each.exp_month else words.NOTHING),
                    Cell(each.provider),
                    Cell(each.provider_payment_method_id),
                    tables.plain(each.created_at),
                    tables.plain(each.id in {at.payment_method_id for at in accounts}),
                )
                for each in methods
            ],
            empty="They have no payment method.",
        ),
        lists=[
            _part(lists.SUBSCRIPTIONS, subscribed, found),
            _part(lists.INVOICES, billed, found),
            _part(lists.PAYMENTS, paid, found),
        ],
    )


def _part(
    listing: ListPage, rows: Sequence[object], customer_id: object
) -> tuple[str, PageTable, str]:
    """Return a short list without its customer, and the address of the whole one."""
    at = listing.headings.index("customer")
    cells = [[c for n, c in enumerate(listing.cells(row)) if n != at] for row in rows]
    headings = [heading for heading in listing.headings if heading != "customer"]
    whole = links.listed(listing.place, customer_id=customer_id)
    return listing.title, PageTable(headings, cells, listing.numbers), whole


PAGES: Final = (ConsolePage("GET", "/customers/{reference}", Scope.READ, _customer),)
