"""What follows from an attempt's outcome, inside the caller's transaction.

Each function takes the payment row locked by `payments.lock_payment` and leaves payment,
attempt, invoice, journal and subscription telling the same story.
Locks are taken in one order everywhere: payments first, then their subscription.
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from billing.flows.cycles.skipping import skip_missed
from billing.flows.policy import Policy
from billing.gateway import ActionRequired, Declined, Deferred, Rejected, Succeeded, Unknown
from billing.ledger import recipes
from billing.rules import dunning
from billing.rules.dunning import (
    Advice,
    DeclineClass,
    RetryAt,
    Stop,
    WaitForCustomer,
    hold_to_budget,
)
from billing.rules.invoices import InvoiceStatus
from billing.rules.money import Money
from billing.rules.payments import (
    AttemptKind,
    AttemptOutcome,
    CaptureMethod,
    Cause,
    RefusalReason,
    State,
)
from billing.rules.recognition import TICK
from billing.rules.reconciliation import SUGGESTED_CAUSES, BreakKind
from billing.rules.subscriptions import Status, after_capture, after_decline, after_give_up
from billing.store.dispatch import NOT_HELD
from billing.store.journal import posting
from billing.store.payments import attempts, invoices, payments, recognition
from billing.store.payments.payments import LockedPayment, NextAttempt, PaymentChange
from billing.store.settlement import breaks
from billing.store.subscriptions import customers, plans, subscriptions
from billing.store.subscriptions.parking import NOT_PARKED, parked_for
from billing.store.subscriptions.subscriptions import Subscription
from plans.terms import Dunning

# Answers that are definite about the wrong thing; the attempt stays open, and a person is told.
CONTRADICTIONS: Final = {
    "wrong_amount": BreakKind.AMOUNT_MISMATCH,
    "wrong_currency": BreakKind.CURRENCY_MISMATCH,
}


def captured(
    conn: Connection,
    payment: LockedPayment,
    *,
    attempt_n: int,
    outcome: Succeeded,
    now: datetime,
    actor: str,
) -> None:
    """The money is ours: payment CAPTURED, invoice paid, entry posted, subscription active."""
    if outcome.amount != payment.money:
        _park_mismatch(conn, payment, outcome, payment.money, now)
        return
    if payment.capture_method is CaptureMethod.MANUAL:  # somebody was quicker than we are
        payments.change(conn, payment.id, now, authorized_until=now)
    attempts.finish(
        conn,
        payment.id,
        attempt_n,
        AttemptOutcome.SUCCEEDED,
        now,
        provider_request_id=outcome.request_id,
        decision="captured",
    )
    payments.move(
        conn,
        payment.id,
        [State.CREATED, State.AUTHORIZED, State.CAPTURED],
        cause=Cause.OUTCOME,
        now=now,
        actor=actor,
        evidence=_evidence(attempt_n, outcome),
        provider_payment_id=outcome.provider_payment_id,
        provider_charge_id=outcome.provider_charge_id,
        amount_captured=outcome.amount.amount,
        captured_at=now,
        **payments.NOTHING_NEXT,
        decline_code=None,
        decline_class=None,
        decision="captured",
    )
    post_capture(conn, payment, attempt_n, outcome.amount, now)
    pay_invoice(conn, payment, now)
    if payment.subscription_id is not None:
        recover_subscription(conn, payment, now, actor)


def pay_invoice(conn: Connection, payment: LockedPayment, now: datetime) -> None:
    """Call the invoice of a captured payment paid; a charge without an invoice has none."""
    if payment.invoice_id is not None and payment.invoice_status is not None:
        invoices.move(conn, payment.invoice_id, payment.invoice_status, InvoiceStatus.PAID, now)


def post_capture(
    conn: Connection, payment: LockedPayment, capture: int | str, amount: Money, now: datetime
) -> None:
    """Post a capture; a charge without an invoice is owed and earned by the same event."""
    entries = []
    if payment.invoice_id is None:
        entries.append(
            recipes.one_off_charged(
                payment_id=payment.id,
                customer_id=payment.customer_id,
                amount=amount,
                effective_at=now,
            )
        )
    entries.append(
        recipes.payment_captured(
            payment_id=payment.id,
            capture=capture,
            customer_id=payment.customer_id,
            cycle_id=payment.cycle_id if payment.cycle_state == "opened" else None,
            amount=amount,
            effective_at=now,
        )
    )
    posting.post(conn, entries)


def authorized(
    conn: Connection,
    payment: LockedPayment,
    *,
    attempt_n: int,
    outcome: Succeeded,
    now: datetime,
    actor: str,
    policy: Policy,
) -> None:
    """The money is reserved: payment AUTHORIZED, to be captured before it expires.

    What follows is written down at once: unless it is captured, it is voided when it expires.
    """
    if outcome.amount != payment.money:
        _park_mismatch(conn, payment, outcome, payment.money, now)
        return
    until = now + policy.authorization_window
    words = f"authorised until {until:%Y-%m-%d %H:%M} UTC, to be captured or voided"
    attempts.finish(
        conn,
        payment.id,
        attempt_n,
        AttemptOutcome.SUCCEEDED,
        now,
        provider_request_id=outcome.request_id,
        decision=words,
    )
    payments.move(
        conn,
        payment.id,
        [State.CREATED, State.AUTHORIZED],
        cause=Cause.OUTCOME,
        now=now,
        actor=actor,
        evidence=_evidence(attempt_n, outcome),
        provider_payment_id=outcome.provider_payment_id,
        provider_charge_id=outcome.provider_charge_id,
        authorized_until=until,
        next_attempt_at=until,
        next_attempt_kind=AttemptKind.VOID,
        lease_until=None,
        dispatch_after=NOT_HELD,
        decline_code=None,
        decline_class=None,
        decision=words,
    )


def _evidence(attempt_n: int, outcome: Succeeded) -> dict[str, Any]:
    return {
        "attempt": attempt_n,
        "provider_payment": outcome.provider_payment_id,
        "provider_charge": outcome.provider_charge_id,
        "provider_request": outcome.request_id,
    }


def _park_mismatch(
    conn: Connection, payment: LockedPayment, outcome: Succeeded, expected: Money, now: datetime
) -> None:
    """The provider took another amount than we asked: nothing may go on by itself."""
    breaks.record(
        conn,
        kind=str(BreakKind.AMOUNT_MISMATCH),
        dedupe_key=f"{BreakKind.AMOUNT_MISMATCH}:{payment.id}",
        ours={"amount": expected.amount, "currency": expected.currency},
        provider={
            "amount": outcome.amount.amount,
            "currency": outcome.amount.currency,
            "provider_payment": outcome.provider_payment_id,
        },
        suggested_cause=SUGGESTED_CAUSES[BreakKind.AMOUNT_MISMATCH],
        now=now,
        cycle_id=payment.cycle_id,
        payment_id=payment.id,
    )
    payments.change(
        conn,
        payment.id,
        now,
        lease_until=None,
        **parked_for(
            now,
            "amount_mismatch",
            f"captured {outcome.amount} at the provider, {expected} were asked for",
        ),
    )


def recover_subscription(
    conn: Connection, payment: LockedPayment, now: datetime, actor: str
) -> None:
    """Let a subscription go on whose open payment was captured, unless another one is open."""
    if payment.subscription_status not in (Status.PAST_DUE, Status.UNPAID):
        return
    subscription = _lock_subscription(conn, payment)
    others = payments.others_past_due(conn, subscription.id, payment.id)
    if after_capture(subscription.status, others) is subscription.status:
        return
    if subscription.status is Status.UNPAID:
        # It goes on where it left off; the periods that went by unserved are never billed.
        skip_missed(conn, subscription, now)
    subscriptions.change(conn, subscription.id, status=str(Status.ACTIVE))
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind="recovered",
        actor=actor,
        words=f"{subscription.status} -> active: the open payment was captured",
        detail={"payment": str(payment.id)},
    )


def declined(
    conn: Connection,
    payment: LockedPayment,
    *,
    attempt_n: int | None,
    outcome: Declined | ActionRequired,
    now: datetime,
    policy: Policy,
) -> None:
    """A definite no: the ladder decides what follows, and says why in words.

    `attempt_n` is None where the provider was not even asked (no payment method).
    """
    code, decline_class, advice = _decline(outcome)
    zone = payment.zone or "UTC"
    decision = dunning.decide(
        decline_class, _ladder(conn, payment, policy), payment.rung, now, zone, code=advice or code
    )
    if attempt_n is not None and customers.has_newer_method(conn, payment.id, attempt_n):
        words = f"{code}; the payment method was changed meanwhile: tried again at once"
        decision = RetryAt(now, payment.rung, words)
    if is_last_attempt(payment, attempt_n):
        decision = Stop(f"{code}; no further attempt: the subscription was canceled meanwhile")
    if payment.invoice_id is None:
        decision = Stop(f"{code}; a charge without an invoice has no ladder")
    if attempt_n is not None:
        if isinstance(decision, RetryAt) and decision.at > now:
            since = now - policy.budget.window
            before = attempts.declines_of_method(conn, payment.id, attempt_n, since)
            decision = hold_to_budget(decision, policy.budget, [*before, now], zone)
        attempts.finish(
            conn,
            payment.id,
            attempt_n,
            AttemptOutcome.ACTION_REQUIRED
            if isinstance(outcome, ActionRequired)
            else AttemptOutcome.DECLINED,
            now,
            decline_code=code,
            advice_code=advice,
            decline_class=decline_class,
            message=outcome.message,
            provider_request_id=outcome.request_id,
            decision=decision.words,
        )
    payments.change(
        conn,
        payment.id,
        now,
        provider_payment_id=outcome.provider_payment_id or payment.provider_payment_id,
        decline_code=code,
        decline_class=decline_class,
        decision=decision.words,
        lease_until=None,
        dispatch_after=NOT_HELD,
        **_next_attempt(decision, payment.rung),
    )
    if isinstance(decision, Stop):
        give_up(conn, payment, now=now, words=decision.words, policy=policy)
    elif payment.subscription_id is not None:
        _past_due(conn, payment, code, decision.words, now)


def _lock_subscription(conn: Connection, payment: LockedPayment) -> Subscription:
    assert payment.subscription_id is not None, "a one-off payment has no subscription"
    subscription = subscriptions.lock(conn, payment.subscription_id)
    assert subscription is not None, "subscriptions are never deleted"
    return subscription


def is_last_attempt(payment: LockedPayment, attempt_n: int | None) -> bool:
    """Tell whether the subscription was canceled while this attempt was open.

    `lifecycle.cancel` notes it by making giving up what comes next.
    """
    return attempt_n is not None and payment.next_attempt_kind is AttemptKind.GIVE_UP


def _decline(outcome: Declined | ActionRequired) -> tuple[str, DeclineClass, Advice | None]:
    match outcome:
        case Declined(decline_code=code, decline_class=decline_class, advice=advice):
            return code, decline_class, advice
        case ActionRequired():
            return dunning.AUTHENTICATION_REQUIRED, DeclineClass.NEEDS_CUSTOMER, None


def _next_attempt(decision: RetryAt | WaitForCustomer | Stop, rung: int) -> NextAttempt:
    match decision:
        case RetryAt(at=at, rung=next_rung):
            kind = AttemptKind.LADDER if next_rung > rung else AttemptKind.NEW_METHOD
            return {"next_attempt_at": at, "next_attempt_kind": kind, "rung": next_rung}
        case WaitForCustomer(until=until):
            return {
                "next_attempt_at": until,
                "next_attempt_kind": AttemptKind.GIVE_UP,
                "rung": rung,
            }
        case Stop():
            return {"next_attempt_at": None, "next_attempt_kind": None, "rung": rung}


def _ladder(conn: Connection, payment: LockedPayment, policy: Policy) -> Dunning:
    if payment.plan is None:
        return policy.ladder
    return plans.ladder(conn, payment.plan) or policy.ladder


def _past_due(
    conn: Connection, payment: LockedPayment, code: str, words: str, now: datetime
) -> None:
    subscription = _lock_subscription(conn, payment)
    if after_decline(subscription.status) is subscription.status:
        return
    subscriptions.change(conn, subscription.id, status=str(Status.PAST_DUE))
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind="past_due",
        actor="worker",
        words=f"{subscription.status} -> past_due: {code}. {words}",
        detail={"payment": str(payment.id), "decline_code": code},
    )


def give_up(
    conn: Connection, payment: LockedPayment, *, now: datetime, words: str, policy: Policy
) -> None:
    """The ladder is over: payment FAILED, invoice written off, subscription canceled or unpaid."""
    payments.move(
        conn,
        payment.id,
        [State.CREATED, State.FAILED],
        cause=Cause.OUTCOME if payment.invoice_id is None else Cause.LADDER_OVER,
        now=now,
        actor="worker",
        evidence={"words": words},
        **payments.NOTHING_NEXT,
        decision=words,
    )
    if payment.invoice_id is not None:
        write_off(conn, payment, now)
    if payment.subscription_id is not None:
        _end_subscription(conn, payment, words, now, policy)


def write_off(conn: Connection, payment: LockedPayment, now: datetime) -> None:
    """Book an invoice that will not be collected: what was earned of it is bad debt."""
    invoice_id = _owed(payment)
    # Locks it: nothing more is earned.
    invoices.move(conn, invoice_id, InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE, now)
    left = recognition.standings(conn, [invoice_id])[invoice_id].left
    posting.post(
        conn,
        [
            recipes.write_off(
                invoice_id=invoice_id,
                customer_id=payment.customer_id,
                cycle_id=payment.cycle_id,
                recognised=Money(left.recognised, payment.currency),
                deferred=Money(left.deferred, payment.currency),
                tax=Money(left.tax, payment.currency),
                effective_at=now,
                nth=payments.times_failed(conn, payment.id),
            )
        ],
    )


def _owed(payment: LockedPayment) -> UUID:
    assert payment.invoice_id is not None, "a charge without an invoice owes nothing"
    return payment.invoice_id


def _end_subscription(
    conn: Connection, payment: LockedPayment, words: str, now: datetime, policy: Policy
) -> None:
    subscription = _lock_subscription(conn, payment)
    ended = after_give_up(subscription.status, _ladder(conn, payment, policy).then)
    if ended is subscription.status:
        return
    subscriptions.change(
        conn,
        subscription.id,
        status=str(ended),
        renews_at=None,
        canceled_at=now if ended is Status.CANCELED else None,
    )
    subscriptions.note(
        conn,
        subscription.id,
        at=now,
        kind=str(ended),
        actor="worker",
        words=f"{subscription.status} -> {ended}: {words}",
        detail={"payment": str(payment.id)},
    )


def parked(
    conn: Connection, payment: LockedPayment, *, attempt_n: int, outcome: Rejected, now: datetime
) -> None:
    """The provider refused our request as wrong: nothing was executed, a person must look."""
    attempts.finish(
        conn,
        payment.id,
        attempt_n,
        AttemptOutcome.REJECTED,
        now,
        message=f"{outcome.error_class}: {outcome.message}",
        provider_request_id=outcome.request_id,
        decision="parked: the request itself was refused",
    )
    if outcome.reason is RefusalReason.PAYMENT_CANCELED:
        # Somebody canceled it at the provider. It can never be paid, so another one is safe.
        payments.change(
            conn,
            payment.id,
            now,
            provider_payment_id=None,
            next_attempt_at=now,
            next_attempt_kind=AttemptKind.GIVE_UP
            if is_last_attempt(payment, attempt_n)
            else AttemptKind.ABSENT,
            lease_until=None,
            dispatch_after=NOT_HELD,
        )
        return
    payments.change(
        conn,
        payment.id,
        now,
        lease_until=None,
        dispatch_after=NOT_HELD,
        **parked_for(now, "rejected", f"{outcome.error_class}: {outcome.message}"),
    )


def unanswered(
    conn: Connection,
    payment: LockedPayment,
    *,
    attempt_n: int,
    outcome: Unknown | Deferred,
    now: datetime,
    again_at: datetime,
) -> None:
    """No definite answer: the attempt stays open and is asked again from `again_at` on."""
    unknown = isinstance(outcome, Unknown)
    if outcome.error_class in CONTRADICTIONS:
        _record_contradiction(conn, payment, attempt_n, outcome, now)
    attempts.still_open(
        conn,
        payment.id,
        attempt_n,
        error=f"{outcome.error_class}: {outcome.message}"[:500],
        unknown_since=now if unknown else None,
    )
    values: PaymentChange = {"lease_until": None, "dispatch_after": again_at}
    if isinstance(outcome, Unknown) and outcome.provider_payment_id is not None:
        values["provider_payment_id"] = outcome.provider_payment_id
    payments.change(conn, payment.id, now, **values)


def _record_contradiction(
    conn: Connection,
    payment: LockedPayment,
    attempt_n: int,
    outcome: Unknown | Deferred,
    now: datetime,
) -> None:
    """The provider's answer is about other money than ours: asking again won't explain it."""
    kind = CONTRADICTIONS[outcome.error_class]
    breaks.record(
        conn,
        kind=str(kind),
        dedupe_key=f"{kind}:{payment.id}:{attempt_n}",
        ours={"payment": str(payment.id), "amount": payment.amount, "currency": payment.currency},
        provider={"answer": outcome.message, "payment": payment.provider_payment_id},
        suggested_cause=SUGGESTED_CAUSES[kind],
        now=now,
        cycle_id=payment.cycle_id,
        payment_id=payment.id,
    )


def reopen(
    conn: Connection, payment: LockedPayment, *, cause: Cause, now: datetime, actor: str, why: str
) -> None:
    """Take a FAILED payment up again: its write-off is reversed and the invoice open.

    The caller has made sure that the cycle is still open.
    """
    payments.move(
        conn,
        payment.id,
        [State.FAILED, State.CREATED],
        cause=cause,
        now=now,
        actor=actor,
        evidence={"why": why},
    )
    nth = payments.times_failed(conn, payment.id)
    invoice_id = _owed(payment)
    entry = posting.entry_by_source_key(conn, f"write_off:{invoice_id}:{nth}")
    assert entry is not None, "a FAILED payment's invoice was written off"
    invoices.move(conn, invoice_id, InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.OPEN, now)
    posting.post(conn, [recipes.write_off_reversed(entry.entry, effective_at=now)])


def void(conn: Connection, payment: LockedPayment, *, now: datetime, actor: str, why: str) -> None:
    """Take back an uncollected invoice: payment FAILED, invoice void, entry reversed."""
    payments.move(
        conn,
        payment.id,
        [State.CREATED, State.FAILED],
        cause=Cause.VOID,
        now=now,
        actor=actor,
        evidence={"why": why},
        **payments.NOTHING_NEXT,
        **NOT_PARKED,
        decision=f"void: {why}",
    )
    invoice_id = _owed(payment)
    issued = posting.entry_by_source_key(conn, f"invoice_issued:{invoice_id}")
    assert issued is not None, "an invoice with a payment was issued in the journal"
    invoices.move(conn, invoice_id, InvoiceStatus.OPEN, InvoiceStatus.VOID, now)
    entries = [recipes.invoice_voided(issued.entry, effective_at=now)]
    standing = recognition.standings(conn, [invoice_id])[invoice_id]
    if standing.recognised:
        at = now if standing.last is None else max(now, standing.last + TICK)
        earned = Money(standing.recognised, payment.currency)
        entries.append(recipes.recognition_taken_back(invoice_id=invoice_id, amount=earned, at=at))
        row = {"invoice_id": invoice_id, "through": at, "amount": -earned.amount}
        recognition.record(conn, [row])
    posting.post(conn, entries)
