"""One subscription: how it stands and why, its cycles, and what happened to it."""

from typing import Any, Final

from starlette.responses import Response

from billing.console import links, references, tables, words
from billing.console.pages.lists import customer_of
from billing.console.requests import ConsolePage, PageRequest
from billing.console.tables import Cell, PageTable
from billing.flows.service.api_keys import Scope
from billing.presenters import explain as explained
from billing.presenters import parking
from billing.presenters import timeline as lines
from billing.queries import subscriptions
from billing.queries.explain import explain_subscription
from billing.queries.subscriptions import ListedCycle, ListedSubscription
from billing.queries.timeline import timeline
from billing.rules.subscriptions import Status

_CYCLES: Final = 24
_LINES: Final = 200


def _subscription(request: PageRequest) -> Response:
    request.query.only("all")
    everything = request.query.get("all") == "yes"
    with request.connect() as conn:
        found = references.find(conn, "subscription", request.path["reference"])
        row = subscriptions.subscriptions(conn, id=found)[0]
        cycles = subscriptions.recent_cycles(conn, found, 10_000 if everything else _CYCLES + 1)
        items = subscriptions.held_items(conn, found)
        sections = explained.sections(explain_subscription(conn, str(found), request.now))
        happened = timeline(conn, found)[::-1]
    shown = happened if everything else happened[:_LINES]
    cut = not everything and (len(cycles) > _CYCLES or len(happened) > _LINES)
    return request.page(
        "subscription.html",
        section="subscriptions",
        row=row,
        facts=_facts(row),
        acts=_acts(row),
        sections=sections,
        items=PageTable(
            ("item", "quantity", "add-on", "billed in"),
            [
                (Cell(each.item), tables.plain(each.quantity), tables.plain(each.addon),
                 Cell(words.plain(each.billed_in)))
                for each in items
            ],
            ("quantity",),
        ),
        cycles=PageTable(
            ("cycle", "kind", "from", "up to", "state", "invoice", "total", "status", "payment"),
            [_cycle(each) for each in cycles[: None if everything else _CYCLES]],
            ("cycle", "total"),
            "No period has begun yet.",
        ),
        happened=PageTable(
            ("when", "what", "about", "by"),
            [_line(lines.line(each)) for each in shown],
            empty="Nothing has happened yet.",
        ),
        all=f"{links.to('subscription', found)}?all=yes" if cut else "",
    )  # fmt: skip


def _facts(row: ListedSubscription) -> list[tuple[str, Cell]]:
    why = parking.in_words(row.parked_reason, row.parked_error, row.parked_facts)
    told = [
        ("customer", customer_of(row)),
        ("plan", Cell(f"{row.plan}, terms of {row.plan_version}")),
        ("status", tables.state(row.status)),
        ("next period", tables.plain(row.renews_at)),
        ("ends at", tables.plain(row.cancels_at or row.canceled_at)),
        ("bills every", Cell(f"{row.every} in {row.zone}")),
        ("currency", Cell(row.currency)),
        ("account", tables.plain(row.provider)),
        ("id", Cell(str(row.id))),
    ]
    if row.parked_at is not None:
        told.insert(3, ("parked", Cell(words.text(why), tone="danger")))
    return told


def _acts(row: ListedSubscription) -> list[tuple[str, str]]:
    """Return what can be done to a subscription now, and where that is previewed."""
    goes_on = row.status not in (Status.CANCELED, Status.PAUSED, Status.UNPAID)
    able = {
        "cancel": row.status is not Status.CANCELED,
        "pause": goes_on and row.cancels_at is None,
        "resume": row.status in (Status.PAUSED, Status.UNPAID) or row.cancels_at is not None,
        "release": row.parked_at is not None,
    }
    words = {"cancel": "Cancel", "pause": "Pause", "resume": "Let it go on", "release": "Release"}
    address = links.to("subscription", row.id)
    return [(words[name], f"{address}/{name}") for name in able if able[name]]


def _cycle(row: ListedCycle) -> tuple[Cell, ...]:
    return (
        tables.plain(row.n),
        Cell(words.plain(row.kind)),
        tables.plain(row.period_start),
        tables.plain(row.period_end),
        tables.state(row.state),
        tables.thing("invoice", row.invoice_number, row.invoice_number),
        tables.money(row.total, row.currency),
        tables.state(row.invoice_status),
        tables.thing("payment", row.payment_id, str(row.payment_state or "").lower()),
    )


def _line(line: dict[str, Any]) -> tuple[Cell, ...]:
    target = Cell("")
    if line.get("payment_id") is not None:
        target = Cell("payment", links.to("payment", line["payment_id"]))
    elif line.get("invoice") is not None:
        target = Cell("invoice", links.to("invoice", line["invoice"]))
    return (tables.plain(line["at"]), Cell(line["what"]), target, tables.plain(line["actor"]))


PAGES: Final = (ConsolePage("GET", "/subscriptions/{reference}", Scope.READ, _subscription),)
