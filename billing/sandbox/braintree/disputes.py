"""Disputes: found, searched, accepted, finalised, and their evidence."""

from billing.sandbox.braintree.call import DISPUTE, MerchantCall, new_ref
from billing.sandbox.braintree.dispute_opening import step
from billing.sandbox.braintree.dispute_view import dispute_view, evidence_view
from billing.sandbox.braintree.money import comparable, decimal_text
from billing.sandbox.braintree.replies import NoSuchObject, XmlReply, refuse
from billing.sandbox.braintree.routing import XmlRoute
from billing.sandbox.braintree.searching import PAGE_SIZE, Field, matches, text_of
from billing.sandbox.braintree.xml import Repeated
from billing.sandbox.store import Record

_FIELDS: dict[str, Field] = {
    "id": Field("text", lambda _, r: [r["ref"]]),
    "case_number": Field("text", lambda _, r: [r["case_number"]]),
    "reference_number": Field("text", lambda _, r: [r["reference_number"]]),
    "transaction_id": Field("text", lambda _, r: [r["transaction"]["ref"]]),
    "customer_id": Field("text", lambda _, r: text_of([r["customer_ref"]])),
    "kind": Field("list", lambda _, r: [r["kind"]]),
    "status": Field("list", lambda _, r: [r["status"]]),
    "reason": Field("list", lambda _, r: [r["reason"]]),
    "reason_code": Field("list", lambda _, r: [r["reason_code"]]),
    "merchant_account_id": Field("list", lambda _, r: [r["merchant_account"]]),
    "pre_dispute_program": Field("list", lambda _, r: ["none"]),
    "amount_disputed": Field("amount", lambda _, r: _amount(r, "amount")),
    "amount_won": Field("amount", lambda _, r: _amount(r, "amount_won")),
    "received_date": Field("day", lambda _, r: [r["opened_on"]]),
    "reply_by_date": Field("day", lambda _, r: [r["reply_by"]]),
    "effective_date": Field("day", lambda _, r: [e["effective_on"] for e in r["history"]]),
    "disbursement_date": Field(
        "day", lambda _, r: text_of(e["disbursed_on"] for e in r["history"])
    ),
}


def _amount(record: Record, name: str) -> list[int | None]:
    return [comparable(decimal_text(record[name], record["currency"]))]


def _find(call: MerchantCall) -> XmlReply:
    return XmlReply(200, "dispute", dispute_view(call, call.named(DISPUTE)))


def _search(call: MerchantCall) -> XmlReply:
    found = matches(call, DISPUTE, _FIELDS)
    number = int(call.query.get("page", "1"))
    some = found[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
    return XmlReply(
        200,
        "disputes",
        {
            "current_page_number": number,
            "page_size": PAGE_SIZE,
            "total_items": len(found),
            "dispute": Repeated([dispute_view(call, each) for each in some]),
        },
    )


def _open(call: MerchantCall, code: str) -> Record:
    record = call.named(DISPUTE)
    if record["status"] != "open":
        raise refuse("dispute", "status", code)
    return record


def _accept(call: MerchantCall) -> XmlReply:
    step(call, _open(call, "95704"), "accepted")
    return XmlReply(200)


def _finalize(call: MerchantCall) -> XmlReply:
    step(call, _open(call, "95705"), "disputed")
    return XmlReply(200)


def _add_evidence(call: MerchantCall) -> XmlReply:
    record = _open(call, "95701")
    given = call.params.get("evidence") or {}
    number = given.get("sequence_number")
    evidence = {
        "id": new_ref(16),
        "comment": given.get("comments"),
        "category": given.get("category"),
        "sequence_number": None if number is None else int(number),
        "url": None,
        "created": call.now,
    }
    record["evidence"] = [*record["evidence"], evidence]
    call.update(record)
    return XmlReply(201, "evidence", evidence_view(evidence))


def _remove_evidence(call: MerchantCall) -> XmlReply:
    record = _open(call, "95702")
    kept = [each for each in record["evidence"] if each["id"] != call.path[1]]
    if len(kept) == len(record["evidence"]):
        raise NoSuchObject
    record["evidence"] = kept
    call.update(record)
    return XmlReply(200)


ROUTES = (
    XmlRoute("POST", "disputes/advanced_search", _search, reads=True),
    XmlRoute("GET", "disputes/*", _find),
    XmlRoute("PUT", "disputes/*/accept", _accept),
    XmlRoute("PUT", "disputes/*/finalize", _finalize),
    XmlRoute("POST", "disputes/*/evidence", _add_evidence),
    XmlRoute("DELETE", "disputes/*/evidence/*", _remove_evidence),
)
