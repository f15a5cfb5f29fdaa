"""The findings about numbers of invoices, in sentences."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from billing.rules.promises import FindingKind

NUMBER_WORDS: Final[Mapping[FindingKind, Callable[[Mapping[str, Any]], str]]] = {
    FindingKind.SERIES_BROKEN: lambda row: (
        f"series {row['series']} counts up to {row['last']}: {row['given']} numbers were given, the"
        f" highest is {row['highest']}"
        + (f", and none before {row['after_gap']}" if row["after_gap"] else "")
    ),
    FindingKind.NUMBER_OF_INVOICE: lambda row: (
        f"number {row['number']} "
        + ("is of no series, and looks like one" if row["series"] is None else "has no invoice")
    ),
}
