"""Failed charges: what is on the ladder, what waits for its customer, what was given up."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from billing.console import tables, words
from billing.console.pages.lists import customer_of
from billing.console.requests import ConsolePage
from billing.console.tables import Cell, Filter, ListPage
from billing.errors import BadInput
from billing.presenters import decisions
from billing.queries import payments
from billing.queries.payments import ListedPayment
from billing.rules.dunning import DeclineClass

_STAGES: Final = ("waiting", "ladder", "given-up")


def _read(conn: Connection, *, stage: str | None, **asked: Any) -> Sequence[ListedPayment]:
    narrowed: dict[str, Any] = dict(asked)
    if stage == "given-up":
        return payments.payments(conn, given_up=True, **narrowed)
    waits = DeclineClass.NEEDS_CUSTOMER
    if stage == "waiting":
        narrowed["decline_class"] = waits
    elif stage == "ladder":
        narrowed["on_ladder"] = True
    return payments.payments(conn, declined=True, **narrowed)


def _rung(_: Connection, typed: str) -> int:
    if not (typed.isascii() and typed.isdigit() and len(typed) < 4):
        raise BadInput("a rung is a number", where="rung")
    return int(typed)


def _cells(row: ListedPayment) -> Sequence[Cell]:
    return (
        customer_of(row),
        tables.money(row.amount, row.currency),
        Cell(words.text(row.decline_code), tone=_tone(row.decline_class)),
        Cell(words.text(decisions.in_words(row.decision, row.decision_facts))),
        tables.plain(row.rung),
        tables.plain(row.next_attempt_at),
        tables.plain(row.attempts),
        tables.thing("payment", row.id),
        tables.thing("invoice", row.invoice_number, row.invoice_number),
    )


def _tone(found: DeclineClass | None) -> str:
    return "warning" if found is DeclineClass.SOFT else "danger"


FAILED: Final = ListPage(
    title="Failed charges",
    place="failed",
    headings=(
        "customer", "amount", "decline", "what follows", "rung", "next try", "tries", "payment",
        "invoice",
    ),
    numbers=("amount", "rung", "tries"),
    read=_read,
    cells=_cells,
    filters=(
        Filter("stage", "Stage", _STAGES),
        Filter("decline_class", "Class", tuple(DeclineClass)),
        Filter("decline_code", "Code"),
        Filter("rung", "Rung", read=_rung),
    ),
    note="On the ladder: tried again by itself. Waiting: only another payment method helps."
    " Parameters up: tried no more, in cycles that are still open.",
    empty="No charge has failed that is still to be collected.",
)  # fmt: skip

PAGES: Final[tuple[ConsolePage, ...]] = tables.pages(FAILED)
