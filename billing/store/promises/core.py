"""Checking all promises: what constraints hold, and what no constraint can.

Each check is one statement over all rows; its every row is a finding. `journal/checks.py` checks
the ledger; `flows/prove.py` checks what has to be computed again in Python.
"""
# ruff: noqa: S608  statements are put together from constants of this file

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, text

from billing.rules.payments import TRANSITIONS
from billing.store.promises import calls, money
from billing.store.promises.check import STANDS, Check, check, in_words
from billing.store.promises.customers import ANOTHER_CUSTOMER

_PAID_STATES: Final = "('CAPTURED', 'SETTLED', 'REFUNDED')"

_LEGAL_COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "legal_from": [str(a) for (a, _), causes in TRANSITIONS.items() for _cause in causes],
    "legal_to": [str(b) for (_, b), causes in TRANSITIONS.items() for _cause in causes],
    "legal_cause": [str(cause) for causes in TRANSITIONS.values() for cause in causes],
}

# --- promise 1: one cycle a period --------------------------------------------------------------

RENEWAL_OVERDUE = check(
    """
    SELECT id, next_n, renews_at FROM subscriptions
     WHERE parked_at IS NULL AND renews_at IS NOT NULL AND renews_at <= :overdue""",
    "renews_at, id",
    lambda row: (
        f"subscription {row.id}: cycle {row.next_n} is due since {row.renews_at:%Y-%m-%d %H:%M} UTC"
        " and not opened"
    ),
)

# --- promise 2: one capture a cycle -------------------------------------------------------------

_CAPTURED_TWICE = check(
    """
    SELECT i.cycle_id, count(*) AS payments
      FROM payments p JOIN invoices i ON i.id = p.invoice_id
     WHERE p.captured_at IS NOT NULL OR p.amount_captured > 0
     GROUP BY i.cycle_id HAVING count(*) > 1""",
    "cycle_id",
    lambda row: f"cycle {row.cycle_id} has {row.payments} captured payments",
)

_CAPTURED_AMOUNT = check(
    f"""
    SELECT id, state, amount, amount_captured, currency, captured_at FROM payments
     WHERE NOT CASE WHEN state NOT IN {_PAID_STATES} THEN amount_captured = 0
                    WHEN capture_method = 'manual' THEN amount_captured BETWEEN 1 AND amount
                    ELSE amount_captured = amount END
        OR (state IN {_PAID_STATES}) <> (captured_at IS NOT NULL)""",
    "id",
    lambda row: (
        f"payment {row.id} is {row.state} over {in_words(row.amount, row.currency)}"
        f" with {in_words(row.amount_captured, row.currency)} captured"
    ),
)

_SHARED_AT_PROVIDER = check(
    """
    SELECT 'payment' AS kind, provider_payment_id AS id, count(*) AS payments
      FROM payments WHERE provider_payment_id IS NOT NULL
     GROUP BY provider_payment_id HAVING count(*) > 1
     UNION ALL
    SELECT 'charge', provider_charge_id, count(*)
      FROM payments WHERE provider_charge_id IS NOT NULL
     GROUP BY provider_charge_id HAVING count(*) > 1""",
    "kind, id",
    lambda row: f"{row.payments} payments name the provider's {row.kind} {row.id}",
)

_HISTORY = check(
    """
    SELECT h.* FROM (
      SELECT t.id, t.payment_id, t.from_state, t.to_state, t.cause,
             coalesce(lag(t.to_state) OVER (PARTITION BY t.payment_id ORDER BY t.id),
                      'CREATED') AS stood_at
        FROM payment_transitions t) h
      LEFT JOIN unnest(CAST(:legal_from AS text[]), CAST(:legal_to AS text[]),
                       CAST(:legal_cause AS text[])) AS legal(from_state, to_state, cause)
        ON (legal.from_state, legal.to_state, legal.cause) = (h.from_state, h.to_state, h.cause)
     WHERE h.from_state <> h.stood_at OR legal.cause IS NULL""",
    "payment_id, id",
    lambda row: (
        f"payment {row.payment_id}: its history says {row.from_state} -> {row.to_state}"
        f" ({row.cause}) when it was {row.stood_at}"
    ),
)

_STATE = check(
    """
    SELECT p.id, p.state, coalesce(t.to_state, 'CREATED') AS ends_at
      FROM payments p
      LEFT JOIN (SELECT DISTINCT ON (payment_id) payment_id, to_state
                   FROM payment_transitions ORDER BY payment_id, id DESC) t
        ON t.payment_id = p.id
     WHERE p.state <> coalesce(t.to_state, 'CREATED')""",
    "id",
    lambda row: f"payment {row.id} is {row.state}, but its history ends at {row.ends_at}",
)

_ATTEMPTS = check(
    f"""
    SELECT * FROM (
      SELECT p.id, p.state, p.capture_method, p.attempt_n, coalesce(a.attempts, 0) AS attempts,
             coalesce(a.first, 1) AS first, coalesce(a.last, 0) AS last,
             coalesce(a.open, 0) AS open, a.last_open, coalesce(a.succeeded, 0) AS succeeded,
             p.state IN {_PAID_STATES} AS paid
        FROM payments p
        LEFT JOIN (SELECT payment_id, count(*) AS attempts, min(n) AS first, max(n) AS last,
                          count(*) FILTER (WHERE finished_at IS NULL) AS open,
                          max(n) FILTER (WHERE finished_at IS NULL) AS last_open,
                          count(*) FILTER (WHERE outcome = 'succeeded') AS succeeded
                     FROM attempts GROUP BY payment_id) a
          ON a.payment_id = p.id) counted
     WHERE attempts <> attempt_n OR first <> 1 OR last <> attempts
        OR open > 1 OR (open = 1 AND (last_open <> attempt_n OR paid OR state = 'FAILED'))
        OR succeeded > 1
        OR (succeeded = 1 AND NOT paid
            AND NOT (capture_method = 'manual' AND state IN ('AUTHORIZED', 'FAILED')))
        OR (succeeded = 0 AND paid AND NOT EXISTS (
              SELECT FROM payment_transitions t
               WHERE t.payment_id = counted.id AND t.cause = 'forced_correction'))""",
    "id",
    lambda row: (
        f"payment {row.id} is {row.state} at attempt {row.attempt_n}, but has {row.attempts}"
        f" attempt(s) numbered {row.first} to {row.last}, {row.open} open,"
        f" {row.succeeded} succeeded"
    ),
)

# What was sent: the key ends in the attempt's number, and asks for what the payment collects.
_REQUESTS = check(
    """
    SELECT a.payment_id, a.n, a.idempotency_key, a.request, p.amount, p.currency
      FROM attempts a JOIN payments p ON p.id = a.payment_id
     WHERE a.request ->> 'idempotency_key' IS DISTINCT FROM a.idempotency_key
        OR a.idempotency_key NOT LIKE '%\\:a' || a.n
        OR a.request ->> 'amount' IS DISTINCT FROM p.amount::text
        OR a.request ->> 'currency' IS DISTINCT FROM p.currency
        OR a.request -> 'metadata' ->> 'payment' IS DISTINCT FROM p.id::text""",
    "payment_id, n",
    lambda row: (
        f"attempt {row.n} of payment {row.payment_id} (key {row.idempotency_key}) was sent as"
        f" {row.request.get('amount')} {row.request.get('currency')}, the payment is"
        f" {in_words(row.amount, row.currency)}"
    ),
)

CAPTURED_ONCE: Final = (
    _CAPTURED_TWICE,
    _CAPTURED_AMOUNT,
    _SHARED_AT_PROVIDER,
    _HISTORY,
    _STATE,
    _ATTEMPTS,
    _REQUESTS,
    *calls.CALLED_ONCE,
)

# --- promise 3: every penny is in the journal ---------------------------------------------------

_CAPTURE_BOOKED = check(
    f"""
    SELECT coalesce(p.id, j.payment) AS id, p.state, coalesce(p.currency, j.currency) AS currency,
           p.amount_captured, coalesce(j.entries, 0) AS entries, coalesce(j.amount, 0) AS booked
      FROM (SELECT id::text AS id, state, currency, amount_captured
              FROM payments WHERE captured_at IS NOT NULL) p
      FULL JOIN (
           SELECT split_part(e.source_key, ':', 2) AS payment, count(DISTINCT e.id) AS entries,
                  sum(l.amount) AS amount, min(l.currency) AS currency
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'psp_clearing'
            WHERE e.kind = 'payment_captured' AND {STANDS}
            GROUP BY 1) j
        ON j.payment = p.id
     WHERE p.id IS NULL OR j.entries IS DISTINCT FROM 1
        OR j.amount <> p.amount_captured OR j.currency <> p.currency""",
    "id",
    lambda row: (
        f"payment {row.id} is {row.state or 'not captured'} with"
        f" {in_words(row.amount_captured, row.currency)} captured; the journal has {row.entries}"
        f" payment_captured entry(s) over {in_words(row.booked, row.currency)}"
    ),
)

_INVOICE_BOOKED = check(
    """
    SELECT coalesce(i.id, j.invoice) AS id, i.number, coalesce(i.currency, j.currency) AS currency,
           i.total, coalesce(j.entries, 0) AS entries, coalesce(j.receivable, 0) AS booked
      FROM (SELECT id::text AS id, number, currency, net, tax, total, customer_id
              FROM invoices WHERE total > 0) i
      FULL JOIN (
           SELECT split_part(e.source_key, ':', 2) AS invoice, count(DISTINCT e.id) AS entries,
                  min(l.currency) AS currency,
                  sum(l.amount) FILTER (WHERE a.code = 'receivable') AS receivable,
                  -sum(l.amount) FILTER (WHERE a.code = 'deferred_revenue') AS net,
                  -sum(l.amount) FILTER (WHERE a.code = 'tax_payable') AS tax,
                  (array_agg(a.owner_id) FILTER (WHERE a.code = 'receivable'))[1] AS owner
             FROM ledger.entries e
             JOIN ledger.postings l ON l.entry_id = e.id
             JOIN ledger.accounts a ON a.id = l.account_id
            WHERE e.kind = 'invoice_issued'
            GROUP BY 1) j
        ON j.invoice = i.id
     WHERE i.id IS NULL OR j.entries IS DISTINCT FROM 1 OR j.currency <> i.currency
        OR j.receivable IS DISTINCT FROM i.total OR coalesce(j.net, 0) <> i.net
        OR coalesce(j.tax, 0) <> i.tax OR j.owner IS DISTINCT FROM i.customer_id""",
    "id",
    lambda row: (
        f"invoice {row.number or row.id} over {in_words(row.total, row.currency)}: the journal has"
        f" {row.entries} invoice_issued entry(s) over {in_words(row.booked, row.currency)},"
        " or splits or owns it otherwise"
    ),
)

_TAKEN_BACK = check(
    f"""
    SELECT i.number, i.status, coalesce(j.write_offs, 0) AS write_offs,
           coalesce(j.voids, 0) AS voids
      FROM invoices i
      LEFT JOIN (
           SELECT split_part(e.source_key, ':', 2) AS invoice,
                  count(*) FILTER (WHERE e.kind = 'write_off') AS write_offs,
                  count(*) FILTER (WHERE e.kind = 'invoice_voided') AS voids
             FROM ledger.entries e
            WHERE e.kind IN ('write_off', 'invoice_voided') AND {STANDS}
            GROUP BY 1) j
        ON j.invoice = i.id::text
     WHERE i.total > 0
       AND ((i.status = 'uncollectible')::int <> coalesce(j.write_offs, 0)
            OR (i.status = 'void')::int <> coalesce(j.voids, 0))""",
    "number",
    lambda row: (
        f"invoice {row.number} is {row.status}, but the journal has {row.write_offs} write-off(s)"
        f" and {row.voids} void entry(s) of it that stand"
    ),
)

_INVOICE_AND_PAYMENT = check(
    f"""
    SELECT i.number, i.status, i.total, i.currency, p.state, p.amount, p.currency AS paid_in
      FROM invoices i LEFT JOIN payments p ON p.invoice_id = i.id
     WHERE (i.total > 0) <> (p.id IS NOT NULL)
        OR p.id IS NOT NULL
           AND ((p.amount, p.currency, p.customer_id, p.subscription_id)
                IS DISTINCT FROM (i.total, i.currency, i.customer_id, i.subscription_id)
                OR NOT (p.state IN ('CREATED', 'AUTHORIZED') AND i.status = 'open'
                        OR p.state IN {_PAID_STATES} AND i.status = 'paid'
                        OR p.state = 'FAILED' AND i.status IN ('void', 'uncollectible')))""",
    "number",
    lambda row: (
        f"invoice {row.number} over {in_words(row.total, row.currency)} is {row.status}, its"
        + (
            f" payment over {in_words(row.amount, row.paid_in)} is {row.state}"
            if row.state
            else " payment is missing"
        )
    ),
)

_LINES = check(
    """
    SELECT i.number, i.net, i.currency, coalesce(l.amount, 0) AS amount
      FROM invoices i
      LEFT JOIN (SELECT invoice_id, sum(amount) AS amount FROM invoice_lines
                  GROUP BY invoice_id) l ON l.invoice_id = i.id
     WHERE i.net <> coalesce(l.amount, 0)""",
    "number",
    lambda row: (
        f"invoice {row.number} has a net of {in_words(row.net, row.currency)}, its lines add up to"
        f" {in_words(row.amount, row.currency)}"
    ),
)

_CYCLE_AND_INVOICE = check(
    """
    SELECT c.subscription_id, c.n, c.kind, i.number
      FROM cycles c LEFT JOIN invoices i ON i.cycle_id = c.id
     WHERE (c.kind = 'regular') <> (i.id IS NOT NULL)
        OR i.subscription_id <> c.subscription_id""",
    "subscription_id, n",
    lambda row: (
        f"cycle {row.n} of subscription {row.subscription_id} is {row.kind} and has"
        f" {'invoice ' + row.number if row.number else 'no invoice'}"
    ),
)

EVERY_PENNY: Final = (
    ANOTHER_CUSTOMER,
    _CYCLE_AND_INVOICE,
    _LINES,
    _INVOICE_AND_PAYMENT,
    _INVOICE_BOOKED,
    _CAPTURE_BOOKED,
    _TAKEN_BACK,
    *money.EVERY_PENNY,
)

# --- promise 4: closed means agreed -------------------------------------------------------------

_CLOSED_UNRESOLVED = check(
    """
    SELECT c.subscription_id, c.n, i.number, i.status, p.state, p.confirmed_at, p.settled_at
      FROM cycles c
      JOIN invoices i ON i.cycle_id = c.id
      LEFT JOIN payments p ON p.invoice_id = i.id
     WHERE c.state = 'closed'
       AND (i.status = 'paid' AND (p.id IS NULL OR p.confirmed_at IS NOT NULL
                                                   AND p.settled_at IS NOT NULL)
            OR i.status IN ('void', 'uncollectible') AND p.state = 'FAILED') IS NOT TRUE""",
    "subscription_id, n",
    lambda row: (
        f"cycle {row.n} of subscription {row.subscription_id} is closed, but invoice {row.number}"
        f" is {row.status}, its payment {row.state or 'missing'}"
        f"{'' if row.confirmed_at else ' and not confirmed by the provider'}"
        f"{'' if row.settled_at else ' and not settled'}"
    ),
)

_CLOSED_OWING = check(
    """
    SELECT c.subscription_id, c.n, l.currency, sum(l.amount) AS owed
      FROM cycles c
      JOIN ledger.entries e ON e.cycle_id = c.id
      JOIN ledger.postings l ON l.entry_id = e.id
      JOIN ledger.accounts a ON a.id = l.account_id AND a.code = 'receivable'
     WHERE c.state = 'closed'
     GROUP BY c.subscription_id, c.n, l.currency HAVING sum(l.amount) <> 0""",
    "subscription_id, n",
    lambda row: (
        f"cycle {row.n} of subscription {row.subscription_id} is closed with"
        f" {in_words(row.owed, row.currency)} receivable"
    ),
)

_CLOSED_UNDECIDED = check(
    """
    SELECT c.subscription_id, c.n, a.n AS attempt
      FROM attempts a
      JOIN payments p ON p.id = a.payment_id
      JOIN invoices i ON i.id = p.invoice_id
      JOIN cycles c ON c.id = i.cycle_id
     WHERE a.finished_at IS NULL AND c.state = 'closed'""",
    "subscription_id, n",
    lambda row: (
        f"cycle {row.n} of subscription {row.subscription_id} is closed while attempt {row.attempt}"
        " of its payment is open"
    ),
)

_CLOSED_WITH_BREAK = check(
    """
    SELECT c.subscription_id, c.n, b.id, b.kind
      FROM breaks b
      LEFT JOIN payments p ON p.id = b.payment_id
      LEFT JOIN invoices i ON i.id = p.invoice_id
      JOIN cycles c ON c.id = coalesce(b.cycle_id, i.cycle_id)
     WHERE b.resolved_at IS NULL AND c.state = 'closed'""",
    "subscription_id, n, id",
    lambda row: (
        f"cycle {row.n} of subscription {row.subscription_id} is closed, and break {row.id}"
        f" ({row.kind}) is open"
    ),
)

CLOSED_AGREES: Final = (
    _CLOSED_UNRESOLVED,
    _CLOSED_OWING,
    _CLOSED_UNDECIDED,
    _CLOSED_WITH_BREAK,
)

# --- promise 5: nothing is abandoned silently ---------------------------------------------------

_NOTHING_FOLLOWS = check(
    """
    SELECT id, state, decision FROM payments
     WHERE state IN ('CREATED', 'AUTHORIZED') AND next_attempt_at IS NULL AND parked_at IS NULL""",
    "id",
    lambda row: (
        f"payment {row.id} is {row.state} with no attempt to come and is not parked"
        f" (last decision: {row.decision or 'none'})"
    ),
)

_NEVER_RENEWS = check(
    """
    SELECT id, status FROM subscriptions
     WHERE renews_at IS NULL AND status NOT IN ('canceled', 'unpaid')""",
    "id",
    lambda row: f"subscription {row.id} is {row.status} and will never renew",
)

NOTHING_ABANDONED: Final = (_NOTHING_FOLLOWS, _NEVER_RENEWS)

_ATTEMPT_OVERDUE = check(
    """
    SELECT p.id, p.next_attempt_at, p.next_attempt_kind, a.n AS open_attempt, a.last_error
      FROM payments p
      LEFT JOIN attempts a ON a.payment_id = p.id AND a.finished_at IS NULL
     WHERE p.next_attempt_at IS NOT NULL AND p.parked_at IS NULL
       AND p.next_attempt_at <= :overdue AND a.unknown_since IS NULL""",
    "next_attempt_at, id",
    lambda row: (
        f"payment {row.id}: its {row.next_attempt_kind} attempt is due since"
        f" {row.next_attempt_at:%Y-%m-%d %H:%M} UTC and "
        + (
            f"attempt {row.open_attempt} has no outcome: {row.last_error or 'no answer yet'}"
            if row.open_attempt
            else "not begun"
        )
    ),
)

_UNCONFIRMED = check(
    """
    SELECT id, captured_at, provider_payment_id FROM payments p
     WHERE captured_at IS NOT NULL AND confirmed_at IS NULL AND captured_at <= :unreconciled
       AND NOT EXISTS (SELECT FROM breaks b WHERE b.payment_id = p.id AND b.resolved_at IS NULL)""",
    "captured_at, id",
    lambda row: (
        f"payment {row.id} ({row.provider_payment_id}) was captured on"
        f" {row.captured_at:%Y-%m-%d %H:%M} UTC and never compared with the provider's list"
    ),
)

OVERDUE: Final = (_ATTEMPT_OVERDUE, _UNCONFIRMED)

# --- running and counting -----------------------------------------------------------------------


def findings(
    conn: Connection, checks: Sequence[Check], params: Mapping[str, Any] | None = None
) -> list[str]:
    """Run the checks and return what they found, in their order."""
    given = {**_LEGAL_COLUMNS, **(params or {})}
    return [words for check in checks for words in check.run(conn, given)]


_COUNTS = {
    1: """
       SELECT (SELECT count(*) FROM subscriptions) AS subscriptions,
              (SELECT count(*) FROM subscriptions WHERE parked_at IS NOT NULL)
                AS subscriptions_parked,
              (SELECT count(*) FROM cycles) AS cycles""",
    2: """
       SELECT count(*) AS payments,
              count(*) FILTER (WHERE captured_at IS NOT NULL) AS payments_captured,
              (SELECT count(*) FROM payment_transitions) AS transitions,
              (SELECT count(*) FROM attempts) AS attempts
         FROM payments""",
    3: """
       SELECT (SELECT count(*) FROM ledger.entries) AS entries,
              (SELECT count(*) FROM ledger.postings) AS postings,
              (SELECT count(*) FROM invoices) AS invoices,
              (SELECT count(DISTINCT currency) FROM ledger.accounts) AS currencies""",
    4: """
       SELECT (SELECT count(*) FROM cycles WHERE state = 'closed') AS cycles_closed,
              (SELECT count(*) FROM cycles WHERE state = 'opened') AS cycles_open,
              (SELECT count(*) FROM breaks WHERE resolved_at IS NULL) AS breaks_open,
              (SELECT count(*) FROM breaks WHERE resolved_at IS NOT NULL) AS breaks_resolved""",
    5: """
       SELECT (SELECT count(*) FROM payments WHERE state IN ('CREATED', 'AUTHORIZED'))
                AS payments_undecided,
              (SELECT count(*) FROM payments WHERE parked_at IS NOT NULL) AS payments_parked,
              (SELECT count(*) FROM subscriptions WHERE parked_at IS NOT NULL)
                AS subscriptions_parked,
              (SELECT count(*) FROM attempts WHERE finished_at IS NULL) AS attempts_open,
              (SELECT count(*) FROM attempts
                WHERE finished_at IS NULL AND unknown_since IS NOT NULL) AS attempts_unknown""",
}


def counts(conn: Connection, promise: int) -> dict[str, int]:
    """Return how many rows a promise is about."""
    row = conn.execute(text(_COUNTS[promise])).one()
    return {name: int(value) for name, value in row._mapping.items()}


_OPEN_BREAKS = text(
    "SELECT kind, count(*) AS n FROM breaks WHERE resolved_at IS NULL GROUP BY kind ORDER BY kind"
)


def open_breaks(conn: Connection) -> dict[str, int]:
    """Count the unresolved breaks by kind."""
    return {f"breaks_open_{row.kind}": int(row.n) for row in conn.execute(_OPEN_BREAKS)}


# --- what is computed again in Python -----------------------------------------------------------

_SCHEDULES = text(
    """
    SELECT s.id, s.anchor_local, s.zone, s.every, s.trial, s.anchor_day, s.next_n, s.renews_at,
           c.n, c.kind, c.period_start, c.period_end
      FROM subscriptions s LEFT JOIN cycles c ON c.subscription_id = s.id
     ORDER BY s.id, c.n
    """
)


def schedules_with_cycles(conn: Connection, batch: int) -> Iterator[Sequence[Row[Any]]]:
    """Yield, a subscription at a time, what its cycles are computed from and the cycles it has.

    Read through a cursor of the server, `batch` rows a fetch: nothing is held in memory.
    """
    options = {"stream_results": True, "yield_per": batch}
    with conn.execute(_SCHEDULES, execution_options=options) as rows:
        for _, group in groupby(rows, key=attrgetter("id")):
            yield list(group)


_CLOSED = text(
    """
    SELECT id, subscription_id, n, digest FROM cycles
     WHERE state = 'closed' AND id > :after ORDER BY id LIMIT :batch
    """
)


def closed_cycles(conn: Connection, batch: int) -> Iterator[Sequence[Row[Any]]]:
    """Yield the closed cycles with the digests they were closed with, `batch` at a time."""
    after = UUID(int=0)
    while rows := conn.execute(_CLOSED, {"after": after, "batch": batch}).all():
        yield rows
        after = rows[-1].id
