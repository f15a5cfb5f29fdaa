"""One structured log line for each thing that happens to money, with what came of it.

The fields have the names of the columns that they come from, so that a line leads to its rows; a
field without a value is left out. docs/operations.md lists the lines.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from billing.flows.cycles.deciding import CannotOpen, Opening
from billing.flows.cycles.external_taxes import TaxesToAsk
from billing.flows.payments.authorization_sending import AuthorizationStep
from billing.flows.payments.collecting import ChargeSend
from billing.flows.refunds.sending import RefundAnswer, RefundQuestion, RefundSend
from billing.flows.taxes.sending import TaxCallAnswer, TaxSend
from billing.gateway import (
    Absent,
    ActionRequired,
    Declined,
    Deferred,
    Outcome,
    RefundAccepted,
    Rejected,
    Succeeded,
    Unknown,
    word_of,
)
from billing.gateway.taxes import TaxRecorded, TaxRefused, TaxUnanswered
from billing.rules.money import Money
from billing.store.payments.provider_calls import ProviderCall
from billing.store.subscriptions.subscriptions import Subscription
from billing.tax.external import ExternalAnswer

logger: Final = logging.getLogger(__name__)

_LEVELS: Final[Mapping[str, int]] = {
    "unknown": logging.WARNING,
    "deferred": logging.WARNING,
    "rejected": logging.ERROR,
}

_OF_TAXES: Final[Mapping[type, str]] = {
    ExternalAnswer: "calculated",
    TaxRecorded: "recorded",
    TaxRefused: "refused",
    TaxUnanswered: "unanswered",
}


def charge(send: ChargeSend, outcome: Outcome | Absent, seconds: float | None) -> None:
    """Write the line of a charge; without `seconds` its outcome came otherwise than by a call."""
    sent = send.request.metadata
    _write(
        "charge",
        outcome,
        payment=send.payment_id,
        attempt=send.call.n,
        kind=send.kind,
        subscription=sent.get("subscription"),
        period=sent.get("period"),
        invoice=sent.get("invoice"),
        **_call(send.call),
        **_money(send.request.amount),
        seconds=seconds,
    )


def step(step: AuthorizationStep, outcome: Outcome | Absent, seconds: float) -> None:
    """Write the line of a capture or a void of an authorised payment."""
    known = {} if step.call is None else _call(step.call)
    _write(
        str(step.kind),
        outcome,
        payment=step.payment_id,
        **{"provider": step.provider, "provider_payment": step.provider_payment_id, **known},
        **_money(step.amount),
        seconds=seconds,
    )


def refund(sending: RefundSend | RefundQuestion, answer: RefundAnswer, seconds: float) -> None:
    """Write the line of a refund that was sent, looked up or asked about."""
    known: dict[str, Any] = {"provider": sending.provider}
    if isinstance(sending, RefundSend):
        known = {**_call(sending.call), **_money(sending.request.amount)}
    _write(
        "refund",
        answer,
        refund=sending.refund_id,
        payment=sending.payment_id,
        **known,
        seconds=seconds,
    )


def taxes(sending: TaxSend, answer: TaxCallAnswer, seconds: float) -> None:
    """Write the line of a call about taxes."""
    call = sending.call
    said: dict[str, Any] = {}
    if isinstance(answer, TaxRefused):
        said = {"reason": answer.reason, "error": answer.message}
    elif isinstance(answer, TaxUnanswered):
        said = {"reason": answer.error_class, "error": answer.message}
    _log(
        logging.WARNING if said else logging.INFO,
        "taxes",
        outcome=_OF_TAXES[type(answer)],
        call=call.id,
        kind=call.kind,
        provider=call.provider,
        customer=call.customer_id,
        invoice=call.invoice_id,
        sends=call.sends,
        **said,
        seconds=seconds,
    )


def waits(wanted: TaxesToAsk) -> None:
    """Write the line of a cycle that waits for taxes of a provider."""
    _log(
        logging.INFO,
        "cycle",
        outcome="waits for taxes",
        subscription=wanted.subscription_id,
        customer=wanted.customer_id,
    )


def opened(opening: Opening) -> None:
    """Write the line of a cycle that was opened."""
    draft, period = opening.draft, opening.scheduled.period
    owed = {} if draft is None else {"amount": draft.due, "currency": draft.currency}
    _log(
        logging.INFO,
        "cycle",
        outcome="opened",
        cycle=opening.cycle_id,
        subscription=opening.subscription.id,
        customer=opening.subscription.customer_id,
        n=opening.scheduled.n,
        kind=opening.kind,
        period_start=period.start.isoformat(),
        period_end=period.end.isoformat(),
        plan=opening.subscription.plan,
        invoice=None if draft is None else opening.invoice_id,
        payment=opening.payment_id if draft is not None and draft.due else None,
        **owed,
    )


def parked(subscription: Subscription, why: CannotOpen) -> None:
    """Write the line of a cycle that couldn't be opened."""
    _log(
        logging.ERROR,
        "cycle",
        outcome="parked",
        subscription=subscription.id,
        customer=subscription.customer_id,
        n=subscription.next_n,
        plan=subscription.plan,
        reason=why.reason,
        error=str(why),
    )


def ended(subscription: Subscription) -> None:
    """Write the line of a subscription that ended instead of renewing."""
    _log(
        logging.INFO,
        "cycle",
        outcome="ended",
        subscription=subscription.id,
        customer=subscription.customer_id,
        n=subscription.next_n,
        plan=subscription.plan,
    )


def _write(what: str, outcome: Outcome | RefundAnswer, **fields: Any) -> None:
    word = word_of(outcome)
    _log(_LEVELS.get(word, logging.INFO), what, outcome=word, **fields | _answer(outcome))


def _answer(outcome: Outcome | RefundAnswer) -> dict[str, Any]:
    """Return what an answer says, under the names of our columns."""
    found: dict[str, Any] = {"provider_request": getattr(outcome, "request_id", None)}
    match outcome:
        case Succeeded():
            found |= {"provider_payment": outcome.provider_payment_id, **_money(outcome.amount)}
            found["provider_charge"] = outcome.provider_charge_id
        case Declined():
            found["decline_code"] = outcome.decline_code
            found["decline_class"] = outcome.decline_class
            found["provider_payment"] = outcome.provider_payment_id
        case ActionRequired():
            found["provider_payment"] = outcome.provider_payment_id
        case RefundAccepted():
            found |= {"provider_refund": outcome.provider_refund_id, **_money(outcome.amount)}
            found["failure_reason"] = outcome.failure_reason
        case Rejected() | Deferred() | Unknown():
            found |= {"error_class": outcome.error_class, "error": outcome.message}
        case Absent():
            pass
    return {name: value for name, value in found.items() if value is not None}


def _call(call: ProviderCall) -> dict[str, Any]:
    return {
        "customer": call.customer_id,
        "provider": call.provider,
        "idempotency_key": call.idempotency_key,
        "sends": call.sends,
    }


def _money(amount: Money) -> dict[str, Any]:
    return {"amount": amount.amount, "currency": amount.currency}


def _log(level: int, what: str, **fields: Any) -> None:
    if not logger.isEnabledFor(level):
        return
    kept = {name: _plain(value) for name, value in fields.items() if value is not None}
    logger.log(level, what, extra=kept)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    return value if type(value) is int else str(value)
