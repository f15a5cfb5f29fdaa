"""Taxes that a provider computes: what is asked of it for an invoice, and which answer fits.

A calculation is used for one invoice. It fits where it was asked for the same, and is at most a few
days old: the provider's rates are those of the day on which it was asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from billing.errors import Conflict, ErrorCode
from billing.flows.policy import TaxPolicy
from billing.ids import new_id
from billing.plans.taxes import USUAL_TAX, TaxTerms
from billing.pricing import Facts, draft
from billing.store.payments.tax_calls import Calculated
from billing.tax import Buyer, TaxDecision, Undecided, UndecidedReason
from billing.tax.calls import TaxCallKind, TaxCallState
from billing.tax.external import ExternalRequest, LineToTax

FITS_FOR: Final = timedelta(days=7)


class TaxUndecided(Conflict):
    """No tax can be decided: nothing is invoiced without."""

    code = ErrorCode.TAX_UNDECIDED

    def __init__(self, customer_id: UUID, why: Undecided, rows: int, rates: int) -> None:
        super().__init__(
            f"the taxes of customer {customer_id} can't be decided: {why}",
            where="tax",
            code=ErrorCode.TAX_UNDECIDED,
            customer_id=customer_id,
            why=why.reason,
            country=why.country,
            tax_class=why.tax_class,
            rows=rows,
            rates=rates,
        )


@dataclass(frozen=True, slots=True)
class TaxesToAsk:
    """A calculation that an invoice waits for; `call_id` is that of one that is asked for already.

    The invoice is of the `subscription_id`, or of none.
    """

    request: ExternalRequest
    customer_id: UUID
    subscription_id: UUID | None
    call_id: UUID | None = None


class TaxesWanted(TaxUndecided):
    """The provider has to be asked first; `wanted` says for what."""

    def __init__(self, customer_id: UUID, wanted: TaxesToAsk, rows: int, rates: int) -> None:
        why = Undecided(UndecidedReason.ANSWER_MISSING, wanted.request.buyer.country)
        super().__init__(customer_id, why, rows, rates)
        self.wanted = wanted


@dataclass(frozen=True, slots=True)
class Calculations:
    """The calculations of a batch that no invoice has used yet."""

    known: Sequence[Calculated] = ()

    def fitting(self, wanted: TaxesToAsk) -> Calculated | None:
        """Return one that was asked for the same, the answered one first."""
        request = wanted.request
        found = [
            each
            for each in self.known
            if (each.call.customer_id, each.call.subscription_id)
            == (wanted.customer_id, wanted.subscription_id)
            and _fits(each.call.request, request)
        ]
        order = (TaxCallState.ANSWERED, TaxCallState.OPEN, TaxCallState.REFUSED)
        return min(found, key=lambda each: order.index(each.call.state), default=None)


def _fits(document: str, request: ExternalRequest) -> bool:
    asked = ExternalRequest.from_document(document)
    age = request.on - asked.on
    return timedelta() <= age <= FITS_FOR and replace(asked, on=request.on) == request


def decided(known: Calculations, wanted: TaxesToAsk) -> TaxDecision | None:
    """Return the decision on what is wanted, None where the provider has to be asked.

    Raises: Undecided, where it refused.
    """
    found = known.fitting(wanted)
    if found is None:
        return None
    if found.decision is not None:
        return found.decision
    if found.call.state is TaxCallState.REFUSED:
        country = wanted.request.buyer.country
        raise Undecided(UndecidedReason(str(found.call.refusal)), country)
    return None


def open_call(known: Calculations, wanted: TaxesToAsk) -> TaxesToAsk:
    """Return what is wanted, with the call that asks for it already, if there is one."""
    found = known.fitting(wanted)
    return wanted if found is None else replace(wanted, call_id=found.call.id)


def request_of(
    facts: Facts, terms: Sequence[TaxTerms], buyer: Buyer, on: date, policy: TaxPolicy
) -> ExternalRequest:
    """Return what is asked for the lines of an invoice that come to something.

    `terms` are those of each charge. Raises: Undecided, where the customer's country isn't known.
    """
    assert policy.external is not None, "a provider computes the taxes"
    if buyer.country is None:
        raise Undecided(UndecidedReason.PLACE_MISSING)
    return ExternalRequest(
        account=policy.external.account,
        currency=facts.currency,
        buyer=buyer,
        lines=tuple(_lines(facts, terms, policy)),
        on=on,
    )


def _lines(facts: Facts, terms: Sequence[TaxTerms], policy: TaxPolicy) -> Iterator[LineToTax]:
    assert policy.external is not None, "a provider computes the taxes"
    for number, line in enumerate(draft(facts).lines, start=1):
        of_charge = USUAL_TAX if line.charge is None else terms[line.charge]
        tax_class = of_charge.tax_class or policy.default_class
        if line.net:
            yield LineToTax(
                reference=str(number),
                item=line.item,
                tax_class=tax_class,
                code=policy.external.codes.get(tax_class),
                amount=line.net,
                included=bool(of_charge.included),
            )


def call_row(wanted: TaxesToAsk, asked_at: datetime, mode: str, *, waits: bool) -> dict[str, Any]:
    """Return the row of a calculation that is to be asked for."""
    call_id = new_id()
    return {
        "id": call_id,
        "kind": TaxCallKind.CALCULATION,
        "provider": wanted.request.account,
        "customer_id": wanted.customer_id,
        "subscription_id": wanted.subscription_id,
        "waits": waits,
        "request": wanted.request.document(),
        "idempotency_key": f"{mode}:tax:{call_id}",
        "asked_at": asked_at,
        "next_attempt_at": asked_at,
    }
