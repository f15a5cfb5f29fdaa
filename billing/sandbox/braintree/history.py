"""A transaction's way through its statuses, with times and amounts."""

from billing.sandbox.braintree.call import MerchantCall
from billing.sandbox.braintree.notifications import notify
from billing.sandbox.store import Record

AUTHORIZED, SUBMITTED, SETTLING = "authorized", "submitted_for_settlement", "settling"
SETTLED, DECLINED, PENDING = "settled", "settlement_declined", "settlement_pending"
VOIDED, EXPIRED = "voided", "authorization_expired"
PROCESSOR_DECLINED, REJECTED, FAILED = "processor_declined", "gateway_rejected", "failed"
# No money was promised or moved; the answer to the request that made such a one is a 422.
UNSUCCESSFUL = frozenset((PROCESSOR_DECLINED, REJECTED, FAILED))
_TOLD = {SETTLED: "transaction_settled", DECLINED: "transaction_settlement_declined"}


def move(call: MerchantCall, record: Record, status: str, *, source: str = "api") -> None:
    """Give a transaction its next status, and tell of it what Braintree tells."""
    record["status"] = status
    record["history"].append(
        {"status": status, "at": call.now, "amount": record["amount"], "source": source}
    )
    call.update(record)
    if status in _TOLD:
        notify(call, _TOLD[status], record)


def at_of(record: Record, status: str) -> list[int]:
    """Return when a transaction came into a status."""
    return [each["at"] for each in record["history"] if each["status"] == status]
