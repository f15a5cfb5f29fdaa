"""Which member state of the EU gave a VAT id."""

from typing import Final

from billing.plans.countries import EU

_OTHERWISE: Final = {"EL": "GR"}
"""Prefixes that aren't the code of their country."""


def member_state_of(vat_id: str) -> str | None:
    """Return the member state of the EU whose VAT id this is by its prefix, or None."""
    country = _OTHERWISE.get(vat_id[:2], vat_id[:2])
    return country if country in EU else None
