"""What is known of a customer for taxes: where they are, their VAT id, an exemption; by date."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from billing.errors import BadInput, ErrorCode
from billing.flows.customers.customers import existing_customer, refuse_anything_like_a_card
from billing.plans.countries import is_country, is_region
from billing.rules.actor import Actor
from billing.store.subscriptions import tax_facts, vat_lookups
from billing.store.subscriptions.tax_facts import CustomerTaxFacts
from billing.tax.vat_ids import BadVatId, read_vat_id
from billing.tax.vat_prefixes import member_state_of

_INSTEAD: Final = {
    "XI": ": Northern Ireland is a part of GB for services",
    "UK": ": the code of the United Kingdom is GB",
    "EL": ": the code of Greece is GR",
    "EU": ": name the member state",
}
_EXEMPT_MAX = 200
_POSTAL_CODE_MAX = 20


@dataclass(frozen=True, slots=True)
class TaxFactsOrder:
    """What is known of a customer, by id or external id, from an instant on; None: from now on.

    It stands in place of all that was known before. `exempt` is the reason of an exemption.
    """

    customer: str
    country: str | None = None
    region: str | None = None
    postal_code: str | None = None
    vat_id: str | None = None
    exempt: str | None = None
    holds_from: datetime | None = None


def set_facts(
    conn: Connection, order: TaxFactsOrder, *, now: datetime, actor: Actor
) -> CustomerTaxFacts:
    """Write what is known of a customer from an instant on, and return it.

    In the caller's transaction. What was invoiced stays as it was decided. An order that says what
    is known already writes nothing. Raises: NotFound, BadInput.
    """
    refuse_anything_like_a_card(postal_code=order.postal_code, exempt=order.exempt)
    _check_place(order)
    vat_id = _vat_id(order)
    customer = existing_customer(conn, order.customer)
    tax_facts.lock_customer(conn, customer.id)
    known = tax_facts.of_customer(conn, customer.id)
    facts = CustomerTaxFacts(
        customer_id=customer.id,
        n=1 + max((row.n for row in known), default=0),
        holds_from=order.holds_from or now,
        country=order.country,
        region=order.region,
        postal_code=order.postal_code,
        vat_id=vat_id,
        exempt=order.exempt,
        asked_at=now,
        actor=str(actor),
    )
    held = tax_facts.at_instant(known, facts.holds_from)
    if held is not None and _what(held) == _what(facts):
        return held
    tax_facts.add(conn, facts)
    if vat_id is not None and member_state_of(vat_id) is not None:
        vat_lookups.want(conn, vat_id)
    return facts


def _what(facts: CustomerTaxFacts) -> tuple[str | None, ...]:
    return facts.country, facts.region, facts.postal_code, facts.vat_id, facts.exempt


def _check_place(order: TaxFactsOrder) -> None:
    country, region = order.country, order.region
    if country is None:
        if region or order.postal_code or order.vat_id:
            raise _bad_place("a region, a postal code and a VAT id are those of a country", None)
    elif not is_country(country):
        raise _bad_place(f"{country!r} is no country{_INSTEAD.get(country, '')}", country)
    elif region is not None and not is_region(country, region):
        raise _bad_place(f"{region!r} is no region of {country}", country)
    for where, text, most in (
        ("postal_code", order.postal_code, _POSTAL_CODE_MAX),
        ("exempt", order.exempt, _EXEMPT_MAX),
    ):
        if text is not None and not (text.strip() and len(text) <= most and text.isprintable()):
            raise BadInput(f"{where} has 1 to {most} characters of one line", where=where)


def _bad_place(what: str, country: str | None) -> BadInput:
    return BadInput(what, where="country", code=ErrorCode.TAX_PLACE, country=country)


def _vat_id(order: TaxFactsOrder) -> str | None:
    if order.vat_id is None or order.country is None:
        return None
    try:
        return read_vat_id(order.vat_id, order.country)
    except BadVatId as error:
        raise BadInput(
            str(error), where="vat_id", code=ErrorCode.VAT_ID, country=order.country
        ) from error
