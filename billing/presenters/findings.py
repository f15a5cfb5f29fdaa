"""The findings of a proof, in sentences."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from billing.ledger.findings import LedgerFinding
from billing.presenters import ledger_findings
from billing.presenters.credit_findings import CREDIT_WORDS
from billing.presenters.decisions import in_words as in_words_of
from billing.presenters.fact_findings import FACT_WORDS
from billing.presenters.note_findings import NOTE_WORDS
from billing.presenters.number_findings import NUMBER_WORDS
from billing.presenters.revenue_findings import REVENUE_WORDS
from billing.presenters.text import amount
from billing.presenters.usage_findings import USAGE_WORDS
from billing.rules.promises import Finding, FindingKind

Facts = Mapping[str, Any]


def in_words(finding: Finding | LedgerFinding) -> str:
    """Return a finding as a sentence."""
    if isinstance(finding, LedgerFinding):
        subject, what = ledger_findings.subject(finding), ledger_findings.what(finding)
        return f"ledger, {finding.check}: {subject}: {what}"
    if finding.more:
        return f"and {finding.more:,} more {_PLURALS.get(finding.kind, 'of this kind')}"
    return _WORDS[finding.kind](finding.facts)


# Kinds that are counted together with others.
_PLURALS: Final[Mapping[FindingKind, str]] = {
    FindingKind.CYCLE_OFF_SCHEDULE: "cycles that aren't where their schedule puts them",
    FindingKind.NOTE_AGAINST_FACTS: "lines of credit notes that aren't what invoices make them",
    FindingKind.DIGEST_DIFFERS: "cycles whose digest differs",
    FindingKind.INVOICE_AGAINST_FACTS: "differences between invoices, facts and terms",
}

_WORDS: Final[Mapping[FindingKind, Callable[[Facts], str]]] = {
    FindingKind.SCHEDULE_UNUSABLE: lambda row: (
        f"subscription {row['subscription']}: its schedule can't be computed: {row['error']}"
    ),
    FindingKind.CYCLES_MISSING: lambda row: (
        f"subscription {row['subscription']}: the next cycle is number {row['next_n']}, but it"
        f" has"
        f" {row['cycles']} cycles"
        + (f", without number {row['missing']}" if row["missing"] is not None else "")
    ),
    FindingKind.CYCLE_OFF_SCHEDULE: lambda row: (
        f"subscription {row['subscription']}: cycle {row['n']} runs from {row['starts']} to"
        f" {row['ends']}, its schedule says {row['due_start']} to {row['due_end']}"
    ),
    FindingKind.SEGMENTS_AGAINST_CHANGES: lambda row: (
        f"subscription {row['subscription']}: its periods are counted {row['stored']}; by its"
        f" changes {row['planned']}"
    ),
    FindingKind.CUT_AGAINST_CHANGE: lambda row: (
        f"subscription {row['subscription_id']}: cycle {row['n']} is cut at {row['cut_at']}, and"
        f" its change cuts cycle {row['cuts']} at {row['holds_from']}"
    ),
    FindingKind.CYCLE_OF_OTHER_KIND: lambda row: (
        f"subscription {row['subscription']}: cycle {row['n']} is {row['kind']}, its schedule"
        f" says"
        f" {row['due_kind']}"
    ),
    FindingKind.CYCLE_AGAINST_CHANGES: lambda row: (
        f"subscription {row['subscription_id']}: cycle {row['n']} is {row['kind']}, and a"
        f" {row['asked']} held from {row['holds_from']:%Y-%m-%d %H:%M} UTC"
    ),
    FindingKind.RENEWAL_OFF_SCHEDULE: lambda row: (
        f"subscription {row['subscription']} renews at {row['renews_at']}, but cycle"
        f" {row['next_n']}"
        f" starts at {row['due']}"
    ),
    FindingKind.RENEWAL_OVERDUE: lambda row: (
        f"subscription {row['id']}: cycle {row['next_n']} is due since"
        f" {row['renews_at']:%Y-%m-%d %H:%M} UTC"
        " and not opened"
    ),
    FindingKind.CAPTURED_TWICE: lambda row: (
        f"cycle or invoice {row['id']} has {row['payments']} captured payments"
    ),
    FindingKind.CAPTURED_AMOUNT: lambda row: (
        f"payment {row['id']} is {row['state']} over {amount(row['amount'], row['currency'])}"
        f" with {amount(row['amount_captured'], row['currency'])} captured"
    ),
    FindingKind.SHARED_AT_PROVIDER: lambda row: (
        f"{row['payments']} payments name the provider's {row['kind']} {row['id']}"
    ),
    FindingKind.HISTORY_BROKEN: lambda row: (
        f"payment {row['payment_id']}: its history says {row['from_state']} -> {row['to_state']}"
        f" ({row['cause']}) when it was {row['stood_at']}"
    ),
    FindingKind.STATE_NOT_IN_HISTORY: lambda row: (
        f"payment {row['id']} is {row['state']}, but its history ends at {row['ends_at']}"
    ),
    FindingKind.CAPTURE_NOT_IN_HISTORY: lambda row: (
        f"payment {row['id']} names {row['provider_payment_id']} as"
        + (
            f" captured on {row['captured_at']:%Y-%m-%d %H:%M:%S} UTC"
            if row["captured_at"]
            else " authorised"
        )
        + ", its history"
        f" {row['told'] or 'another one'} on {row['at']:%Y-%m-%d %H:%M:%S} UTC"
    ),
    FindingKind.SETTLED_UNSEEN: lambda row: (
        f"payment {row['id']} is {row['state']} and"
        + (
            f" settled on {row['settled_at']:%Y-%m-%d %H:%M} UTC, which neither its history, nor a"
            " balance transaction, nor a resolved break shows"
            if row["settled_at"]
            else " has no instant of its settlement"
        )
    ),
    FindingKind.ATTEMPTS_MISCOUNTED: lambda row: (
        f"payment {row['id']} is {row['state']} at attempt {row['attempt_n']}, but has"
        f" {row['attempts']}"
        f" attempt(s) numbered {row['first']} to {row['last']}, {row['open']} open,"
        f" {row['succeeded']} succeeded"
    ),
    FindingKind.REQUEST_DIFFERS: lambda row: (
        f"attempt {row['n']} of payment {row['payment_id']} (key {row['idempotency_key']}) was"
        f" sent as"
        f" {row['request'].get('amount')} {row['request'].get('currency')}, the payment is"
        f" {amount(row['amount'], row['currency'])}"
    ),
    FindingKind.CALLS_MISCOUNTED: lambda row: (
        f"{row['subject_id']} has {row['calls']} {row['kind']} call(s) numbered up to"
        f" {row['last']},"
        f" {row['open']} open"
    ),
    FindingKind.CALL_CONTRADICTS_PAYMENT: lambda row: (
        f"payment {row['id']} is {row['state']}, but the {row['kind']} {row['idempotency_key']}"
        f" of it" + (f" came to: {row['outcome']}" if row["outcome"] else " is open")
    ),
    FindingKind.CALL_CONTRADICTS_REFUND: lambda row: (
        f"refund {row['subject_id']} is {row['state'] or 'not there'}, but the call"
        f" {row['idempotency_key']} of it"
        + (f" came to: {row['outcome']}" if row["outcome"] else " is open")
        + ", or asked for something else"
    ),
    FindingKind.CALL_CONTRADICTS_CUSTOMER: lambda row: (
        f"customer {row['customer_id']}: the {row['kind']} call {row['idempotency_key']}"
        + (f" came to: {row['outcome']}" if row["outcome"] else " is open")
        + ", which isn't what the customer's rows say"
    ),
    FindingKind.CALL_CONTRADICTS_ATTEMPT: lambda row: (
        f"attempt {row['n']} of payment {row['payment_id']} {row['attempt']},"
        f" but its call to the provider {row['call']}"
    ),
    FindingKind.REFERENCE_DANGLES: lambda row: (
        f"a row of {row['table']} names {row['value']} of {row['names']}, which isn't there"
        f" ({row['key']})"
    ),
    FindingKind.OTHER_CUSTOMER: lambda row: (
        f"{row['what']} {row['id']} is filed under another customer than what it belongs to"
    ),
    FindingKind.OTHER_ACCOUNT: lambda row: (
        f"{row['what']} {row['id']} is filed under the account {row['provider']}, and what it"
        f" belongs to is at {row['due'] or 'none'}"
    ),
    FindingKind.ENTRY_KEY: lambda row: (
        f"entry {row['source_key']} is a {row['kind']}"
        + (f" and reverses {row['reverses']}" if row["reverses"] else "")
        + ", which isn't what its key says"
    ),
    FindingKind.ENTRY_INSTANT: lambda row: (
        f"entry {row['source_key']} is effective at {row['effective_at']}, and what it records"
        f" happened at {row['happened_at'] or 'the instant in its key'}"
    ),
    FindingKind.CYCLE_AND_INVOICE: lambda row: (
        f"cycle {row['n']} of subscription {row['subscription_id']} is {row['kind']} and has"
        f" {'invoice ' + row['number'] if row['number'] else 'no invoice'}"
    ),
    FindingKind.INVOICE_LINES: lambda row: (
        f"invoice {row['number']} has a net of {amount(row['net'], row['currency'])}, its lines"
        f" add up to"
        f" {amount(row['amount'], row['currency'])}"
    ),
    FindingKind.INVOICE_AND_PAYMENT: lambda row: (
        f"invoice {row['number']}, {amount(row['due'], row['currency'])} due, is"
        f" {row['status']}, its"
        + (
            f" payment over {amount(row['amount'], row['paid_in'])} is {row['state']}"
            if row["state"]
            else " payment is missing"
        )
    ),
    FindingKind.INVOICE_ENTRY: lambda row: (
        f"invoice {row['number'] or row['id']} over {amount(row['total'], row['currency'])}:"
        f" the journal has"
        f" {row['entries']} invoice_issued entry(s) over"
        f" {amount(row['booked'], row['currency'])},"
        " or splits or owns it otherwise"
    ),
    FindingKind.CAPTURE_ENTRY: lambda row: (
        f"payment {row['id']} is {row['state'] or 'not captured'} with"
        f" {amount(row['amount_captured'], row['currency'])} captured; the journal has"
        f" {row['entries']}"
        f" payment_captured entry(s) over {amount(row['booked'], row['currency'])}"
    ),
    FindingKind.ONE_OFF_ENTRY: lambda row: (
        f"the payment without an invoice {row['id']} is {row['state'] or 'not captured'} with"
        f" {amount(row['amount_captured'], row['currency'])} captured; the journal has"
        f" {amount(row['booked'], row['currency'])} of it as charged"
    ),
    FindingKind.INVOICE_END_ENTRY: lambda row: (
        f"invoice {row['number']} is {row['status']}, but the journal has {row['write_offs']}"
        f" write-off(s)"
        f" and {row['voids']} void entry(s) of it that stand"
    ),
    FindingKind.REFUNDS_ADD_UP: lambda row: (
        f"payment {row['id']} is {row['state']} with"
        f" {amount(row['amount_captured'], row['currency'])}"
        f" captured and counts {amount(row['amount_refunded'], row['currency'])} refunded; its"
        f" refunds"
        f" add up to {amount(row['standing'], row['currency'])},"
        f" {amount(row['succeeded'], row['currency'])} of them succeeded, and"
        f" {amount(row['lost'], row['currency'])} were lost in disputes"
    ),
    FindingKind.REFUND_SETTLED_UNSEEN: lambda row: (
        f"refund {row['id']} is {row['state']} and settled on {row['settled_at']:%Y-%m-%d %H:%M}"
        " UTC, which neither a balance transaction nor a resolved break shows"
    ),
    FindingKind.REFUND_ENTRY: lambda row: (
        f"refund {row['id']} over {amount(row['amount'], row['currency'])} is"
        f" {row['state'] or 'not there'}; the journal has"
        f" {amount(row['asked'], row['currency'])} of it"
        f" promised and {amount(row['paid'], row['currency'])} paid, or splits it otherwise"
    ),
    FindingKind.DISPUTE_ENTRY: lambda row: (
        f"dispute {row['id']} is {row['state'] or 'not there'} with"
        f" {amount(row['lost'], row['currency'])} lost; the journal has"
        f" {amount(row['booked'], row['currency'])} lost and"
        f" {amount(row['held'], row['currency'])} withheld"
    ),
    FindingKind.DISPUTE_MOVEMENTS: lambda row: (
        f"dispute {row['id']} is {row['state']} with a fee of"
        f" {amount(row['fee'], row['fee_currency'])} and the transactions"
        f" {', '.join(row['transaction_ids']) or 'none'}; the journal has"
        f" {amount(row['booked'], row['booked_in'])} and"
        f" {', '.join(row['booked_under']) or 'none'}"
    ),
    FindingKind.FEE_ENTRY: lambda row: (
        f"of {row['id']} the provider kept {amount(row['fee'], row['currency'])}, the journal has"
        f" {amount(row['booked'], row['currency'])}"
    ),
    FindingKind.EXCHANGE_ENTRY: lambda row: (
        f"{row['id']} exchanged "
        + (
            "money of which nothing is written down"
            if row["from_currency"] is None
            else f"{amount(row['from_amount'], row['from_currency'])} for"
            f" {amount(row['to_amount'], row['to_currency'])}"
        )
        + f"; the journal has {row['sides'] or 'nothing of it'}"
    ),
    FindingKind.MOVEMENT_ENTRY: lambda row: (
        f"movement {row['id']} is {amount(row['moved'], row['currency'])}, and the journal has"
        f" {amount(row['booked'], row['currency'])} of it"
    ),
    FindingKind.PAYOUT_ENTRY: lambda row: (
        f"the {row['kind']} {row['id']} is {amount(row['moved'], row['currency'])}, and the"
        f" journal has {amount(row['booked'], row['currency'])} of it"
    ),
    FindingKind.PAYOUT_ARRIVAL: lambda row: (
        f"payout {row['id']} over {amount(row['amount'], row['currency'])} is"
        f" {row['status'] or 'not there'}, and the journal has"
        f" {amount(row['booked'], row['currency'])} of it at the bank"
    ),
    FindingKind.ADJUSTMENT_ENTRY: lambda row: (
        f"break {row['id']} is {row['standing']}, and the journal has {row['entries']}"
        " adjustment(s) of it"
    ),
    FindingKind.ROW_CONTRADICTS_BOOKS: lambda row: (
        f"the {row['kind']} {row['id']} of the provider over"
        f" {amount(row['amount'], row['currency'])} is {row['outcome']}, and our side of it"
        " says something else or isn't there"
    ),
    FindingKind.CLOSED_UNRESOLVED: lambda row: (
        f"cycle {row['n']} of subscription {row['subscription_id']} is closed, but invoice"
        f" {row['number']}"
        f" is {row['status']}, its payment {row['state'] or 'missing'}"
        f"{'' if row['confirmed_at'] else ' and not confirmed by the provider'}"
        f"{'' if row['settled_at'] else ' and not settled'}"
    ),
    FindingKind.CLOSED_OWING: lambda row: (
        f"cycle {row['n']} of subscription {row['subscription_id']} is closed with"
        f" {amount(row['owed'], row['currency'])} receivable"
    ),
    FindingKind.CLOSED_UNDECIDED: lambda row: (
        f"cycle {row['n']} of subscription {row['subscription_id']} is closed while attempt"
        f" {row['attempt']}"
        " of its payment is open"
    ),
    FindingKind.CLOSED_WITH_BREAK: lambda row: (
        f"cycle {row['n']} of subscription {row['subscription_id']} is closed, and break"
        f" {row['id']}"
        f" ({row['kind']}) is open"
    ),
    FindingKind.DIFFERS_AFTER_CLOSING: lambda row: (
        f"cycle {row['n']} of subscription {row['subscription_id']} was closed at"
        f" {row['closed_at']:%Y-%m-%d %H:%M}Z, and the provider differs since: break {row['id']}"
        f" ({row['kind']}) of {row['found_at']:%Y-%m-%d %H:%M}Z is open"
    ),
    FindingKind.DIGEST_DIFFERS: lambda row: (
        f"cycle {row['n']} of subscription {row['subscription']} is not what it was when it was"
        f" closed: digest {row['digest'][:12]}, closed with {row['closed_with'][:12]}"
    ),
    FindingKind.NOTHING_FOLLOWS: lambda row: (
        f"payment {row['id']} is {row['state']} with no attempt to come and is not parked"
        f" (last decision: {in_words_of(row['decision'], row['decision_facts']) or 'none'})"
    ),
    FindingKind.CALL_NOT_DUE: lambda row: (
        f"the {row['kind']} {row['idempotency_key']} was sent and has no outcome, and it isn't"
        f" asked for any more: what it belongs to is {row['state'] or 'not there'}"
    ),
    FindingKind.NEVER_RENEWS: lambda row: (
        f"subscription {row['id']} is {row['status']} and will never renew"
    ),
    FindingKind.ATTEMPT_OVERDUE: lambda row: (
        f"payment {row['id']}: its {row['next_attempt_kind']} attempt is due since"
        f" {row['next_attempt_at']:%Y-%m-%d %H:%M} UTC and "
        + (
            f"attempt {row['open_attempt']} has no outcome: {row['last_error'] or 'no answer yet'}"
            if row["open_attempt"]
            else "not begun"
        )
    ),
    FindingKind.UNCONFIRMED: lambda row: (
        f"payment {row['id']} ({row['provider_payment_id']}) was captured on"
        f" {row['captured_at']:%Y-%m-%d %H:%M} UTC and never compared with the provider's list"
    ),
    FindingKind.PAYOUT_UNBOOKED: lambda row: (
        f"payout {row['id']} over {amount(row['amount'], row['currency'])} arrived by"
        f" {row['updated_at']:%Y-%m-%d %H:%M} UTC, and the journal doesn't have it at the bank"
    ),
    FindingKind.ROW_WITHOUT_BREAK: lambda row: (
        f"the {row['kind']} {row['id']} of the provider is {row['outcome']}, and there is no such"
        " break to look at"
    ),
    **FACT_WORDS,
    **CREDIT_WORDS,
    **NOTE_WORDS,
    **REVENUE_WORDS,
    **NUMBER_WORDS,
    **USAGE_WORDS,
}
