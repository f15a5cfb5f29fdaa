"""The kinds of a provider's answers, in neutral words.

Each gateway maps its provider's spelling to these. Kinds that rules decide by are defined with the
rule and imported here too, so that this module lists all of them.
"""

from enum import StrEnum
from typing import Literal

from billing.rules.disputes import DisputeStage
from billing.rules.dunning import Advice, DeclineClass
from billing.rules.payment_methods import PaymentMethodKind
from billing.rules.payments import PaymentStatus, RefusalReason
from billing.rules.provider_events import EventKind
from billing.rules.reconciliation import MovementKind, PayoutStatus
from billing.rules.refunds import RefundFailure, RefundStatus

__all__ = [
    "Advice",
    "DeclineClass",
    "DeliveryFault",
    "DisputeStage",
    "Doubt",
    "EventKind",
    "FaultKind",
    "MovementKind",
    "PaymentMethodKind",
    "PaymentStatus",
    "PayoutStatus",
    "RefundFailure",
    "RefundStatus",
    "RefusalReason",
    "SignatureFault",
]


class FaultKind(StrEnum):
    """Why a request has no object as its answer; also the bounded label of the failure metric."""

    CARD = "card"
    INVALID_REQUEST = "invalid_request"
    IDEMPOTENCY = "idempotency"
    PERMISSION = "permission"
    AUTHENTICATION = "authentication"
    RATE_LIMIT = "rate_limit"
    NOT_SENT = "not_sent"
    CONFLICT = "conflict"
    DEPENDENCY = "dependency"
    SERVER = "server"
    DEADLINE = "deadline"
    TIMEOUT = "timeout"
    TLS = "tls"
    CONNECTION = "connection"
    GARBAGE = "garbage"
    UNEXPECTED = "unexpected"


class Doubt(StrEnum):
    """Why a readable answer isn't a definite outcome; a metric label too."""

    CONTRADICTION = "contradiction"
    NOT_FOUND_YET = "not_found_yet"
    PROCESSING = "processing"
    SEVERAL_PAYMENTS = "several_payments"
    UNEXPECTED_STATUS = "unexpected_status"
    WRONG_AMOUNT = "wrong_amount"
    WRONG_CURRENCY = "wrong_currency"
    WRONG_ID = "wrong_id"


SignatureFault = Literal["missing", "malformed", "no_match", "too_old", "from_the_future"]
"""Why a webhook delivery isn't accepted as genuine."""

DeliveryFault = Literal["wrong_mode", "wrong_account", "too_large", "not_json"]
"""Why a webhook delivery isn't meant for this engine."""
