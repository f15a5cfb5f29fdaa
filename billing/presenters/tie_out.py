"""The reasons of a tie-out, in sentences."""

from collections.abc import Mapping
from typing import Final

from billing.rules.reconciliation import TieOutReason

_WORDS: Final[Mapping[str, str]] = {
    TieOutReason.CAPTURED_NOT_SETTLED: "captured by us, not in the provider's settlement yet",
    TieOutReason.SETTLED_NOT_POSTED: "settled by the provider, not matched or posted yet",
    TieOutReason.OTHER_ENGINES: "moved by other engines on this account",
    TieOutReason.REFUNDED_NOT_SETTLED: "refunded by us, not in the provider's settlement yet",
    TieOutReason.REFUND_PENDING: "taken from the balance for refunds that are still pending",
    TieOutReason.DISPUTED_NOT_SETTLED: "moved by disputes, not in the provider's settlement yet",
    TieOutReason.EXCHANGED_NOT_SHOWN: "exchanged by us, not in the provider's settlement yet",
    TieOutReason.BREAK_NOT_ADJUSTED: "breaks that were resolved without adjusting the books",
}


def in_words(reason: str) -> str:
    """Return a reason as a sentence; what was kept before has a sentence already."""
    return _WORDS.get(reason, reason)
