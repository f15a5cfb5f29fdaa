"""A provider that is a dictionary with a file: the least that a `Gateway` and its kind have to be.

It keeps keys for a week, returns the present state under them, lists neither events nor
movements, and makes a payment of its own for each attempt.
"""

import hashlib
import hmac
import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from billing import gateway as g
from billing.errors import BadInput, Unavailable
from billing.gateway import Absent, Outcome, Unknown
from billing.gateway.capabilities import Replay
from billing.gateway.errors import SignatureRefused
from billing.gateway.kinds import DeclineClass, PaymentStatus
from billing.gateway.provider_kind import ProviderKind
from billing.rules.dunning import METHOD_UNUSABLE, OWN_CODES
from billing.rules.money import Money

T = TypeVar("T")
When = datetime | None
Pages = Iterator[Sequence[T]]
PAGE, BEGAN = 3, datetime(1970, 1, 1, tzinfo=UTC)
CAPABILITIES = g.Capabilities(
    key_max_age=timedelta(days=6), replay=Replay.PRESENT_STATE, minimum_amounts={},
    lists_events=False, lists_balance=False, lists_movements=False, holds_payment=False,
)  # fmt: skip
DECLINES = {"soft": DeclineClass.SOFT, "hard": DeclineClass.HARD}


class Lost(Unavailable):
    """The answer got lost."""


@dataclass
class Sale:
    id: str
    request: g.ChargeRequest
    status: PaymentStatus
    taken: int
    code: str
    created: datetime
    refunded: int = 0

    def money(self, amount: int) -> Money:
        return Money(amount, self.request.amount.currency)

    def outcome(self, wanted: Money) -> Outcome:
        captured = self.status is PaymentStatus.CAPTURED
        if self.status is PaymentStatus.WAITING:
            return g.Declined(self.code, DECLINES[self.code], provider_payment_id=self.id)
        if self.status is PaymentStatus.CANCELED:
            return g.canceled(f"{self.id} is canceled")
        shown = self.money(self.taken) if captured else self.request.amount
        if shown != wanted:
            return Unknown("wrong_amount", f"{self.id} is about {shown}", self.id)
        return g.Succeeded(self.id, shown, captured, self.id)


class Trivial:
    """The provider and its gateway in one. `lose` has the answer to the next change get lost."""

    capabilities = CAPABILITIES

    def __init__(self, file: Path, now: Callable[[], datetime]) -> None:
        self.file, self.now = file, now
        self.lose: Literal["before", "after"] | None = None
        self.rows: dict[Any, Any] = pickle.loads(file.read_bytes()) if file.exists() else {}

    def _once(self, key: str, asked: object, change: Callable[[str], T]) -> T:
        """Make a change, of an object of that name, once under a key. Raises: Lost, BadInput."""
        lose, self.lose = self.lose, None
        if lose == "before":
            raise Lost("the request got lost")
        known = self.rows.get(("key", key))
        if known is None or known[2] < self.now() - timedelta(days=7):
            made: Any = change(f"row-{len(self.rows)}")
            known = self.rows["key", key] = (asked, made, self.now())
            self.rows[getattr(made, "id", None) or made.token] = made
            self.file.write_bytes(pickle.dumps(self.rows))
        elif known[0] != asked:
            raise BadInput("the key was used for another request")
        if lose == "after":
            raise Lost("the answer got lost")
        return known[1]  # type: ignore[no-any-return]

    def _all(self, kind: type[T], since: When = None, until: When = None) -> list[T]:
        """Return what was made in [since, until), the newest first."""
        rows: list[Any] = [row for row in reversed(self.rows.values()) if isinstance(row, kind)]
        rows = [row for row in rows if since is None or row.created >= since]
        return [row for row in rows if until is None or row.created < until]

    def _one(self, kind: type[T], name: str) -> T | None:
        row = self.rows.get(name)
        return row if isinstance(row, kind) else None

    def charge(self, request: g.ChargeRequest, *, first_send: bool) -> Outcome:
        if self._one(g.PaymentMethodDetails, request.payment_method) is None:
            return g.Declined(METHOD_UNUSABLE, OWN_CODES[METHOD_UNUSABLE])
        if not 0 < request.amount.amount < 10**9:
            return g.Rejected("amount", "it takes no such amounts")
        try:
            sale = self._once(request.idempotency_key, request, partial(self._sold, request))
        except Lost as error:
            return Unknown("connection", error.what)
        except BadInput as error:
            return (g.Rejected if first_send else Unknown)("idempotency", error.what)
        return sale.outcome(request.amount)

    def _sold(self, request: g.ChargeRequest, name: str) -> Sale:
        steps = self.rows["steps", request.payment_method]
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        good = PaymentStatus.AUTHORIZED if request.manual_capture else PaymentStatus.CAPTURED
        status = PaymentStatus.WAITING if step in DECLINES else good
        taken = request.amount.amount * (status is PaymentStatus.CAPTURED)
        return Sale(name, request, status, taken, step, self.now())

    def look_up(self, request: g.ChargeRequest, *, since: datetime) -> Outcome | Absent:
        key = request.idempotency_key
        found = [each for each in self._all(Sale) if each.request.idempotency_key == key]
        return found[0].outcome(request.amount) if found else Absent()

    def find_payment(self, request: g.ChargeRequest, *, since: datetime) -> Outcome | Absent:
        ours = request.metadata["payment"]
        sales = [s for s in self._all(Sale, since) if s.request.metadata.get("payment") == ours]
        live = [s for s in sales if s.status in (PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED)]
        return live[0].outcome(request.amount) if live else Absent()

    def capture(self, provider_payment_id: str, amount: Money, *, idempotency_key: str) -> Outcome:
        taken = amount.amount
        return self._moved(provider_payment_id, PaymentStatus.CAPTURED, taken, idempotency_key)

    def cancel(self, provider_payment_id: str, *, idempotency_key: str) -> Outcome | Absent:
        sale = self._one(Sale, provider_payment_id)
        if sale is not None and sale.status is PaymentStatus.CAPTURED:
            return sale.outcome(sale.money(sale.taken))
        moved = self._moved(provider_payment_id, PaymentStatus.CANCELED, 0, idempotency_key)
        return moved if sale is None or isinstance(moved, Unknown) else Absent()

    def _moved(self, name: str, to: PaymentStatus, taken: int, key: str) -> Outcome:
        sale = self._one(Sale, name)
        if sale is None or taken > sale.request.amount.amount:
            return g.Rejected("refused", f"{name} isn't there, or wasn't authorised for that much")

        def change(_: str) -> Sale:
            sale.status, sale.taken = to, taken
            return sale

        try:
            if sale.status is PaymentStatus.AUTHORIZED:
                self._once(key, (name, to, taken), change)
        except Lost as error:
            return Unknown("connection", error.what, name)
        return sale.outcome(sale.money(taken))

    def refund(self, request: g.RefundRequest, *, first_send: bool) -> g.RefundOutcome:
        give_back = partial(self._given_back, request)
        try:
            return _accepted(self._once(request.idempotency_key, request, give_back))
        except Lost as error:
            return Unknown("connection", error.what, request.provider_payment_id)
        except BadInput as error:
            return g.Rejected("refused", error.what)

    def _given_back(self, request: g.RefundRequest, name: str) -> g.ProviderRefund:
        of, amount = request.provider_payment_id, request.amount
        sale = self._one(Sale, of)
        if sale is None or sale.refunded + amount.amount > sale.taken:
            raise BadInput("there is not that much to give back")
        sale.refunded += amount.amount
        facts = (of, of, amount, g.RefundStatus.SUCCEEDED, self.now(), None, request.metadata)
        return g.ProviderRefund(name, *facts)

    def look_up_refund(
        self, request: g.RefundRequest, *, since: datetime
    ) -> g.RefundAccepted | Unknown | Absent:
        found = [r for r in self._all(g.ProviderRefund) if r.metadata == request.metadata]
        return _accepted(found[0]) if found else Absent()

    def create_customer(
        self, *, name: str, email: str | None, metadata: Mapping[str, str], idempotency_key: str
    ) -> str:
        asked, at = (name, email, dict(metadata)), self.now()
        customer = partial(g.ProviderCustomer, default_payment_method=None, created=at)
        customer = partial(customer, name=name, email=email, metadata=dict(metadata))
        return self._once(idempotency_key, asked, customer).id

    def look_up_customer(self, metadata: Mapping[str, str], *, since: datetime) -> str | Absent:
        rows = self._all(g.ProviderCustomer, since)
        found = [row.id for row in rows if metadata.items() <= row.metadata.items()]
        return found[-1] if found else Absent()

    def attach_payment_method(
        self, provider_customer_id: str, token: str, *, idempotency_key: str
    ) -> g.PaymentMethodDetails:
        steps, wallet = token.split("_then_"), g.PaymentMethodKind.WALLET
        if not set(steps) <= {"good", *DECLINES}:
            raise BadInput(f"there is no {token}")

        def attached(name: str) -> g.PaymentMethodDetails:
            self.rows["steps", name] = steps
            return g.PaymentMethodDetails(name, wallet, provider_customer_id=provider_customer_id)

        return self._once(idempotency_key, (provider_customer_id, token), attached)

    def payment(self, provider_payment_id: str) -> g.ProviderPayment | None:
        sale = self._one(Sale, provider_payment_id)
        if sale is None:
            return None
        of, taken = sale.request, sale.money(sale.taken)
        facts = (of.provider_customer_id, sale.id, of.metadata, sale.created)
        return g.ProviderPayment(sale.id, sale.status, of.amount, taken, *facts)

    def refund_by_id(self, provider_refund_id: str) -> g.ProviderRefund | None:
        return self._one(g.ProviderRefund, provider_refund_id)

    def dispute_by_id(self, provider_dispute_id: str) -> g.ProviderDispute | None:
        return self._one(g.ProviderDispute, provider_dispute_id)

    def payout_by_id(self, provider_payout_id: str) -> None: ...

    def payment_method_by_id(self, token: str) -> g.PaymentMethodDetails | None:
        return self._one(g.PaymentMethodDetails, token)

    def payment_methods_of(self, provider_customer_id: str) -> Sequence[g.PaymentMethodDetails]:
        rows = self._all(g.PaymentMethodDetails)
        return [row for row in rows if row.provider_customer_id == provider_customer_id]

    def customer_by_id(self, provider_customer_id: str) -> g.ProviderCustomer | None:
        return self._one(g.ProviderCustomer, provider_customer_id)

    def list_charges(self, *, since: When, until: When = None) -> Pages[g.ProviderCharge]:
        return _pages(map(_charge, self._all(Sale, since, until)))

    def list_refunds(
        self, *, since: When, until: When = None, charge: str | None = None
    ) -> Pages[g.ProviderRefund]:
        rows = self._all(g.ProviderRefund, since, until)
        return _pages(row for row in rows if charge in (None, row.provider_charge_id))

    def list_customers(self, *, since: When, until: When = None) -> Pages[g.ProviderCustomer]:
        return _pages(self._all(g.ProviderCustomer, since, until))

    def list_disputes(self, *, since: When, until: When = None) -> Pages[g.ProviderDispute]:
        return _pages(self._all(g.ProviderDispute, since, until))

    def _refuse(self, **_: Any) -> Any:
        raise BadInput("this provider doesn't list them")

    list_balance_transactions = list_payouts = list_events = balance = _refuse

    def check(self) -> None: ...


def _accepted(refund: g.ProviderRefund) -> g.RefundAccepted:
    return g.RefundAccepted(refund.id, refund.status, refund.amount)


def _charge(sale: Sale) -> g.ProviderCharge:
    of, captured = sale.request, sale.status is PaymentStatus.CAPTURED
    there = captured or sale.status is PaymentStatus.AUTHORIZED
    amount = sale.money(sale.taken) if captured else of.amount
    facts = (captured, there, sale.created, sale.refunded, None, of.metadata, of.payment_method)
    return g.ProviderCharge(sale.id, sale.id, amount, *facts)


def _pages(items: Iterable[T]) -> Pages[T]:
    every = list(items)
    return (every[start : start + PAGE] for start in range(0, len(every), PAGE))


def read_delivery(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], **when: Any
) -> g.ProviderEvent:
    signed = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets]
    if headers.get("x-signature") not in signed:
        raise SignatureRefused("no_match", "nobody we know signed it")
    event = json.loads(body)
    at = datetime.fromisoformat(event["at"])
    if when["wall"] - at > when["tolerance"]:
        raise SignatureRefused("too_old", "it is old")
    kind = g.EventKind.PAYMENT_SUCCEEDED
    return g.ProviderEvent(event["id"], "paid", kind, "payment", event["payment"], at, event)


TRIVIAL = ProviderKind(
    CAPABILITIES, DECLINES, operations=frozenset(), event_types=frozenset({"paid"}),
    connect=lambda access: Trivial(Path(access.credentials["file"]), lambda: BEGAN),
    check_headers=lambda headers, *, wall, tolerance: None, read_delivery=read_delivery,
)  # fmt: skip
