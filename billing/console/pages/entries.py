"""One entry of the journal, with its postings."""

from typing import Final

from starlette.responses import Response

from billing.console import links, tables, words
from billing.console.requests import ConsolePage, PageRequest
from billing.console.tables import Cell, PageTable
from billing.errors import NotFound
from billing.flows.service.api_keys import Scope
from billing.queries import books

_MOST: Final = 2**63


def _entry(request: PageRequest) -> Response:
    request.query.only()
    typed = request.path["entry"]
    number = int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 20 else _MOST
    with request.connect() as conn:
        stored = books.entry(conn, number) if number < _MOST else None
        if stored is None:
            raise NotFound("there is no such journal entry")
        entry = stored.entry
        reverses = books.entry_by_source_key(conn, entry.reverses) if entry.reverses else None
    told = [
        ("kind", Cell(words.plain(entry.kind))),
        ("effective at", tables.plain(entry.effective_at)),
        ("posted at", tables.plain(stored.posted_at)),
        ("customer", tables.thing("customer", entry.customer_id)),
        ("recorded under", Cell(entry.source_key)),
        ("hash", Cell(stored.payload_hash.hex())),
    ]
    if reverses is not None:
        told.append(("reverses", Cell(f"entry {reverses.id}", links.entry(reverses.id))))
    return request.page(
        "entry.html",
        number=stored.id,
        facts=told,
        postings=PageTable(
            ("account", "of", "debit", "credit"),
            [
                (
                    Cell(words.plain(leg.account.code)),
                    tables.thing("customer", leg.account.owner_id)
                    if leg.account.owner_id
                    else tables.plain(leg.account.provider),
                    Cell(str(leg.money)) if leg.money.amount > 0 else Cell(""),
                    Cell(str(-leg.money)) if leg.money.amount < 0 else Cell(""),
                )
                for leg in entry.postings
            ],
            ("debit", "credit"),
        ),
    )


PAGES: Final = (ConsolePage("GET", "/entries/{entry}", Scope.READ, _entry),)
