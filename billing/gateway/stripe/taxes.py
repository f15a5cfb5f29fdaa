"""Stripe Tax: calculations, their transactions, and reversals of these.

A lost answer is asked for under the same key. When Stripe has forgotten the key, the transaction's
`reference` still is unique among all transactions of the account: then it is refused, and the
transaction that the refusal names is read.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time
from typing import Final, TypeVar

from billing.gateway.kinds import FaultKind
from billing.gateway.stripe.amounts import InexpressibleAmount, to_stripe
from billing.gateway.stripe.classify import Fault
from billing.gateway.stripe.client import UNUSABLE_KEY, Answer, Client, segment, usable
from billing.gateway.stripe.faults import Faulted, garbage
from billing.gateway.stripe.fields import Json, expect, instant
from billing.gateway.stripe.tax_lines import read_line
from billing.gateway.stripe.tax_words import refusal_of, tax_id_type
from billing.gateway.taxes import (
    TaxRecorded,
    TaxRefusal,
    TaxRefused,
    TaxReversal,
    TaxUnanswered,
)
from billing.gateway.transport import Deadline
from billing.gateway.untrusted import Malformed, mapping, required
from billing.rules.money import Money
from billing.tax.external import ExternalAnswer, ExternalRequest, LineTaxes

_CALCULATIONS: Final = "/v1/tax/calculations"
_TRANSACTIONS: Final = "/v1/tax/transactions"
_DETAILS: Final = "tax_breakdown"
_NAMED: Final = re.compile(r"\btax_[A-Za-z0-9_]+")
_Result = TypeVar("_Result")


class Taxes(Client):
    """Asks for taxes and records them; every error is an answer."""

    def compute_taxes(
        self, request: ExternalRequest, *, idempotency_key: str
    ) -> ExternalAnswer | TaxRefused | TaxUnanswered:
        """Return the taxes of each line by a calculation."""

        def ask(deadline: Deadline) -> ExternalAnswer | TaxRefused:
            params = _calculation_params(request)
            answer = self._send(
                "compute_taxes", "post", _CALCULATIONS, params, deadline, key=idempotency_key
            )
            return self._read_calculation(request, answer, deadline)

        return self._told(idempotency_key, ask)

    def record_taxes(
        self, calculation: str, reference: str, *, idempotency_key: str
    ) -> TaxRecorded | TaxRefused | TaxUnanswered:
        """Make a transaction of a calculation."""
        params: Json = {
            "calculation": calculation,
            "reference": reference,
            "expand": ["line_items"],
        }
        path = f"{_TRANSACTIONS}/create_from_calculation"
        operation = "record_taxes"
        return self._transaction(operation, path, params, reference, idempotency_key)

    def reverse_taxes(
        self, reversal: TaxReversal, *, idempotency_key: str
    ) -> TaxRecorded | TaxRefused | TaxUnanswered:
        """Reverse a transaction, or some of its lines."""
        try:
            params = _reversal_params(reversal)
        except InexpressibleAmount as error:
            return TaxRefused(TaxRefusal.OTHER, str(error))
        path = f"{_TRANSACTIONS}/create_reversal"
        operation = "reverse_taxes"
        return self._transaction(operation, path, params, reversal.reference, idempotency_key)

    def _transaction(
        self, operation: str, path: str, params: Json, reference: str, key: str
    ) -> TaxRecorded | TaxRefused | TaxUnanswered:
        def ask(deadline: Deadline) -> TaxRecorded | TaxRefused:
            try:
                answer = self._send(operation, "post", path, params, deadline, key=key)
            except Faulted as failed:
                known = _named_in(failed.fault)
                if known is None:
                    raise
                where = f"{_TRANSACTIONS}/{segment(known)}"
                wanted = {"expand": ["line_items"]}
                answer = self._send("retrieve", "get", where, wanted, deadline)
            return self._read_transaction(answer, reference, deadline)

        return self._told(key, ask)

    def _told(
        self, key: str, ask: Callable[[Deadline], _Result]
    ) -> _Result | TaxRefused | TaxUnanswered:
        if not usable(key):
            return TaxRefused(TaxRefusal.OTHER, UNUSABLE_KEY.message)
        try:
            return ask(Deadline(self._seconds))
        except InexpressibleAmount as error:
            return TaxRefused(TaxRefusal.OTHER, str(error))
        except Faulted as failed:
            fault = failed.fault
        except ValueError as error:
            fault = garbage(str(error), None)
        return _outcome_of(fault)

    def _read_calculation(
        self, request: ExternalRequest, answer: Answer, deadline: Deadline
    ) -> ExternalAnswer | TaxRefused:
        data = answer.exact()
        expect(data, "tax.calculation")
        identifier = required(data, "id")
        found = {}
        for item in self._lines(f"{_CALCULATIONS}/{segment(identifier)}", data, deadline, _DETAILS):
            line = read_line(item, request.currency)
            found[line.reference] = line
        refused = next((line.not_supported for line in found.values() if line.not_supported), None)
        if refused is not None:
            return TaxRefused(TaxRefusal.NOT_SUPPORTED, f"no taxes are computed in {refused}")
        wanted = {each.reference: (each.amount, each.included) for each in request.lines}
        if {name: (line.amount, line.included) for name, line in found.items()} != wanted:
            raise Malformed("the calculation isn't of the lines that were asked about")
        return ExternalAnswer(
            calculation=identifier,
            expires_at=instant(data, "expires_at") if data.get("expires_at") is not None else None,
            lines=tuple(
                LineTaxes(each.reference, each.included, found[each.reference].taxes)
                for each in request.lines
            ),
        )

    def _read_transaction(
        self, answer: Answer, reference: str, deadline: Deadline
    ) -> TaxRecorded | TaxRefused:
        data = answer.data
        expect(data, "tax.transaction")
        identifier = required(data, "id")
        if data.get("reference") != reference:
            raise Malformed(f"{identifier} has another reference than {reference}")
        items = self._lines(f"{_TRANSACTIONS}/{segment(identifier)}", data, deadline)
        lines = {required(item, "reference"): required(item, "id") for item in items}
        return TaxRecorded(identifier, lines)

    def _lines(
        self, path: str, data: Json, deadline: Deadline, details: str | None = None
    ) -> Iterator[Json]:
        """Yield all lines of an object, also those that its answer had no room for."""
        first = mapping(data.get("line_items"))
        items = first.get("data")
        if not first.get("has_more") and isinstance(items, list):
            yield from map(mapping, items)
            return
        wanted: Json = {"expand": [f"data.{details}"]} if details else {}
        for page in self._pages(
            "list_tax_lines", f"{path}/line_items", wanted, deadline, exact=True
        ):
            yield from page


def _outcome_of(fault: Fault) -> TaxRefused | TaxUnanswered:
    if fault.kind in (FaultKind.INVALID_REQUEST, FaultKind.IDEMPOTENCY):
        return TaxRefused(refusal_of(fault.code, fault.param), fault.message, fault.request_id)
    return TaxUnanswered(fault.kind.value, fault.message, fault.retry_after, fault.request_id)


def _named_in(fault: Fault) -> str | None:
    """Return the transaction that has the reference already, where a refusal names it."""
    if refusal_of(fault.code, fault.param) is not TaxRefusal.KNOWN:
        return None
    named = _NAMED.search(fault.message)
    return named.group() if named else None


def _calculation_params(request: ExternalRequest) -> Json:
    """Return the parameters of a calculation. Raises: InexpressibleAmount."""
    buyer = request.buyer
    address = {
        "country": buyer.country,
        "state": buyer.region,
        "postal_code": buyer.postal_code,
    }
    details: dict[str, object] = {
        "address": {name: value for name, value in address.items() if value is not None},
        "address_source": "billing",
    }
    if buyer.exempt is not None:
        details["taxability_override"] = "customer_exempt"
    if buyer.vat_id is not None and buyer.vat_confirmed is not False:
        details["tax_ids"] = [{"type": tax_id_type(buyer.vat_id), "value": buyer.vat_id}]
    return {
        "currency": request.currency.lower(),
        "customer_details": details,
        "line_items": [
            {
                "reference": each.reference,
                "amount": to_stripe(Money(each.amount, request.currency)),
                "tax_behavior": "inclusive" if each.included else "exclusive",
                **({} if each.code is None else {"tax_code": each.code}),
            }
            for each in request.lines
        ],
        "tax_date": int(datetime.combine(request.on, time(), UTC).timestamp()),
        "expand": [f"line_items.data.{_DETAILS}"],
    }


def _reversal_params(reversal: TaxReversal) -> Json:
    """Return the parameters of a reversal. Raises: InexpressibleAmount."""
    currency = reversal.currency
    params: dict[str, object] = {
        "mode": "partial" if reversal.lines else "full",
        "original_transaction": reversal.record,
        "reference": reversal.reference,
        "expand": ["line_items"],
    }
    if reversal.lines:
        params["line_items"] = [
            {
                "original_line_item": each.line,
                "reference": each.reference,
                "amount": -to_stripe(Money(each.amount, currency)),
                "amount_tax": -to_stripe(Money(each.tax, currency)),
            }
            for each in reversal.lines
        ]
    return params
