"""Comparing decisions on taxes with what they follow from: published rates, and places.

Instants of one test clock may be equal, so what was written at the very instant may be a part of
what a decision follows from, or not yet.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from billing.plans.taxes import TaxRate
from billing.plans.territories import territory_at
from billing.rules.promises import Finding, FindingKind
from billing.store.promises import taxed
from billing.store.promises.taxed import DecidedInvoice
from billing.store.subscriptions import tax_facts
from billing.store.subscriptions.tax_facts import CustomerTaxFacts, VatCheck
from billing.tax import Buyer, TaxRequest, request_at
from billing.tax.external import ExternalRequest, is_external

_INVOICES_A_PAGE: Final = 1_000
_PublishedRates = Sequence[tuple[TaxRate, datetime]]


def against_rates(request: TaxRequest, at: datetime, published: _PublishedRates) -> bool:
    """Tell whether a request has the rates that were published when it was decided on."""
    return any(
        request
        == request_at(
            request.provider, request.seller, request.buyer, request.items, request.on, rates
        )
        for rates in (
            _as_of([rate for rate, since in published if since <= at]),
            _as_of([rate for rate, since in published if since < at]),
        )
    )


def _as_of(rows: Sequence[TaxRate]) -> Sequence[TaxRate]:
    """Return of each rate the last row."""
    return list({(*rate.of, rate.since): rate for rate in rows}.values())


def of_places(conn: Connection) -> Iterator[Finding]:
    """Yield the invoices whose customers weren't where their decisions have them."""
    for page in taxed.invoices(conn, _INVOICES_A_PAGE):
        facts = tax_facts.of_many(conn, [each.customer_id for each in page])
        vat_ids = [row.vat_id for rows in facts.values() for row in rows if row.vat_id]
        checks = tax_facts.checks_of(conn, vat_ids)
        for invoice in page:
            buyer = _buyer_of(invoice)
            if buyer is not None and not _was_known(
                buyer, facts.get(invoice.customer_id, ()), checks.get(buyer.vat_id or "", ()),
                invoice.issued_at,
            ):  # fmt: skip
                told = {"number": invoice.number, "what": "place"}
                yield Finding(FindingKind.FACTS_AGAINST_DECISION, told)


def _buyer_of(invoice: DecidedInvoice) -> Buyer | None:
    """Return the buyer of a request; one that can't be read is a finding of its own."""
    try:
        if is_external(invoice.request):
            return ExternalRequest.from_document(invoice.request).buyer
        return TaxRequest.from_document(invoice.request).buyer
    except (ValueError, KeyError, TypeError):
        return None


def _was_known(
    buyer: Buyer, rows: Sequence[CustomerTaxFacts], checks: Sequence[VatCheck], at: datetime
) -> bool:
    places = (
        tax_facts.at_instant(rows, at),
        tax_facts.at_instant([row for row in rows if row.asked_at <= at], at),
        tax_facts.at_instant([row for row in rows if row.asked_at < at], at),
        *(row for row in rows if row.asked_at == at and row.holds_from <= at),
    )
    said = [check.confirmed for check in checks if check.at <= at]
    before = [check.confirmed for check in checks if check.at < at]
    answers = {each[-1] if each else None for each in (said, before)}
    answers |= {check.confirmed for check in checks if check.at == at}
    return buyer.vat_confirmed in answers and any(
        each is not None and _is_place_of(buyer, each) for each in places
    )


def _is_place_of(buyer: Buyer, facts: CustomerTaxFacts) -> bool:
    """Tell whether facts are those of a buyer; earlier requests named no territory."""
    known = (facts.country, facts.region, facts.vat_id, facts.exempt)
    if (buyer.country, buyer.region, buyer.vat_id, buyer.exempt) != known:
        return False
    found = territory_at(facts.country, facts.region, facts.postal_code)
    return buyer.territory in (None, None if found is None else found.name)
