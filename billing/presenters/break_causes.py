"""The suggested cause of a break, in a sentence for an operator."""

from collections.abc import Mapping
from typing import Final

from billing.rules.reconciliation import BreakCause, BreakKind

_WORDS: Final[Mapping[BreakKind | BreakCause, str]] = {
    BreakKind.AMOUNT_MISMATCH: "the payment was changed at the provider, or captured in part",
    BreakKind.CURRENCY_MISMATCH: "the payment was made by something else than this engine",
    BreakKind.FEE_MISMATCH: "the provider's fee is negative or more than the charge itself",
    BreakKind.FX_MISMATCH: "the provider's exchange rate and its amounts don't fit together",
    BreakKind.DUPLICATE_CHARGE: "two charges of one payment or one invoice succeeded",
    BreakKind.CAPTURED_AT_PROVIDER_ONLY: "the customer was charged after we had given up",
    BreakKind.UNKNOWN_AT_PROVIDER: (
        "made in the provider's dashboard or by another system; a conversion is recorded with"
        " `billing fx record`"
    ),
    BreakKind.MISSING_AT_PROVIDER: "booked without a charge, or charged under another account",
    BreakKind.REFUND_MISMATCH: "the refund was changed or failed at the provider",
    BreakKind.REFUND_UNKNOWN: "a refund made in the provider's dashboard or by another system",
    BreakKind.REFUND_MISSING: "the refund is booked as paid, but no money left the balance",
    BreakKind.DISPUTE_MISMATCH: "another amount than the dispute says, or a notice that was lost",
    BreakKind.DISPUTE_UNKNOWN: "the dispute's notice was lost, or its charge is not ours",
    BreakKind.PAYOUT_MISMATCH: "the payout and its balance transaction have different amounts",
    BreakKind.REPORT_MISMATCH: "a report shows a transaction otherwise than it was read before",
    BreakKind.BALANCE_MISMATCH: "money on the provider's balance that no transaction explains",
    BreakKind.RECEIVABLE_OPEN: "the invoice is resolved but the journal still shows a receivable",
    BreakKind.UNREADABLE_OBJECT: (
        "in a currency or of a shape that this version doesn't know: it is not in the books"
    ),
    BreakCause.PAID_BETWEEN_ATTEMPTS: (
        "paid at the provider between two attempts: the settlement corrects it"
    ),
    BreakCause.REFUND_NOT_ADOPTABLE: (
        "a refund made at the provider, over more than is left of the payment or in another"
        " currency: it can't be adopted"
    ),
    BreakCause.REFUND_MADE_DESPITE_REFUSAL: (
        "the refund was made, although the answer to our request was a refusal"
    ),
    BreakCause.REFUND_MADE_TWICE: (
        "the refund was made twice: its first answer was lost for longer than its key lives"
    ),
    BreakCause.REFUNDED_AND_DISPUTED: (
        "the payment was refunded, and its cardholder's bank took it back as well"
    ),
    BreakCause.DISPUTED_ABOVE_CHARGE: (
        "the cardholder's bank took back more than was left of what the payment had taken"
    ),
    BreakCause.DISPUTED_IN_ANOTHER_CURRENCY: (
        "the dispute is in another currency than its payment: nothing of it is in the books"
    ),
    BreakCause.PAYOUT_NOT_ITS_MOVEMENTS: (
        "the movements that the payout carried come to another amount than was paid out, or its"
        " event told another one"
    ),
    BreakCause.SETTLEMENT_DECLINED: (
        "the provider had captured the payment and could not settle it: the money never comes"
    ),
}
_BY_CODE: Final = {str(code): words for code, words in _WORDS.items()}


def in_words(suggested_cause: str) -> str:
    """Return the sentence of a break's cause; old rows have a sentence already."""
    return _BY_CODE.get(suggested_cause, suggested_cause)
