"""What can be found against a promise: a kind, and the facts of the rows that break it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class FindingKind(StrEnum):
    """The kinds of findings, in the order of the promises. Each has its row in docs/promises.md."""

    # 1: one cycle a period
    SCHEDULE_UNUSABLE = "schedule_unusable"
    CYCLES_MISSING = "cycles_missing"
    CYCLE_OFF_SCHEDULE = "cycle_off_schedule"
    SEGMENTS_AGAINST_CHANGES = "segments_against_changes"
    CUT_AGAINST_CHANGE = "cut_against_change"
    CYCLE_AGAINST_CHANGES = "cycle_against_changes"
    CYCLE_OF_OTHER_KIND = "cycle_of_other_kind"
    RENEWAL_OFF_SCHEDULE = "renewal_off_schedule"
    RENEWAL_OVERDUE = "renewal_overdue"

    # 2: one capture a cycle
    CAPTURED_TWICE = "captured_twice"
    CAPTURED_AMOUNT = "captured_amount"
    SHARED_AT_PROVIDER = "shared_at_provider"
    HISTORY_BROKEN = "history_broken"
    STATE_NOT_IN_HISTORY = "state_not_in_history"
    CAPTURE_NOT_IN_HISTORY = "capture_not_in_history"
    SETTLED_UNSEEN = "settled_unseen"
    ATTEMPTS_MISCOUNTED = "attempts_miscounted"
    REQUEST_DIFFERS = "request_differs"
    CALLS_MISCOUNTED = "calls_miscounted"
    CALL_CONTRADICTS_PAYMENT = "call_contradicts_payment"
    CALL_CONTRADICTS_ATTEMPT = "call_contradicts_attempt"
    CALL_CONTRADICTS_REFUND = "call_contradicts_refund"
    CALL_CONTRADICTS_CUSTOMER = "call_contradicts_customer"

    # 3: every penny is in the journal; the ledger's own checks are `LedgerCheck`
    REFERENCE_DANGLES = "reference_dangles"
    OTHER_CUSTOMER = "other_customer"
    OTHER_ACCOUNT = "other_account"
    ENTRY_KEY = "entry_key"
    ENTRY_INSTANT = "entry_instant"
    CYCLE_AND_INVOICE = "cycle_and_invoice"
    INVOICE_LINES = "invoice_lines"
    SERIES_BROKEN = "series_broken"
    NUMBER_OF_INVOICE = "number_of_invoice"
    INVOICE_AND_PAYMENT = "invoice_and_payment"
    INVOICE_ENTRY = "invoice_entry"
    CAPTURE_ENTRY = "capture_entry"
    ONE_OFF_ENTRY = "one_off_entry"
    INVOICE_END_ENTRY = "invoice_end_entry"
    REFUNDS_ADD_UP = "refunds_add_up"
    REFUND_ENTRY = "refund_entry"
    REFUND_SETTLED_UNSEEN = "refund_settled_unseen"
    DISPUTE_ENTRY = "dispute_entry"
    DISPUTE_MOVEMENTS = "dispute_movements"
    RECOGNITION_ENTRY = "recognition_entry"
    INVOICE_ADDS_UP = "invoice_adds_up"
    DEFERRED_ADDS_UP = "deferred_adds_up"
    LINE_PARTS = "line_parts"
    EARNED_EARLY = "earned_early"
    FEE_ENTRY = "fee_entry"
    EXCHANGE_ENTRY = "exchange_entry"
    MOVEMENT_ENTRY = "movement_entry"
    PAYOUT_ENTRY = "payout_entry"
    PAYOUT_ARRIVAL = "payout_arrival"
    ADJUSTMENT_ENTRY = "adjustment_entry"
    ROW_CONTRADICTS_BOOKS = "row_contradicts_books"

    # 4: closed means agreed
    CLOSED_UNRESOLVED = "closed_unresolved"
    CLOSED_OWING = "closed_owing"
    CLOSED_UNDECIDED = "closed_undecided"
    CLOSED_WITH_BREAK = "closed_with_break"
    DIFFERS_AFTER_CLOSING = "differs_after_closing"
    DIGEST_DIFFERS = "digest_differs"

    # 5: nothing is abandoned
    NOTHING_FOLLOWS = "nothing_follows"
    CALL_NOT_DUE = "call_not_due"
    NEVER_RENEWS = "never_renews"
    ATTEMPT_OVERDUE = "attempt_overdue"
    UNCONFIRMED = "unconfirmed"
    PAYOUT_UNBOOKED = "payout_unbooked"
    ROW_WITHOUT_BREAK = "row_without_break"

    # 7: every amount follows from facts
    TERMS_UNREADABLE = "terms_unreadable"
    FACTS_UNREADABLE = "facts_unreadable"
    INVOICE_AGAINST_FACTS = "invoice_against_facts"
    FACTS_AGAINST_TERMS = "facts_against_terms"
    FACTS_AGAINST_ITEMS = "facts_against_items"
    FACTS_AGAINST_DECISION = "facts_against_decision"
    DECISION_AGAINST_REQUEST = "decision_against_request"
    DECISION_AGAINST_CALL = "decision_against_call"
    TAXES_NOT_RECORDED = "taxes_not_recorded"
    ITEM_AGAINST_INVOICE = "item_against_invoice"
    ITEMS_AGAINST_CHANGES = "items_against_changes"
    CYCLE_NOT_FREE = "cycle_not_free"
    CLOSINGS_AGAINST_FACTS = "closings_against_facts"
    CLOSING_AGAINST_TOTAL = "closing_against_total"
    CLOSING_OF_INVOICE = "closing_of_invoice"
    USAGE_PASSED_OVER = "usage_passed_over"
    USAGE_CLOSED_AHEAD = "usage_closed_ahead"
    USAGE_LEFT_UNBILLED = "usage_left_unbilled"
    DISCOUNT_OF_INVOICE = "discount_of_invoice"
    DISCOUNT_OF_REDEMPTION = "discount_of_redemption"
    REDEMPTION_OVERUSED = "redemption_overused"

    # 8: no credit is used twice
    CREDIT_OF_INVOICE = "credit_of_invoice"
    GRANT_MOVES = "grant_moves"
    CREDIT_BALANCE = "credit_balance"
    CREDIT_ENTRY = "credit_entry"
    CREDIT_EXPIRED_TO = "credit_expired_to"
    CREDIT_OUT_OF_PLACE = "credit_out_of_place"
    CREDIT_EXPIRY_DUE = "credit_expiry_due"
    CREDIT_NOT_EXPIRED = "credit_not_expired"
    TOP_UP_GRANTED = "top_up_granted"
    TOP_UP_WENT_BACK = "top_up_went_back"

    # 9: what was credited was charged
    NOTE_OF_INVOICE = "note_of_invoice"
    NOTE_LINES = "note_lines"
    NOTES_WITHIN_LINE = "notes_within_line"
    NOTE_AGAINST_FACTS = "note_against_facts"
    GIVEN_BACK_ABOVE = "given_back_above"
    NOTE_GIVEN = "note_given"
    NOTE_ENTRY = "note_entry"

    # 10: no event counts twice, and none is left uncounted
    USAGE_TOTAL = "usage_total"
    USAGE_KEYS = "usage_keys"
    USAGE_KEY_MISSING = "usage_key_missing"
    USAGE_COUNTED_TWICE = "usage_counted_twice"
    USAGE_ID_OF_EVENT = "usage_id_of_event"
    USAGE_RECEIVED = "usage_received"
    USAGE_SEALED = "usage_sealed"


DIFFERENCES: Final = frozenset({FindingKind.DIFFERS_AFTER_CLOSING})
"""The kinds that break no promise: the provider did something else after both sides had agreed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding: its kind, and ids, amounts and instants as facts.

    Only the first of a kind are kept one by one. The last of a kind may instead count how many
    `more` there are; it has no facts.
    """

    kind: FindingKind
    facts: Mapping[str, Any] = field(default_factory=dict)
    more: int = 0
