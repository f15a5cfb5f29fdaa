"""What goes into a report: the account's balance transactions, read in batches.

The store is held for one batch at a time, so a long report doesn't hold up the requests.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from billing.sandbox import reports
from billing.sandbox.call import Call
from billing.sandbox.reports import ReportLine
from billing.sandbox.resources.balance_transactions import category
from billing.sandbox.store import Record, Store, load
from billing.sandbox.wallets import type_of

_BATCH = 1_000
_OF_PAYOUT = """
SELECT created, seq, body FROM objects
WHERE owner = ? AND kind = 'balance_transaction' AND (created, seq) > (?, ?)
  AND subtype <> 'payout' AND json_extract(body, '$.hidden') IS NULL
ORDER BY created, seq LIMIT ?
"""
_NOT_SETTLED = """
SELECT txn.created, txn.seq, txn.body FROM objects AS txn LEFT JOIN objects AS paid
  ON paid.id = txn.owner
WHERE txn.kind = 'balance_transaction' AND (txn.created, txn.seq) > (?, ?) AND txn.created < ?
  AND txn.subtype <> 'payout' AND json_extract(txn.body, '$.hidden') IS NULL
  AND (txn.owner IS NULL OR json_extract(paid.body, '$.arrival_date') >= ?)
ORDER BY txn.created, txn.seq LIMIT ?
"""
_BEGINNING = (-(2**62), 0)


def lines_of(call: Call, report_type: str, parameters: Mapping[str, Any]) -> Iterator[ReportLine]:
    """Return the lines of a report, oldest first and payout by payout."""
    if report_type == reports.ENDING:
        lines = _not_settled(call, parameters["interval_end"])
    else:
        payouts = _payouts(call, report_type, parameters)
        lines = (line for payout in payouts for line in _of_payout(call, payout))
    wanted, sort = parameters.get("currency"), parameters.get("reporting_category")
    for line in lines:
        if wanted in (None, line.currency) and sort in (None, line.category):
            yield line


def _payouts(call: Call, report_type: str, parameters: Mapping[str, Any]) -> list[Record]:
    with call.store.reading():
        if report_type == reports.PAYOUT_BY_ID:
            return [call.stored("payout", parameters["payout"])]
        arrival = "json_extract(body, '$.arrival_date')"
        bounds = [
            (f"{arrival} >= ?", parameters["interval_start"]),
            (f"{arrival} < ?", parameters["interval_end"]),
        ]
        return call.store.select("payout", bounds, oldest_first=True)


def _of_payout(call: Call, payout: Record) -> Iterator[ReportLine]:
    after = _BEGINNING
    while True:
        with call.store.reading():
            rows = call.store.rows(_OF_PAYOUT, (payout["id"], *after, _BATCH))
            batch = [_line(call.store, load(row[2]), payout) for row in rows]
        yield from batch
        if len(rows) < _BATCH:
            return
        after = rows[-1][:2]


def _not_settled(call: Call, end: int) -> Iterator[ReportLine]:
    after = _BEGINNING
    while True:
        with call.store.reading():
            rows = call.store.rows(_NOT_SETTLED, (*after, min(end, call.now + 1), end, _BATCH))
            batch = [_unsettled_line(call.store, load(row[2])) for row in rows]
        yield from batch
        if len(rows) < _BATCH:
            return
        after = rows[-1][:2]


def _unsettled_line(store: Store, record: Record) -> ReportLine:
    payout = record.get("payout")
    return _line(store, record, store.find("payout", payout) if payout else None)


def _line(store: Store, record: Record, payout: Record | None) -> ReportLine:
    about = record["source"] or ""
    source = _source(store, about)
    charge = store.find("charge", source["charge"]) if "charge" in source else source
    known = charge if charge and "payment_intent" in charge else {}
    customer = store.find("customer", known.get("customer") or "") or {}
    paid: Record = payout or {}
    negative = -1 if record["amount"] < 0 else 1
    return ReportLine(
        id=record["id"],
        created=record["created"],
        available_on=record["available_on"],
        currency=record["currency"],
        gross=record["amount"],
        fee=record["fee"],
        category=category(record),
        source=about,
        description=record["description"],
        payout=paid.get("id"),
        payout_effective_at=paid.get("arrival_date"),
        charge=known.get("id"),
        charge_created=known.get("created"),
        payment_intent=known.get("payment_intent"),
        facing_amount=negative * source["amount"] if known else None,
        facing_currency=source["currency"] if known else None,
        customer=known.get("customer"),
        customer_email=customer.get("email"),
        customer_name=customer.get("name"),
        customer_description=customer.get("description"),
        card=known.get("card", {}),
        method_type=type_of(known) if known else None,
        dispute_reason=source.get("reason") if about.startswith("dp_") else None,
        payment_metadata=known.get("metadata", {}),
        refund_metadata=source["metadata"] if about.startswith(("re_", "pyr_")) else {},
    )


def _source(store: Store, object_id: str) -> Record:
    for kind in ("charge", "refund", "dispute", "payout"):
        record = store.find(kind, object_id)
        if record is not None:
            return record
    return {}
