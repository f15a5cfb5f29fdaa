"""Disputes as they are shown."""

from billing.sandbox.braintree.call import MerchantCall
from billing.sandbox.braintree.money import decimal_text
from billing.sandbox.braintree.xml import Day, Listed, Node, When
from billing.sandbox.store import Record


def dispute_view(call: MerchantCall, record: Record) -> Node:
    """Return a dispute."""
    currency = record["currency"]
    return {
        "id": record["ref"],
        "global_id": record["id"],
        "amount": decimal_text(record["amount"], currency),
        "amount_disputed": decimal_text(record["amount"], currency),
        "amount_won": decimal_text(record["amount_won"], currency),
        "case_number": record["case_number"],
        "currency_iso_code": currency,
        "created_at": When(record["created"]),
        "updated_at": When(record["updated"]),
        "date_opened": Day(record["opened_on"]),
        "date_won": Day(record["won_on"]),
        "received_date": Day(record["opened_on"]),
        "reply_by_date": Day(record["reply_by"]),
        "kind": record["kind"],
        "status": record["status"],
        "reason": record["reason"],
        "reason_code": record["reason_code"],
        "reason_description": None,
        "reference_number": record["reference_number"],
        "original_dispute_id": record["original"],
        "merchant_account_id": record["merchant_account"],
        "processor_comments": None,
        "forwarded_comments": None,
        "pre_dispute_program": "none",
        "remaining_file_evidence_storage": record["storage"],
        "evidence": Listed("evidence", [evidence_view(each) for each in record["evidence"]]),
        "paypal_messages": Listed("paypal_message", []),
        "status_history": Listed("status_history", [_event(each) for each in record["history"]]),
        "transaction": _transaction(record),
    }


def _event(event: Record) -> Node:
    return {
        "timestamp": When(event["at"]),
        "status": event["status"],
        "effective_date": Day(event["effective_on"]),
        "disbursement_date": Day(event["disbursed_on"]),
    }


def _transaction(record: Record) -> Node:
    sale = record["transaction"]
    return {
        "id": sale["ref"],
        "global_id": sale["id"],
        "amount": decimal_text(sale["amount"], record["currency"]),
        "created_at": When(sale["created"]),
        "order_id": sale["order_id"],
        "purchase_order_number": None,
        "payment_instrument_subtype": sale["subtype"],
        "installment_count": None,
    }


def evidence_view(evidence: Record) -> Node:
    """Return a piece of evidence."""
    return {
        "id": evidence["id"],
        "global_id": evidence["id"],
        "comment": evidence["comment"],
        "category": evidence["category"],
        "sequence_number": evidence["sequence_number"],
        "url": evidence["url"],
        "created_at": When(evidence["created"]),
        "sent_to_processor_at": Day(None),
    }
