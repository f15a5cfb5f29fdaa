"""Sending calls about taxes: one at a time by any worker, any number of times.

    dispatch_due   rows first, messages after, as for charges
    begin          transaction 1: the send is counted and leased
    attempt        the call, outside any transaction
    finish         transaction 2: the decision that an answer makes, or what is recorded

A lost answer is asked for with the same request, and as a rule under the same key. Calculations
change nothing at the provider, so one that stays open for half a day lapses and is asked for anew,
as of that day. References of records and reversals are given away once, so that these are sent
however old they are: a provider that has one already answers with it.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from billing.crash_points import CrashPoint, marked
from billing.errors import BillingError
from billing.flows.context import Context
from billing.flows.dispatching import take_due
from billing.flows.provider_calls import LOOK_UP_FROM_SEND
from billing.gateway.taxes import (
    ReversedLine,
    TaxRecorded,
    TaxRefusal,
    TaxRefused,
    TaxReversal,
    TaxService,
    TaxUnanswered,
)
from billing.store.payments import tax_calls, tax_decisions
from billing.store.payments.tax_calls import TaxCall
from billing.tax.calls import TaxCallKind, TaxCallState, read_reversal
from billing.tax.decisions import external_decision
from billing.tax.external import ExternalAnswer, ExternalRequest

# A provider takes no date that is more than two days past: that of a call is at most 36 hours old.
LAPSES_AFTER: Final = timedelta(hours=12)
_KEY_HOLDS: Final = timedelta(days=1)
# What follows from what is known of the customer; all else of a calculation is the account's.
_OF_CUSTOMER: Final = frozenset({TaxRefusal.PLACE, TaxRefusal.VAT_ID, TaxRefusal.NOT_SUPPORTED})
RECORD_REFUSED: Final = "record_refused"

TaxCallAnswer = ExternalAnswer | TaxRecorded | TaxRefused | TaxUnanswered


@dataclass(frozen=True, slots=True)
class TaxSend:
    """A call that may be sent now; `record` is what a reversal reverses."""

    call: TaxCall
    record: TaxCall | None = None


def dispatch_due(context: Context, *, limit: int) -> list[UUID]:
    """Return calls that are due, each at most once in a dispatch window (see `take_due`)."""
    return take_due(context, tax_calls.DISPATCH_DUE, limit=limit)


def any_open(context: Context) -> bool:
    """Tell whether any call has no end yet."""
    with context.engine.connect() as conn:
        return tax_calls.any_open(conn)


def begin(context: Context, call_id: UUID) -> TaxSend | None:
    """Commit that a call is being sent; None when there is none to send.

    Safe to run any number of times, anywhere: one caller at a time gets the call, for the lease.
    """
    now, wall, policy = context.clock.now(), context.clock.wall(), context.policy
    with marked(CrashPoint.TAX_CALL_BEGUN), context.engine.begin() as conn:
        call = tax_calls.lease(
            conn,
            call_id,
            wall=wall,
            until=wall + policy.lease,
            held_until=wall + policy.longest_hold,
        )
        if call is None:
            return None
        if call.kind is TaxCallKind.CALCULATION and now - call.asked_at >= LAPSES_AFTER:
            tax_calls.end(conn, call.id, TaxCallState.LAPSED, now)
            return None
        if call.kind is not TaxCallKind.REVERSAL:
            return TaxSend(call)
        assert call.follows_id is not None, "a reversal is of a record"
        record = tax_calls.get(conn, call.follows_id)
        assert record is not None, "it is referred to"
        if record.state is TaxCallState.REFUSED:
            tax_calls.end(conn, call.id, TaxCallState.REFUSED, now, refusal=RECORD_REFUSED)
            return None
        return None if record.state is TaxCallState.OPEN else TaxSend(call, record)


def attempt(context: Context, sending: TaxSend) -> TaxCallAnswer:
    """Send a call. Holds no transaction, and never raises for the provider or the network."""
    call = sending.call
    try:
        service = context.gateways.taxes_at(call.provider)
    except BillingError as error:
        return TaxUnanswered("unavailable", error.what)
    return _sent(service, call, sending.record)


def _key(call: TaxCall) -> str:
    """Return the key of a send.

    A provider may replay an error of its own under a key for a day. From the fourth send on every
    second one has a key of its own: a calculation changes nothing, and the reference of a record is
    given away once.
    """
    if call.sends >= LOOK_UP_FROM_SEND and call.sends % 2 == 0:
        return f"{call.idempotency_key}:{call.sends}"
    return call.idempotency_key


def _sent(service: TaxService, call: TaxCall, record: TaxCall | None) -> TaxCallAnswer:
    key = _key(call)
    if call.kind is TaxCallKind.CALCULATION:
        request = ExternalRequest.from_document(call.request)
        return service.compute_taxes(request, idempotency_key=key)
    assert call.reference is not None, "what is recorded has a reference"
    if record is None:
        return service.record_taxes(call.request, call.reference, idempotency_key=key)
    return service.reverse_taxes(_reversal(call, record), idempotency_key=key)


def _reversal(call: TaxCall, record: TaxCall) -> TaxReversal:
    assert record.answer is not None, "it is recorded"
    assert record.provider_ref is not None, "it is recorded"
    assert call.reference is not None, "what is recorded has a reference"
    currency, lines = read_reversal(call.request)
    known = json.loads(record.answer)
    return TaxReversal(
        record=record.provider_ref,
        reference=call.reference,
        currency=currency,
        lines=tuple(
            ReversedLine(
                line=known[each.reference],
                reference=f"{call.reference}-{each.reference}",
                amount=each.amount,
                tax=each.tax,
            )
            for each in lines
        ),
    )


def finish(context: Context, sending: TaxSend, answer: TaxCallAnswer) -> TaxCallState:
    """Write what came of a send and return the call's state; twice for one send changes nothing."""
    now, wall = context.clock.now(), context.clock.wall()
    with marked(CrashPoint.TAX_CALL_ANSWERED), context.engine.begin() as conn:
        call = tax_calls.lock(conn, sending.call.id)
        if call.state is not TaxCallState.OPEN:
            return call.state
        if isinstance(answer, TaxRefused) and _may_pass(call, answer, now):
            answer = TaxUnanswered(str(answer.reason), answer.message)
        if isinstance(answer, TaxUnanswered):
            tax_calls.still_open(
                conn,
                call,
                error_class=answer.error_class,
                error_message=answer.message,
                now=now,
                again_at=wall + context.policy.pause(call.sends, answer.retry_after),
            )
            return TaxCallState.OPEN
        return _end(conn, context, call, answer)


def _may_pass(call: TaxCall, answer: TaxRefused, now: datetime) -> bool:
    """Tell whether a refusal may pass: once the account is put right, or under the first key.

    What has the reference already may be this very call: its answer is kept under its key.
    """
    if answer.reason is TaxRefusal.INACTIVE:
        return True
    if answer.reason is TaxRefusal.KNOWN:
        return now - call.asked_at < _KEY_HOLDS
    return call.kind is TaxCallKind.CALCULATION and answer.reason not in _OF_CUSTOMER


def _end(
    conn: Connection,
    context: Context,
    call: TaxCall,
    answer: ExternalAnswer | TaxRecorded | TaxRefused,
) -> TaxCallState:
    now = context.clock.now()
    if isinstance(answer, TaxRefused):
        refused = {
            "refusal": str(answer.reason),
            "error_class": str(answer.reason),
            "error_message": answer.message[: tax_calls.ERROR_MAX],
        }
        tax_calls.end(conn, call.id, TaxCallState.REFUSED, now, **refused)
        return TaxCallState.REFUSED
    if isinstance(answer, ExternalAnswer):
        decision = external_decision(call.id, call.request, answer)
        tax_decisions.keep(conn, [decision], now)
        said = {"answer": "", "provider_ref": answer.calculation, "decision_id": decision.id}
    else:
        lines = json.dumps(dict(answer.lines), sort_keys=True, separators=(",", ":"))
        said = {"answer": lines, "provider_ref": answer.provider_ref}
    settled = {"error_class": None, "error_message": None, "unknown_since": None}
    tax_calls.end(conn, call.id, TaxCallState.ANSWERED, now, **said, **settled)
    return TaxCallState.ANSWERED
