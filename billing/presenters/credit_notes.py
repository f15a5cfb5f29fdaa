"""Words for credit notes: where what they give back goes."""

from collections.abc import Mapping
from typing import Final

from billing.rules.credit_notes import Destination

WHERE: Final[Mapping[Destination, str]] = {
    Destination.CREDIT: "as credit",
    Destination.REFUND: "to the payment method",
    Destination.OUTSIDE: "outside of the provider",
}
