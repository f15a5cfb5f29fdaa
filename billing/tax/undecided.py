"""Why no tax can be decided: the invoice waits, and is never issued without."""

from enum import StrEnum


class UndecidedReason(StrEnum):
    """What is missing for a decision; each has its line in docs/taxes.md."""

    PLACE_MISSING = "place_missing"
    """It isn't known in which country the customer is."""
    REGION_MISSING = "region_missing"
    """The taxes of the country differ by region."""
    RATE_MISSING = "rate_missing"
    """No rate of a class is published for the place."""
    ANSWER_MISSING = "answer_missing"
    """The provider that computes them hasn't answered yet."""
    PLACE_REFUSED = "place_refused"
    """The provider can't tell where the customer is by what is known of them."""
    VAT_ID_REFUSED = "vat_id_refused"
    """The provider says that the customer's VAT id can't be one."""
    PLACE_NOT_SUPPORTED = "place_not_supported"
    """The provider computes no taxes where the customer is."""


class Undecided(Exception):
    """No tax can be decided, with what is missing and where."""

    def __init__(
        self, reason: UndecidedReason, country: str | None = None, tax_class: str | None = None
    ) -> None:
        self.reason = reason
        self.country = country
        self.tax_class = tax_class
        super().__init__(f"{reason}: {country or 'no country'}, {tax_class or 'any class'}")
