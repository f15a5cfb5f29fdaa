"""VAT ids: how they are written, and whether they can be one. Needs no network."""

from billing.plans.countries import EU
from billing.plans.territories import country_of
from billing.tax.vat_prefixes import member_state_of


class BadVatId(ValueError):
    """A text that is no VAT id, or one of another country."""


def read_vat_id(text: str, country: str) -> str:
    """Return a VAT id of a country without spaces and dots, with its prefix.

    Its form and its check digits are looked at; whether it was given to anybody isn't.
    Raises: BadVatId.
    """
    # Needed by nothing else, and its modules by country are many.
    from stdnum import get_cc_module
    from stdnum.eu import vat
    from stdnum.exceptions import ValidationError

    country = country_of(country)
    try:
        if country in EU:
            compact = vat.validate(text)
        else:
            module = get_cc_module(country, "vat")
            if module is None:
                raise BadVatId(f"VAT ids of {country} aren't known here")
            compact = module.validate(text)
            compact = compact if compact.startswith(country) else f"{country}{compact}"
    except ValidationError as error:
        raise BadVatId(f"{text!r} is no VAT id of {country}: {error}") from error
    if country in EU and member_state_of(compact) != country:
        raise BadVatId(f"{text!r} is a VAT id of {member_state_of(compact)}, not of {country}")
    return str(compact)
