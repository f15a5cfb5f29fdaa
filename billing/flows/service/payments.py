"""One-off payments for callers who wait: charge, capture, void, refund, and their outcomes.

HTTP and gRPC call this service and only translate. Each call that moves money has three steps:

    claim    one transaction: the idempotency key, and what is asked for, written down
    work     what a worker does with it (begin, the provider, finish), done here and now
    keep     one transaction: the answer, for every repetition of the request

Where the outcome is unknown, the answer says `pending` and isn't kept, and a repetition asks again;
meanwhile workers ask, too. An unknown outcome is never reported as a failure.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import BadInput, Unavailable
from billing.flows import fence
from billing.flows.customers.customers import existing_customer, refuse_anything_like_a_card
from billing.flows.payments import authorizations
from billing.flows.refunds import requesting
from billing.flows.service import views
from billing.flows.service.callers import Audited, Caller
from billing.flows.service.idempotency import (
    DECLINED,
    DONE,
    MADE,
    PENDING,
    REFUSED,
    Claim,
    KeyedAnswer,
    KeyedRequest,
    claim,
    keep,
    release,
)
from billing.flows.service.lookup import existing_payment, payer
from billing.flows.service.orders import ChargeOrder, chargeable
from billing.flows.service.views import View
from billing.flows.subscriptions import retrying
from billing.queries import lists
from billing.queries.lists import ListedTransaction
from billing.rules.actor import PROVIDER
from billing.rules.decisions import DecisionKind, decided
from billing.rules.money import Money
from billing.rules.payments import State
from billing.rules.refunds import RefundState
from billing.store.payments import payments, refunds
from billing.store.payments.payments import Payment
from billing.store.transactions import Joined

_REFUND_STATUS: Final[Mapping[RefundState, int]] = {
    RefundState.REQUESTED: PENDING,
    RefundState.PENDING: MADE,
    RefundState.SUCCEEDED: MADE,
    RefundState.FAILED: REFUSED,
    RefundState.CANCELED: REFUSED,
}
# The state that a payment has after a step that succeeded; any other means that it was refused.
_AFTER: Final[Mapping[str, frozenset[State]]] = {
    "payments.capture": frozenset({State.CAPTURED, State.SETTLED, State.REFUNDED}),
    "payments.void": frozenset({State.FAILED}),
}


class InlineWorker(Protocol):
    """Does at once, in this process, what a worker would do; see `workers`."""

    def charge(self, payment_id: UUID) -> None:
        """Make the attempt, the capture or the void that a payment is due for, if any."""
        ...

    def refund(self, refund_id: UUID) -> None:
        """Send a refund that is due."""
        ...


@dataclass(frozen=True)
class PaymentApi(Audited):
    """The payment service that HTTP and gRPC call.

    The clock is read before a transaction begins, never inside one: the test clock takes a
    connection of its own, and whoever waits for one while holding the key's row may wait for
    those who wait for the row.
    """

    worker: InlineWorker

    # --- charging -------------------------------------------------------------------------------

    def charge(self, caller: Caller, key: str, order: ChargeOrder) -> KeyedAnswer:
        """Charge once, however often it is asked under this key.

        201: captured, or authorised where capture is manual. 402: declined, for good. 202: the
        outcome is not known yet. Raises `KeyReused`, `RequestInFlight`, `BadInput`, `NotFound`,
        `Conflict`, `Unavailable`.
        """
        request = KeyedRequest(caller.scope, key, "payments.charge", asdict(order))
        now = self.context.clock.now()
        claimed = self._claim(request, lambda conn, c: self._create(conn, c, caller, order, now))
        if isinstance(claimed, KeyedAnswer):
            return claimed
        payment_id = claimed.resource_id
        return self._answered(claimed, lambda: self._collect(payment_id), self._charged)

    def _create(
        self, conn: Connection, claimed: Claim, caller: Caller, order: ChargeOrder, now: datetime
    ) -> None:
        refuse_anything_like_a_card(
            customer=order.customer,
            payment_source=order.payment_source,
            description=order.description,
        )
        amount = chargeable(order, self.context.policy)
        customer_id, method_id, account = payer(conn, order.customer, order.payment_source)
        fence.refuse_charge_of(conn, customer_id, account)
        payments.add(
            conn,
            [
                {
                    "id": claimed.resource_id,
                    "customer_id": customer_id,
                    "payment_method_id": method_id,
                    "amount": amount.amount,
                    "currency": amount.currency,
                    "state": str(State.CREATED),
                    "capture_method": order.capture,
                    "description": order.description,
                    "next_attempt_at": now,
                    "next_attempt_kind": "first",
                    "dispatch_after": self._held_back(),
                    "created_at": now,
                    "updated_at": now,
                }
            ],
        )
        detail = {"amount": amount.amount, "currency": amount.currency, "capture": order.capture}
        self._audit(conn, caller, "payment.charge", claimed.resource_id, order.description, detail)

    def _collect(self, payment_id: UUID) -> None:
        """Make the attempt that is due, or ask again for the open one."""
        self.worker.charge(payment_id)
        self._end_refused(payment_id)

    def _end_refused(self, payment_id: UUID) -> None:
        """End a payment whose request the provider refused as wrong: its caller gets the answer
        now.

        Left parked, it might be released and charged after the caller tried another way.
        """
        now = self.context.clock.now()
        with marked(CrashPoint.REFUSED_CHARGE_ENDED), self.context.engine.begin() as conn:
            row = payments.get(conn, payment_id)
            assert row is not None, "payments are never deleted"
            if row.parked_reason == "rejected" and row.state == State.CREATED:
                kind = DecisionKind.REQUEST_WITHDRAWN
                withdrawn = decided(kind, actor=PROVIDER, error=row.parked_error)
                authorizations.request_void_as(conn, payment_id, withdrawn, now=now, actor=PROVIDER)

    def _charged(self, conn: Connection, claimed: Claim) -> KeyedAnswer:
        row = payments.get(conn, claimed.resource_id)
        assert row is not None, "payments are never deleted"
        return KeyedAnswer(_status_of_charge(row), views.payment(row))

    # --- after an authorisation -----------------------------------------------------------------

    def capture(
        self, caller: Caller, key: str, payment_id: UUID, amount: int | None = None
    ) -> KeyedAnswer:
        """Capture an authorised payment, or a part of it; the rest is given free.

        200: captured. 202: asked for, its outcome isn't known yet. Raises as `charge`.
        """
        parameters = {"payment": str(payment_id), "amount": amount}
        request = KeyedRequest(caller.scope, key, "payments.capture", parameters)
        now = self.context.clock.now()

        def ask(conn: Connection, _: Claim) -> None:
            row = existing_payment(conn, payment_id)
            part = None if amount is None else Money(amount, row.currency)
            captured = authorizations.request_capture(
                conn, payment_id, amount=part, now=now, actor=caller.actor
            )
            payments.change(conn, payment_id, now, dispatch_after=self._held_back())
            detail = {"amount": captured.amount, "currency": captured.currency}
            self._audit(conn, caller, "payment.capture", payment_id, "", detail)

        return self._step(request, payment_id, ask)

    def void(self, caller: Caller, key: str, payment_id: UUID, why: str = "") -> KeyedAnswer:
        """Give an authorisation up. Answers as `capture`; raises as `charge`."""
        refuse_anything_like_a_card(reason=why)
        request = KeyedRequest(
            caller.scope, key, "payments.void", {"payment": str(payment_id), "reason": why}
        )

        now = self.context.clock.now()

        def ask(conn: Connection, _: Claim) -> None:
            authorizations.request_void(
                conn, payment_id, now=now, actor=caller.actor, why=why or "no reason given"
            )
            payments.change(conn, payment_id, now, dispatch_after=self._held_back())
            self._audit(conn, caller, "payment.void", payment_id, why)

        return self._step(request, payment_id, ask)

    def _step(
        self, request: KeyedRequest, payment_id: UUID, ask: Callable[[Connection, Claim], None]
    ) -> KeyedAnswer:
        claimed = self._claim(request, ask)
        if isinstance(claimed, KeyedAnswer):
            return claimed

        def answer(conn: Connection, _: Claim) -> KeyedAnswer:
            row = existing_payment(conn, payment_id)
            view = views.payment(row)
            if view["pending"]:
                return KeyedAnswer(PENDING, view)
            refused = row.state not in _AFTER[request.operation]
            return KeyedAnswer(REFUSED if refused else DONE, view)

        return self._answered(claimed, lambda: self.worker.charge(payment_id), answer)

    # --- giving back ----------------------------------------------------------------------------

    def refund(
        self,
        caller: Caller,
        key: str,
        payment_id: UUID,
        amount: int | None = None,
        reason: str = "",
    ) -> KeyedAnswer:
        """Refund a payment, or a part of it; without an amount all that is left of it.

        201: the provider has it; its `state` says how far it is. 202: not known yet. 422: the
        provider refused it. Raises as `charge`.
        """
        parameters = {"payment": str(payment_id), "amount": amount, "reason": reason}
        request = KeyedRequest(caller.scope, key, "payments.refund", parameters)
        now = self.context.clock.now()

        def ask(conn: Connection, claimed: Claim) -> None:
            row = existing_payment(conn, payment_id)
            part = None if amount is None else Money(amount, row.currency)
            refund = requesting.request(
                conn,
                payment_id,
                amount=part,
                reason=reason or "no reason given",
                actor=caller.actor,
                now=now,
                refund_id=claimed.resource_id,
            )
            refunds.change(conn, refund.id, dispatch_after=self._held_back())
            detail = {
                "refund": str(refund.id), "amount": refund.amount, "currency": refund.currency,
            }  # fmt: skip
            self._audit(conn, caller, "payment.refund", payment_id, reason, detail)

        claimed = self._claim(request, ask)
        if isinstance(claimed, KeyedAnswer):
            return claimed
        refund_id = claimed.resource_id
        return self._answered(claimed, lambda: self.worker.refund(refund_id), _refunded)

    # --- an invoice's payment -------------------------------------------------------------------

    def retry(self, caller: Caller, key: str, payment_id: UUID, why: str = "") -> KeyedAnswer:
        """Let a worker try an invoice's payment again now, outside the ladder. 202."""
        refuse_anything_like_a_card(reason=why)
        given = {"payment": str(payment_id), "reason": why}
        now = self.context.clock.now()

        def work(conn: Connection) -> KeyedAnswer:
            retried = retrying.retry(
                Joined(conn),
                payment_id,
                now=now,
                actor=caller.actor,
                why=why or "no reason given",
            )
            self._audit(conn, caller, "payment.retry", payment_id, why, {"was": str(retried.state)})
            return KeyedAnswer(PENDING, views.payment(existing_payment(conn, payment_id)))

        return self._once(caller, key, "payments.retry", given, work)

    # --- looking --------------------------------------------------------------------------------

    def status(self, payment_id: UUID) -> View:
        """Return a payment as it is now, with its refunds. Raises `NotFound`."""
        with self.context.engine.connect() as conn:
            view = views.payment(existing_payment(conn, payment_id))
            made = refunds.page(conn, payment_id=payment_id, limit=1000)
        return view | {"refunds": [views.refund(row) for row in made]}

    def transactions(
        self, *, customer: str | None, limit: int, before: UUID | None
    ) -> list[ListedTransaction]:
        """Return charges and refunds as rows, the newest first. Raises `NotFound`."""
        with self.context.engine.connect() as conn:
            customer_id = None if customer is None else existing_customer(conn, customer).id
            return lists.transactions(conn, limit=limit, before=before, customer_id=customer_id)

    # --- what all of them share -----------------------------------------------------------------

    def _claim(
        self, request: KeyedRequest, ask: Callable[[Connection, Claim], None]
    ) -> Claim | KeyedAnswer:
        """Commit the key together with the requested row; after a crash the row exists already."""
        wall, lease = self.context.clock.wall(), self.context.policy.lease

        def begin() -> Claim | KeyedAnswer:
            with marked(CrashPoint.PAYMENT_KEY_CLAIMED), self.context.engine.begin() as conn:
                claimed = claim(conn, request, wall=wall, lease=lease)
                if isinstance(claimed, Claim) and not claimed.taken_up:
                    ask(conn, claimed)
                return claimed

        return fence.insisted(self.context, begin)

    def _answered(
        self,
        claimed: Claim,
        work: Callable[[], None],
        answer: Callable[[Connection, Claim], KeyedAnswer],
    ) -> KeyedAnswer:
        """Run the work, and keep its answer unless the outcome is unknown.

        What was asked for is committed, so an error of the work must not read as a refusal of it.
        """
        kept = False
        try:
            try:
                work()
            except BadInput as error:  # the account is configured no more, or has no key
                raise Unavailable(error.what, where=error.where, code=error.code) from error
            with marked(CrashPoint.PAYMENT_ANSWER_KEPT), self.context.engine.begin() as conn:
                found = answer(conn, claimed)
                if found.status != PENDING:
                    found = keep(conn, claimed, found, wall=self.context.clock.wall())
                    kept = True
            return found
        finally:
            if not kept:
                release(self.context.engine, claimed)

    def _held_back(self) -> datetime:
        """Return until when workers leave the payment to this process."""
        return self.context.clock.wall() + self.context.policy.dispatch_window


def _status_of_charge(row: Payment) -> int:
    if row.state == State.CREATED:
        return PENDING
    return DECLINED if row.state == State.FAILED else MADE


def _refunded(conn: Connection, claimed: Claim) -> KeyedAnswer:
    row = refunds.get(conn, claimed.resource_id)
    assert row is not None, "refunds are never deleted"
    return KeyedAnswer(_REFUND_STATUS[row.state], views.refund(row))
