"""Comparing the provider's records with ours. Pure: both sides in, a judgement out."""

from billing.rules.reconciliation.adjustments import (
    ACCEPTABLE,
    lacking,
    needs_second_person,
    still_lacking,
    suggested_adjustment,
)
from billing.rules.reconciliation.breaks import BreakCause, BreakFound, BreakKind, dedupe_key
from billing.rules.reconciliation.charges import (
    Confirmed,
    Difference,
    NotYet,
    OurSide,
    ProviderSide,
    Verdict,
    compare,
)
from billing.rules.reconciliation.engines import MARK, is_of_another
from billing.rules.reconciliation.movements import (
    BOOKED_BY_KIND,
    BOOKED_BY_RULE,
    DISPUTES,
    OF_CUSTOMERS,
    PAYOUTS,
    REFUNDS,
    MovementKind,
    RowOutcome,
    best_made,
    rate_makes,
)
from billing.rules.reconciliation.notes import BreakNoteKind
from billing.rules.reconciliation.payouts import ENDED, PayoutStatus
from billing.rules.reconciliation.runs import STEPS, RunSource, RunState, StepState
from billing.rules.reconciliation.tie_out import TieOutReason

__all__ = [
    "ACCEPTABLE",
    "BOOKED_BY_KIND",
    "BOOKED_BY_RULE",
    "DISPUTES",
    "ENDED",
    "MARK",
    "OF_CUSTOMERS",
    "PAYOUTS",
    "REFUNDS",
    "STEPS",
    "BreakCause",
    "BreakFound",
    "BreakKind",
    "BreakNoteKind",
    "Confirmed",
    "Difference",
    "MovementKind",
    "NotYet",
    "OurSide",
    "PayoutStatus",
    "ProviderSide",
    "RowOutcome",
    "RunSource",
    "RunState",
    "StepState",
    "TieOutReason",
    "Verdict",
    "best_made",
    "compare",
    "dedupe_key",
    "is_of_another",
    "lacking",
    "needs_second_person",
    "rate_makes",
    "still_lacking",
    "suggested_adjustment",
]
