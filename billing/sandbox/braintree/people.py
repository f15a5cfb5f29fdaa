"""Customers' and addresses' fields, as they are read, kept and shown."""

from collections.abc import Mapping
from typing import Any

from billing.sandbox.braintree.call import MerchantCall
from billing.sandbox.braintree.replies import refuse
from billing.sandbox.braintree.xml import Node, When
from billing.sandbox.store import Record

PERSON = ("first_name", "last_name", "company", "email", "phone", "fax", "website")
ADDRESS = (
    "first_name",
    "last_name",
    "company",
    "street_address",
    "extended_address",
    "locality",
    "region",
    "postal_code",
    "country_name",
    "country_code_alpha2",
    "country_code_alpha3",
    "country_code_numeric",
    "phone_number",
)
_COUNTRIES = (
    ("United States of America", "US", "USA", "840"),
    ("Mexico", "MX", "MEX", "484"),
    ("Canada", "CA", "CAN", "124"),
    ("Germany", "DE", "DEU", "276"),
    ("United Kingdom", "GB", "GBR", "826"),
    ("Japan", "JP", "JPN", "392"),
)
_COUNTRY = ("country_name", "country_code_alpha2", "country_code_alpha3", "country_code_numeric")


def person(given: Mapping[str, Any]) -> Record:
    """Return a person's fields out of a request."""
    return {name: given.get(name) for name in PERSON} | {
        "international_phone": given.get("international_phone")
    }


def address(given: Mapping[str, Any]) -> Record:
    """Return an address out of a request; one word for a country fills in the others."""
    kept = {name: given.get(name) for name in ADDRESS}
    kept["international_phone"] = given.get("international_phone")
    for country in _COUNTRIES:
        if any(kept[name] == word for name, word in zip(_COUNTRY, country, strict=True)):
            kept |= {name: kept[name] or word for name, word in zip(_COUNTRY, country, strict=True)}
    return kept


def address_view(kept: Mapping[str, Any] | None, merchant: str | None = None) -> Node | None:
    """Return an address as it is shown."""
    if kept is None:
        return None
    shown: Node = {name: kept.get(name) for name in ADDRESS}
    shown["international_phone"] = kept.get("international_phone") or {}
    shown["id"] = kept.get("id")
    if "customer_ref" in kept:
        shown["customer_id"] = kept["customer_ref"]
        shown["created_at"] = shown["updated_at"] = When(kept["created"])
    return shown


def custom_fields(call: MerchantCall, given: Any, where: str, code: str) -> Record:
    """Return custom fields out of a request.

    Raises: RefusedRequest for a name that isn't configured.
    """
    fields = given if isinstance(given, dict) else {}
    allowed = call.settings.custom_fields
    unknown = [name for name in fields if allowed and name not in allowed]
    if unknown:
        raise refuse(where, "custom_fields", code, ", ".join(unknown))
    return {name: value for name, value in fields.items() if value is not None}


def check_email(given: Mapping[str, Any], where: str) -> None:
    """Refuse what is no e-mail address. Raises: RefusedRequest."""
    email = given.get("email")
    if email is not None and ("@" not in email.strip("@") or " " in email):
        raise refuse(where, "email", "81604")
