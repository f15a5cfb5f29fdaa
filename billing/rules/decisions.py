"""What was decided about a payment: a kind and facts. `billing.presenters.decisions` has the words.

A payment keeps the last decision on it, an attempt the one that followed it. Facts are stored as
JSON: instants in ISO 8601, amounts in minor units beside their currency.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from billing.rules.facts import as_json


class DecisionKind(StrEnum):
    """The kinds of decisions."""

    # After a decline.
    RETRY = "retry"
    """The next rung of the ladder; the budget of the payment method may hold it back."""
    WAIT_FOR_CUSTOMER = "wait_for_customer"
    HARD_DECLINE = "hard_decline"
    LADDER_OVER = "ladder_over"
    LADDER_ENDED = "ladder_ended"
    """The ladder's end has come; the budget of the payment method had put attempts off."""
    METHOD_CHANGED_MEANWHILE = "method_changed_meanwhile"
    CANCELED_MEANWHILE = "canceled_meanwhile"
    NO_LADDER = "no_ladder"
    """A charge without an invoice: its first decline is final."""
    CUSTOMER_DID_NOTHING = "customer_did_nothing"
    """The ladder is over, and the payment method wasn't changed."""
    CANCELED_BEFORE = "canceled_before"
    """The subscription was canceled before anything was collected."""

    # Before an attempt.
    METHOD_CHANGED = "method_changed"
    RETRIED_BY_HAND = "retried_by_hand"
    HELD_BY_BUDGET = "held_by_budget"

    # After another outcome.
    CAPTURED = "captured"
    REQUEST_REFUSED = "request_refused"
    CANCELED_AT_PROVIDER = "canceled_at_provider"
    ABSENT = "absent"
    ABSENT_AND_CANCELED = "absent_and_canceled"
    INVOICE_VOIDED = "invoice_voided"
    FOUND_IN_SETTLEMENT = "found_in_settlement"
    CORRECTED_BY_SETTLEMENT = "corrected_by_settlement"

    # Of an authorisation.
    AUTHORISED = "authorised"
    CAPTURE_REQUESTED = "capture_requested"
    VOID_REQUESTED = "void_requested"
    REQUEST_WITHDRAWN = "request_withdrawn"
    """The provider refused the request of a caller of the API, who was told so."""
    AUTHORISATION_CAPTURED = "authorisation_captured"
    CAPTURED_BEFORE_VOID = "captured_before_void"
    CAPTURE_DECLINED = "capture_declined"
    CAPTURE_REFUSED = "capture_refused"
    AUTHORISATION_GONE = "authorisation_gone"
    AUTHORISATION_EXPIRED = "authorisation_expired"


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision, with what it depends on as values that JSON has."""

    kind: DecisionKind
    facts: Mapping[str, Any] = field(default_factory=dict)

    def and_also(self, **facts: object) -> "Decision":
        """Return the same decision with more facts."""
        return Decision(self.kind, {**self.facts, **as_json(facts)})


def decided(kind: DecisionKind, **facts: object) -> Decision:
    """Return a decision of that kind."""
    return Decision(kind, as_json(facts))


def evidence_of(decision: Decision) -> dict[str, Any]:
    """Return a decision as evidence of what it led to, for histories."""
    return {"decision": str(decision.kind), "decision_facts": dict(decision.facts)}
