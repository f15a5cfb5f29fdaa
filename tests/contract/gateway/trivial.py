"""A provider that is a dictionary with a file: the least that a `Gateway` has to be.

It keeps keys for a week, returns the present state under them, lists neither events nor
movements, and makes a payment of its own for each attempt.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from billing import gateway as g
from billing.errors import BadInput, Unavailable
from billing.gateway.capabilities import Replay
from billing.gateway.kinds import DeclineClass, PaymentStatus
from billing.rules.money import Money

Row = dict[str, Any]
PAGE = 3
CAPABILITIES = g.Capabilities(
    key_max_age=timedelta(days=6), replay=Replay.PRESENT_STATE, minimum_amounts={},
    lists_events=False, lists_balance=False, lists_movements=False, holds_payment=False,
)  # fmt: skip
DECLINES = {"soft": DeclineClass.SOFT, "hard": DeclineClass.HARD}


class Lost(Unavailable):
    """The answer got lost."""


class Trivial:
    """The provider and its gateway in one. `lose` has the answer to the next change get lost."""

    capabilities = CAPABILITIES

    def __init__(self, file: Path, now: Callable[[], datetime]) -> None:
        self.file, self.now = file, now
        self.lose: Literal["before", "after"] | None = None
        self.rows: dict[str, Row] = json.loads(file.read_text()) if file.exists() else {}

    def _once(self, key: str, asked: Row, change: Callable[[], Row]) -> Row:
        """Make a change once under a key; return the row as it is now. Raises: Lost, BadInput."""
        lose, self.lose = self.lose, None
        if lose == "before":
            raise Lost("the request got lost")
        name, print_ = f"key:{key}", json.dumps(asked, sort_keys=True, default=str)
        known = self.rows.get(name)
        if known is None or _at(known) < self.now() - timedelta(days=7):
            made = change()
            self.rows[name] = {"print": print_, "made": made["id"], "at": self.now().isoformat()}
            self.file.write_text(json.dumps(self.rows))
        elif known["print"] != print_:
            raise BadInput("the key was used for another request")
        if lose == "after":
            raise Lost("the answer got lost")
        return self.rows[self.rows[name]["made"]]

    def _new(self, kind: str, **values: Any) -> Row:
        row = {"id": f"{kind}-{len(self.rows)}", "kind": kind, "at": self.now().isoformat()}
        self.rows[row["id"]] = row | values
        return self.rows[row["id"]]

    def _all(
        self, kind: str, since: datetime | None = None, until: datetime | None = None
    ) -> list[Row]:
        """Return what was made in [since, until), the newest first."""
        rows = [row for row in reversed(self.rows.values()) if row.get("kind") == kind]
        rows = [row for row in rows if since is None or _at(row) >= since]
        return [row for row in rows if until is None or _at(row) < until]

    def _one(self, kind: str, name: str) -> Row | None:
        row = self.rows.get(name, {})
        return row if row.get("kind") == kind else None

    def charge(self, request: g.ChargeRequest, *, first_send: bool) -> g.Outcome:
        key, asked = request.idempotency_key, asdict(request)
        try:
            return _outcome(self._once(key, asked, lambda: self._charged(request)), request.amount)
        except Lost as error:
            return g.Unknown("connection", error.what)
        except BadInput as error:
            refused = g.Rejected if first_send else g.Unknown
            return refused("idempotency", error.what)

    def _charged(self, request: g.ChargeRequest) -> Row:
        method = self.rows[request.payment_method]
        step = method["steps"][min(method["uses"], len(method["steps"]) - 1)]
        method["uses"] += 1
        good = "authorized" if request.manual_capture else "captured"
        return self._new(
            "payment",
            status="waiting" if step in DECLINES else good,
            authorized=request.amount.amount,
            refunded=0,
            code=step,
            **asdict(request) | asdict(request.amount),
        )

    def look_up(self, request: g.ChargeRequest, *, since: datetime) -> g.Outcome | g.Absent:
        key = request.idempotency_key
        found = [row for row in self._all("payment") if row["idempotency_key"] == key]
        return _outcome(found[0], request.amount) if found else g.Absent()

    def find_payment(self, request: g.ChargeRequest, *, since: datetime) -> g.Outcome | g.Absent:
        rows, ours = self._all("payment", since), request.metadata["payment"]
        rows = [row for row in rows if row["metadata"].get("payment") == ours]
        live = [row for row in rows if row["status"] in ("authorized", "captured")]
        return _outcome(live[0], request.amount) if live else g.Absent()

    def capture(
        self, provider_payment_id: str, amount: Money, *, idempotency_key: str
    ) -> g.Outcome:
        row = self.rows[provider_payment_id]
        if row["status"] != "authorized":
            return _outcome(row, amount)
        if amount.amount > row["authorized"]:
            return g.Rejected("too_much", "more than was authorised")
        changes = {"status": "captured", "amount": amount.amount}
        try:
            self._once(idempotency_key, changes, lambda: _changed(row, changes))
            return _outcome(row, amount)
        except Lost as error:
            return g.Unknown("connection", error.what, row["id"])

    def cancel(self, provider_payment_id: str, *, idempotency_key: str) -> g.Outcome | g.Absent:
        row = self.rows[provider_payment_id]
        if row["status"] == "captured":
            return _outcome(row, Money(row["amount"], row["currency"]))
        changes = {"status": "canceled"}
        try:
            self._once(idempotency_key, changes, lambda: _changed(row, changes))
        except Lost as error:
            return g.Unknown("connection", error.what, row["id"])
        return g.Absent()

    def refund(self, request: g.RefundRequest, *, first_send: bool) -> g.RefundOutcome:
        key, asked = request.idempotency_key, asdict(request)
        try:
            return _accepted(self._once(key, asked, lambda: self._refunded(request)))
        except Lost as error:
            return g.Unknown("connection", error.what, request.provider_payment_id)
        except BadInput as error:
            return g.Rejected("refused", error.what)

    def _refunded(self, request: g.RefundRequest) -> Row:
        row = self.rows[request.provider_payment_id]
        if row["status"] != "captured" or row["refunded"] + request.amount.amount > row["amount"]:
            raise BadInput("there is not that much to give back")
        row["refunded"] += request.amount.amount
        return self._new("refund", of=row["id"], **asdict(request) | asdict(request.amount))

    def look_up_refund(
        self, request: g.RefundRequest, *, since: datetime
    ) -> g.RefundAccepted | g.Unknown | g.Absent:
        found = [r for r in self._all("refund") if r["metadata"] == dict(request.metadata)]
        return _accepted(found[0]) if found else g.Absent()

    def create_customer(
        self, *, name: str, email: str | None, metadata: Mapping[str, str], idempotency_key: str
    ) -> str:
        asked = {"name": name, "email": email, "metadata": dict(metadata)}
        made = self._once(idempotency_key, asked, lambda: self._new("customer", **asked))
        return str(made["id"])

    def look_up_customer(self, metadata: Mapping[str, str], *, since: datetime) -> str | g.Absent:
        rows = self._all("customer", since)
        found = [row for row in rows if metadata.items() <= row["metadata"].items()]
        return str(found[-1]["id"]) if found else g.Absent()

    def attach_payment_method(
        self, provider_customer_id: str, token: str, *, idempotency_key: str
    ) -> g.PaymentMethodDetails:
        steps = token.split("_then_")
        if not set(steps) <= {"good", *DECLINES}:
            raise BadInput(f"there is no {token}")
        asked = {"customer": provider_customer_id, "steps": steps, "uses": 0}
        return _method(self._once(idempotency_key, asked, lambda: self._new("method", **asked)))

    def payment(self, provider_payment_id: str) -> g.ProviderPayment | None:
        row = self._one("payment", provider_payment_id)
        if row is None:
            return None
        taken = row["amount"] if row["status"] == "captured" else 0
        amount, received = (Money(n, row["currency"]) for n in (row["authorized"], taken))
        status, customer = PaymentStatus(row["status"]), row["provider_customer_id"]
        return g.ProviderPayment(
            row["id"], status, amount, received, customer, row["id"], row["metadata"], _at(row)
        )

    def refund_by_id(self, provider_refund_id: str) -> g.ProviderRefund | None:
        row = self._one("refund", provider_refund_id)
        return None if row is None else _refund(row)

    def dispute_by_id(self, provider_dispute_id: str) -> None:
        return None

    def payout_by_id(self, provider_payout_id: str) -> None:
        return None

    def payment_method_by_id(self, token: str) -> g.PaymentMethodDetails | None:
        row = self._one("method", token)
        return None if row is None else _method(row)

    def payment_methods_of(self, provider_customer_id: str) -> Sequence[g.PaymentMethodDetails]:
        rows = self._all("method")
        return [_method(row) for row in rows if row["customer"] == provider_customer_id]

    def customer_by_id(self, provider_customer_id: str) -> g.ProviderCustomer | None:
        row = self._one("customer", provider_customer_id)
        return None if row is None else _customer(row)

    def list_charges(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[g.ProviderCharge]]:
        return _pages(map(_charge, self._all("payment", since, until)))

    def list_refunds(
        self, *, since: datetime | None, until: datetime | None = None, charge: str | None = None
    ) -> Iterator[Sequence[g.ProviderRefund]]:
        rows = self._all("refund", since, until)
        return _pages(_refund(row) for row in rows if charge in (None, row["of"]))

    def list_customers(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[g.ProviderCustomer]]:
        return _pages(map(_customer, self._all("customer", since, until)))

    def list_disputes(
        self, *, since: datetime, until: datetime | None = None
    ) -> Iterator[Sequence[g.ProviderDispute]]:
        return iter(())

    def _refuse(self, **_: Any) -> Any:
        raise BadInput("this provider doesn't list them")

    list_balance_transactions = list_payouts = list_events = balance = _refuse

    def check(self) -> None:
        return None


def _at(row: Row) -> datetime:
    return datetime.fromisoformat(row["at"])


def _changed(row: Row, changes: Row) -> Row:
    row.update(changes)
    return row


def _outcome(row: Row, wanted: Money) -> g.Outcome:
    name, money = row["id"], Money(row["amount"], row["currency"])
    match row["status"]:
        case "waiting":
            return g.Declined(row["code"], DECLINES[row["code"]], provider_payment_id=name)
        case "canceled":
            return g.canceled(f"{name} is canceled")
        case _ if money != wanted:
            return g.Unknown("wrong_amount", f"{name} is about {money}", name)
        case status:
            return g.Succeeded(name, money, status == "captured", name)


def _accepted(row: Row) -> g.RefundAccepted:
    money = Money(row["amount"], row["currency"])
    return g.RefundAccepted(row["id"], g.RefundStatus.SUCCEEDED, money)


def _refund(row: Row) -> g.ProviderRefund:
    money, status = Money(row["amount"], row["currency"]), g.RefundStatus.SUCCEEDED
    name, of = row["id"], row["of"]
    return g.ProviderRefund(name, of, of, money, status, _at(row), metadata=row["metadata"])


def _charge(row: Row) -> g.ProviderCharge:
    money, status, name = Money(row["amount"], row["currency"]), row["status"], row["id"]
    there = status in ("captured", "authorized")
    facts = (status == "captured", there, _at(row), row["refunded"], None, row["metadata"])
    return g.ProviderCharge(name, name, money, *facts, row["payment_method"])


def _method(row: Row) -> g.PaymentMethodDetails:
    kind, customer = g.PaymentMethodKind.WALLET, row["customer"]
    return g.PaymentMethodDetails(row["id"], kind, provider_customer_id=customer)


def _customer(row: Row) -> g.ProviderCustomer:
    facts = (row["name"], row["email"], _at(row), row["metadata"])
    return g.ProviderCustomer(row["id"], None, False, *facts)


def _pages(items: Iterable[Any]) -> Iterator[Sequence[Any]]:
    every = list(items)
    return (every[start : start + PAGE] for start in range(0, len(every), PAGE))
