"""The kinds of journal entries, and the source key of each: which event an entry records.

A key is made of ids, ours or the provider's, so the same event always has the same key. No other
module spells a key: recipes post under these, and readers of the journal look entries up by them.

Ids of a provider are unique within an account there, so keys made of them have the account's name.
The first account's have none, as from before accounts had names.
"""

from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from billing.rules.provider_names import FIRST_ACCOUNT


class EntryKind(StrEnum):
    """The kind of event that an entry records."""

    ADJUSTMENT = "adjustment"
    CAPTURE_RETURNED = "capture_returned"
    CREDIT_APPLIED = "credit_applied"
    CREDIT_BOUGHT = "credit_bought"
    CREDIT_EXPIRED = "credit_expired"
    CREDIT_GRANTED = "credit_granted"
    CREDIT_NOTE = "credit_note"
    CREDIT_NOTE_CREDITED = "credit_note_credited"
    CREDIT_REFUNDED = "credit_refunded"
    CREDIT_RESTORED = "credit_restored"
    CREDIT_RETURNED = "credit_returned"
    DISPUTE_LOST = "dispute_lost"
    DISPUTE_LOST_REVERSED = "dispute_lost_reversed"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_WON = "dispute_won"
    FEE_SETTLED = "fee_settled"
    FX_EVENT = "fx_event"
    INVOICE_ISSUED = "invoice_issued"
    INVOICE_VOIDED = "invoice_voided"
    MOVEMENT_BOOKED = "movement_booked"
    ONE_OFF_CHARGED = "one_off_charged"
    ONE_OFF_RETURNED = "one_off_returned"
    PAYMENT_CAPTURED = "payment_captured"
    PAYOUT_ARRIVED = "payout_arrived"
    PAYOUT_FAILED = "payout_failed"
    PAYOUT_RETURNED = "payout_returned"
    PAYOUT_SENT = "payout_sent"
    RECOGNITION_TAKEN_BACK = "recognition_taken_back"
    REFUND_FAILED = "refund_failed"
    REFUND_REQUESTED = "refund_requested"
    REFUND_RETURNED = "refund_returned"
    REFUND_SUCCEEDED = "refund_succeeded"
    REVENUE_RECOGNIZED = "revenue_recognized"
    WRITE_OFF = "write_off"
    WRITE_OFF_REVERSED = "write_off_reversed"

    @property
    def prefix(self) -> str:
        """The prefix of this kind's keys."""
        return f"{self.value}:"


def compact(at: datetime) -> str:
    """Write an instant as source keys carry it: "20260301T000000.000000Z"."""
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def invoice_issued(invoice_id: UUID) -> str:
    """Return the key of an invoice's entry."""
    return f"{EntryKind.INVOICE_ISSUED}:{invoice_id}"


def credit_granted(grant_id: UUID) -> str:
    """Return the key of credit that was given away."""
    return f"{EntryKind.CREDIT_GRANTED}:{grant_id}"


def credit_applied(invoice_id: UUID, grant_id: UUID) -> str:
    """Return the key of what a grant pays of an invoice."""
    return f"{EntryKind.CREDIT_APPLIED}:{invoice_id}:{grant_id}"


def credit_expired(grant_id: UUID, n: int) -> str:
    """Return the key of what was left of a grant when it expired, by its move number `n`.

    Credit that is given back to it later expires under a key of its own.
    """
    return f"{EntryKind.CREDIT_EXPIRED}:{grant_id}:{n}"


def credit_bought(grant_id: UUID) -> str:
    """Return the key of credit that a customer paid for."""
    return f"{EntryKind.CREDIT_BOUGHT}:{grant_id}"


def credit_refunded(grant_id: UUID, n: int) -> str:
    """Return the key of credit that went with the money it was bought with, by its move."""
    return f"{EntryKind.CREDIT_REFUNDED}:{grant_id}:{n}"


def credit_restored(grant_id: UUID, n: int) -> str:
    """Return the key of credit that came back with its money, by its move."""
    return f"{EntryKind.CREDIT_RESTORED}:{grant_id}:{n}"


def credit_note(note_id: UUID) -> str:
    """Return the key of a credit note."""
    return f"{EntryKind.CREDIT_NOTE}:{note_id}"


def credit_note_credited(note_id: UUID) -> str:
    """Return the key of a credit note's amount that became credit when its refund failed."""
    return f"{EntryKind.CREDIT_NOTE_CREDITED}:{note_id}"


def write_off(invoice_id: UUID, nth: int) -> str:
    """Return the key of the `nth` write-off of an invoice."""
    return f"{EntryKind.WRITE_OFF}:{invoice_id}:{nth}"


def of_invoice(invoice_id: UUID, *, write_offs: int) -> tuple[str, ...]:
    """Return every key of an invoice's own entries, in the order they are posted."""
    written_off = [
        key
        for nth in range(1, write_offs + 1)
        for key in (
            write_off(invoice_id, nth),
            f"{EntryKind.WRITE_OFF_REVERSED}:{invoice_id}:{nth}",
        )
    ]
    voided = f"{EntryKind.INVOICE_VOIDED}:{invoice_id}"
    return invoice_issued(invoice_id), *written_off, voided


def recognised(invoice_id: UUID, through: datetime, *, taken_back: bool = False) -> str:
    """Return the key of a step of an invoice's revenue, or of the reversal of a step."""
    kind = EntryKind.RECOGNITION_TAKEN_BACK if taken_back else EntryKind.REVENUE_RECOGNIZED
    return f"{kind}:{invoice_id}:{compact(through)}"


def payment_captured(payment_id: UUID, capture: int | str) -> str:
    """Return the key of a capture: the attempt's number or the provider's charge tells which."""
    return f"{EntryKind.PAYMENT_CAPTURED}:{payment_id}:{capture}"


def capture_returned(payment_id: UUID, capture: int | str) -> str:
    """Return the key of the reversal of a capture."""
    return f"{EntryKind.CAPTURE_RETURNED}:{payment_id}:{capture}"


def one_off_charged(payment_id: UUID) -> str:
    """Return the key of the revenue of a payment without an invoice."""
    return f"{EntryKind.ONE_OFF_CHARGED}:{payment_id}"


def one_off_returned(payment_id: UUID) -> str:
    """Return the key of the reversal of a charge without an invoice."""
    return f"{EntryKind.ONE_OFF_RETURNED}:{payment_id}"


def refund_requested(refund_id: UUID) -> str:
    """Return the key of a refund's request."""
    return f"{EntryKind.REFUND_REQUESTED}:{refund_id}"


def refund_succeeded(refund_id: UUID) -> str:
    """Return the key of a refund's payment."""
    return f"{EntryKind.REFUND_SUCCEEDED}:{refund_id}"


def refund_returned(refund_id: UUID) -> str:
    """Return the key of the return of a refund that had succeeded."""
    return f"{EntryKind.REFUND_RETURNED}:{refund_id}"


def of_refund(refund_id: UUID) -> tuple[str, ...]:
    """Return every key under which a refund may have an entry, in the order they are posted."""
    taken_back = (EntryKind.REFUND_RETURNED, EntryKind.REFUND_FAILED)
    return (
        refund_requested(refund_id),
        refund_succeeded(refund_id),
        *(f"{kind}:{refund_id}" for kind in taken_back),
    )


def dispute_opened(dispute_id: UUID, transaction_id: str) -> str:
    """Return the key of money that a transaction withheld."""
    return f"{EntryKind.DISPUTE_OPENED}:{dispute_id}:{transaction_id}"


def dispute_won(dispute_id: UUID, transaction_id: str) -> str:
    """Return the key of money that a transaction gave back."""
    return f"{EntryKind.DISPUTE_WON}:{dispute_id}:{transaction_id}"


def dispute_lost(dispute_id: UUID, nth: int) -> str:
    """Return the key of the `nth` loss of a dispute."""
    return f"{EntryKind.DISPUTE_LOST}:{dispute_id}:{nth}"


def dispute_lost_reversed(dispute_id: UUID, nth: int) -> str:
    """Return the key of the reversal of the `nth` loss of a dispute."""
    return f"{EntryKind.DISPUTE_LOST_REVERSED}:{dispute_id}:{nth}"


def within(provider: str, id_: str) -> str:
    """Return an id of a provider's as keys have it."""
    return id_ if provider == FIRST_ACCOUNT else f"{provider}/{id_}"


def fee_settled(provider: str, transaction_id: str) -> str:
    """Return the key of the fee of a balance transaction."""
    return f"{EntryKind.FEE_SETTLED}:{within(provider, transaction_id)}"


def movement_booked(provider: str, transaction_id: str) -> str:
    """Return the key of a movement that has an account of its own."""
    return f"{EntryKind.MOVEMENT_BOOKED}:{within(provider, transaction_id)}"


def payout_sent(provider: str, payout_id: str) -> str:
    """Return the key of a payout's departure."""
    return f"{EntryKind.PAYOUT_SENT}:{within(provider, payout_id)}"


def payout_arrived(provider: str, payout_id: str) -> str:
    """Return the key of a payout's arrival."""
    return f"{EntryKind.PAYOUT_ARRIVED}:{within(provider, payout_id)}"


def payout_failed(provider: str, payout_id: str) -> str:
    """Return the key of a payout's return."""
    return f"{EntryKind.PAYOUT_FAILED}:{within(provider, payout_id)}"


def fx_event(provider: str, source: str) -> str:
    """Return the key of an exchange, from a balance transaction or a person's record."""
    return f"{EntryKind.FX_EVENT}:{within(provider, source)}"


def adjustment(break_id: UUID) -> str:
    """Return the key of the adjustment with which a break was resolved."""
    return f"{EntryKind.ADJUSTMENT}:{break_id}"
