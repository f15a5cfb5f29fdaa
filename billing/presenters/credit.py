"""Where credit comes from, in words."""

from collections.abc import Mapping
from typing import Final

from billing.rules.credit import CreditSource

SOURCES: Final[Mapping[CreditSource, str]] = {
    CreditSource.GOODWILL: "goodwill",
    CreditSource.BOUGHT: "bought",
    CreditSource.CREDIT_NOTE: "from a credit note",
    CreditSource.SMALL: "too small to be charged",
}
