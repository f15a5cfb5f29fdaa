"""Opening a dispute, and what each step of it moves."""

from billing.sandbox.braintree.call import DISPUTE, MerchantCall, new_ref
from billing.sandbox.braintree.disbursing import disbursement_day, plan_disbursement
from billing.sandbox.braintree.notifications import notify
from billing.sandbox.braintree.settings import DAY
from billing.sandbox.braintree.xml import day_text
from billing.sandbox.store import Record

KINDS = ("chargeback", "pre_arbitration", "retrieval")
# Braintree's reasons, with a network's code for each.
REASONS = {
    "cancelled_recurring_transaction": "13.2",
    "credit_not_processed": "13.6",
    "duplicate": "12.6.1",
    "fraud": "10.4",
    "general": "00",
    "invalid_account": "12.4",
    "not_recognized": "75",
    "product_not_received": "13.1",
    "product_unsatisfactory": "13.3",
    "retrieval": "30",
    "transaction_amount_differs": "12.5",
}
_REPLY_DAYS = 10
_STORAGE = 4 * 1024 * 1024


def open_dispute(
    call: MerchantCall,
    sale: Record,
    *,
    kind: str = "chargeback",
    reason: str | None = None,
    amount: int | None = None,
    original: str | None = None,
) -> Record:
    """Open a dispute about a sale. A chargeback takes the amount at once, a retrieval nothing."""
    chosen = reason or ("retrieval" if kind == "retrieval" else "fraud")
    today = day_text(call.now)
    record: Record = {
        "kind": kind,
        "status": "open",
        "reason": chosen,
        "reason_code": REASONS[chosen],
        "amount": sale["amount"] if amount is None else amount,
        "amount_won": 0,
        "currency": sale["currency"],
        "case_number": f"CB{new_ref(10).upper()}",
        "reference_number": f"REF{new_ref(8).upper()}",
        "opened_on": today,
        "won_on": None,
        "reply_by": day_text(call.now + _REPLY_DAYS * DAY),
        "merchant_account": sale["merchant_account"],
        "customer": sale["customer"],
        "customer_ref": sale["customer_ref"],
        "original": original,
        "evidence": [],
        "storage": _STORAGE,
        "history": [],
        "transaction": {
            **{name: sale[name] for name in ("id", "ref", "amount", "created", "order_id")},
            "subtype": sale["instrument"].get("card_type"),
        },
    }
    call.insert(DISPUTE, record, ref=new_ref(16), parent=sale["id"])
    sale["disputes"] = [*sale["disputes"], record["id"]]
    call.update(sale)
    step(call, record, "open", moves=takes(record))
    return record


def takes(record: Record) -> bool:
    """Whether a dispute takes money: a retrieval only asks."""
    return bool(record["kind"] != "retrieval")


def step(call: MerchantCall, record: Record, status: str, *, moves: bool = False) -> None:
    """Give a dispute its next status; `moves` when the account gains or loses by it."""
    record["status"] = status
    record["history"].append(
        {
            "at": call.now,
            "status": status,
            "effective_on": day_text(call.now),
            "disbursed_on": disbursement_day(call) if moves else None,
        }
    )
    if moves:
        plan_disbursement(call, record["merchant_account"])
    if status == "won":
        record["won_on"] = day_text(call.now)
        record["amount_won"] = record["amount"] if takes(record) else 0
    call.update(record)
    told = "opened" if status == "open" else status
    notify(call, f"dispute_{told}", record)
