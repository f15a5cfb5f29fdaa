"""Do the books, the rows and the provider tell the same story? Compared object by object.

The provider's side is read from its own lists as they are, ours from the tables and the journal.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from billing.gateway.stripe.amounts import from_stripe
from billing.gateway.stripe.events import EVENT_KINDS
from tests.delivery.provider_side import Json, ProviderSide

UNPAID: Final = ("requires_payment_method", "requires_confirmation")
_DISPUTES: Final = {
    "warning_needs_response": "inquiry",
    "warning_closed": "inquiry_closed",
    "needs_response": "opened",
    "won": "won",
    "lost": "lost",
}


def disagreements(conn: Connection, provider: ProviderSide) -> Iterator[str]:
    """Yield every difference between us and the provider, in words."""
    intents = provider.all("payment_intents")
    refunds = provider.all("refunds")
    disputes = provider.all("disputes")
    payouts = provider.all("payouts")
    moved = provider.all("balance_transactions")
    yield from _payments(conn, intents, refunds)
    yield from _refunds(conn, refunds)
    yield from _disputes(conn, disputes)
    yield from _settlement(conn, moved)
    yield from _balances(conn, provider.show("balance"), moved, disputes, payouts)
    yield from _events(conn, provider.all("events"))


def _ours(amount: int, currency: str) -> int:
    return from_stripe(amount, currency).amount


# --- object by object ---------------------------------------------------------------------------


def _payments(conn: Connection, intents: list[Json], refunds: list[Json]) -> Iterator[str]:
    """Each payment is one PaymentIntent at most, and in the state that it shows."""
    columns = "id, state, provider_payment_id, amount_captured, currency"
    rows = {str(row.id): row for row in conn.execute(text(f"SELECT {columns} FROM payments"))}
    given_back: Counter[str] = Counter()
    for refund in refunds:
        given_back[refund["payment_intent"]] += refund["amount"] * (refund["status"] == "succeeded")
    made = Counter(intent["metadata"]["payment"] for intent in intents)
    yield from (f"{n} PaymentIntents for payment {name}" for name, n in made.items() if n > 1)
    for intent in intents:
        yield from _payment(rows.get(intent["metadata"]["payment"]), intent, given_back)
    for name in set(rows) - set(made):
        if rows[name].state not in ("CREATED", "FAILED"):
            yield f"payment {name} is {rows[name].state}, and the provider has none of it"


def _payment(row: Row[Any] | None, intent: Json, given_back: Mapping[str, int]) -> Iterator[str]:
    if row is None:
        yield f"{intent['id']} is none of ours"
        return
    states = _states(intent, given_back[intent["id"]])
    taken = _ours(intent["amount_received"], intent["currency"])
    if row.state not in states or row.amount_captured != taken:
        yield (
            f"payment {row.id} is {row.state} with {row.amount_captured} captured,"
            f" {intent['id']} is {intent['status']} with {taken}: expected {states}"
        )
    if row.provider_payment_id not in ((intent["id"],) if taken else (intent["id"], None)):
        yield f"payment {row.id} has {row.provider_payment_id}, the provider {intent['id']}"


def _states(intent: Json, given_back: int) -> tuple[str, ...]:
    if intent["status"] == "succeeded":
        whole = given_back == intent["amount_received"]
        return ("REFUNDED",) if whole else ("SETTLED",)
    if intent["status"] == "requires_capture":
        return ("AUTHORIZED",)
    if intent["status"] == "canceled":
        return ("FAILED",)
    assert intent["status"] in UNPAID, intent["status"]
    return ("CREATED", "FAILED")


def _refunds(conn: Connection, refunds: list[Json]) -> Iterator[str]:
    theirs = {
        refund["id"]: (refund["status"], _ours(refund["amount"], refund["currency"]))
        for refund in refunds
    }
    asked = Counter(
        refund["metadata"]["refund"] for refund in refunds if "refund" in refund["metadata"]
    )
    yield from (f"refund {name} was made {n} times" for name, n in asked.items() if n > 1)
    rows = conn.execute(text("SELECT id, provider_refund_id, state, amount FROM refunds")).all()
    known = {row.provider_refund_id: (row.state, row.amount) for row in rows}
    yield from _differing("refund", known, theirs)
    for row in rows:
        if row.provider_refund_id is None and row.state != "failed":
            yield f"refund {row.id} is {row.state}, and the provider has none of it"


def _disputes(conn: Connection, disputes: list[Json]) -> Iterator[str]:
    theirs = {
        dispute["id"]: (
            _DISPUTES[dispute["status"]],
            _ours(dispute["amount"], dispute["currency"]),
            dispute["payment_intent"],
        )
        for dispute in disputes
    }
    rows = conn.execute(
        text(
            "SELECT d.provider_dispute_id, d.state, d.amount, p.provider_payment_id"
            "  FROM disputes d LEFT JOIN payments p ON p.id = d.payment_id"
        )
    )
    known = {
        row.provider_dispute_id: (row.state, row.amount, row.provider_payment_id) for row in rows
    }
    yield from _differing("dispute", known, theirs)


def _settlement(conn: Connection, moved: list[Json]) -> Iterator[str]:
    """Every movement of the provider's balance was read, matched and posted."""
    rows = conn.execute(
        text("SELECT provider_transaction_id AS id, outcome, posted_at FROM settlement_rows")
    )
    known = {row.id: (row.outcome, row.posted_at is not None) for row in rows}
    for each in moved:
        outcome, posted = known.get(each["id"], ("never read", False))
        if not posted:
            yield f"{each['id']} ({each['reporting_category']}) is {outcome} and not posted"


def _events(conn: Connection, events: list[Json]) -> Iterator[str]:
    rows = conn.execute(text("SELECT event_id, handled_at, last_error FROM provider_events"))
    known = {row.event_id: row for row in rows}
    for event in (each for each in events if each["type"] in EVENT_KINDS):
        row = known.get(event["id"])
        if row is None or row.handled_at is None:
            why = "never reached us" if row is None else f"is not handled: {row.last_error}"
            yield f"{event['type']} {event['id']} {why}"


def _differing(
    what: str, ours: Mapping[str | None, Any], theirs: Mapping[str, Any]
) -> Iterator[str]:
    for name in sorted({*theirs, *(name for name in ours if name is not None)}):
        if ours.get(name) != theirs.get(name):
            yield f"{what} {name}: ours {ours.get(name)}, the provider's {theirs.get(name)}"


# --- sum by sum ---------------------------------------------------------------------------------


def _balances(
    conn: Connection, balance: Json, moved: list[Json], disputes: list[Json], payouts: list[Json]
) -> Iterator[str]:
    """What the journal says in sums, by account and currency, is what the provider's lists say."""
    open_ones = [each for each in disputes if each["status"] == "needs_response"]
    arrived = [each for each in payouts if each["status"] == "paid"]
    on_their_way = [each for each in payouts if each["status"] in ("pending", "in_transit")]
    for accounts, theirs in (
        (("psp_clearing",), _sums([*balance["available"], *balance["pending"]])),
        (("psp_fees", "dispute_fees"), _sums(moved, "fee")),
        (("dispute_receivable",), _sums(open_ones)),
        (("bank",), _sums(arrived)),
        (("payout_transit",), _sums(on_their_way)),
        (("refund_payable",), {}),
    ):
        ours = _journal(conn, accounts)
        if accounts == ("bank",):
            ours = _without(ours, _given_back_outside(conn))
        if ours != theirs:
            yield f"{' + '.join(accounts)}: the journal has {ours}, the provider {theirs}"


def _given_back_outside(conn: Connection) -> dict[str, int]:
    """Return what credit notes took from the bank: the provider has no part in it."""
    rows = conn.execute(
        text(
            "SELECT currency, -sum(total) AS amount FROM credit_notes"
            " WHERE destination = 'outside' GROUP BY currency"
        )
    )
    return {row.currency: int(row.amount) for row in rows}


def _without(sums: dict[str, int], others: dict[str, int]) -> dict[str, int]:
    left = Counter(sums)
    left.subtract(others)
    return {currency: amount for currency, amount in left.items() if amount}


def _sums(objects: list[Json], what: str = "amount") -> dict[str, int]:
    """Add the provider's amounts up by currency, in our minor units."""
    sums: Counter[str] = Counter()
    for each in objects:
        sums[each["currency"]] += each[what]
    return {
        currency.upper(): _ours(amount, currency) for currency, amount in sums.items() if amount
    }


def _journal(conn: Connection, accounts: tuple[str, ...]) -> dict[str, int]:
    rows = conn.execute(
        text(
            "SELECT a.currency, sum(l.amount) AS amount FROM ledger.accounts a"
            "  JOIN ledger.postings l ON l.account_id = a.id"
            " WHERE a.code = ANY(:codes) GROUP BY a.currency"
        ),
        {"codes": list(accounts)},
    )
    return {row.currency: int(row.amount) for row in rows if row.amount}
