"""What a caller of the API can do about each error, by its code.

Only remedies that a caller can carry out with requests; those that need a shell are left out.
"""

from collections.abc import Mapping
from typing import Final

from billing.errors import BillingError, ErrorCode, remedy_from

REMEDIES: Final[Mapping[ErrorCode, str]] = {
    ErrorCode.CUSTOMER_NOT_FOUND: "name one by id or external id, or make it first",
    ErrorCode.CUSTOMER_EXISTS: "use that customer, or add the card to it as a payment method",
    ErrorCode.CUSTOMER_ELSEWHERE: "give them a payment method at that account first",
    ErrorCode.PLAN_RETIRED: "subscribe to another plan",
    ErrorCode.VERSION_NOT_ON_SALE: "start on {first} or later",
    ErrorCode.PRICE_MISSING: "it is sold in {sold_in}",
    ErrorCode.COUPON_NOT_FOUND: "check the code",
    ErrorCode.COUPON_EXPIRED: "use another coupon",
    ErrorCode.COUPON_USED_UP: "use another coupon",
    ErrorCode.COUPON_REDEEMED_ALREADY: "it holds already; nothing more is to be done",
    ErrorCode.COUPON_CURRENCY: "it takes off in {currencies}",
    ErrorCode.COUPON_DOES_NOT_FIT: "GET /v1/plans shows what the plan sells",
    ErrorCode.ADDON_DOES_NOT_FIT: "it fits: {fits}",
    ErrorCode.ADDON_NOT_ON_SALE: "GET /v1/addons shows its versions",
    ErrorCode.ITEM_UNKNOWN: "GET /v1/plans lists a plan's items",
    ErrorCode.ITEM_QUANTITY: "give them in `items`: {items}",
    ErrorCode.ITEM_QUANTITY_RANGE: "give from {minimum} to {maximum}",
    ErrorCode.ZONE_UNKNOWN: "use a name like Europe/Berlin or UTC",
    ErrorCode.SUBSCRIBED_ALREADY: "use subscription {subscription_id}, or cancel it first",
    ErrorCode.SERVED_NOT_BILLED: "cancel it at its period's end, or say forgive",
    ErrorCode.SUBSCRIPTION_ENDED: "what ended isn't continued: subscribe anew",
    ErrorCode.SUBSCRIPTION_NOT_PAUSABLE: (
        "pause one that is trialing, active or past due, or cancel it"
    ),
    ErrorCode.TAX_UNDECIDED: (
        "say where the customer is with POST /v1/customers/{customer_id}/tax-facts; where the"
        " provider hasn't answered (answer_missing), try again"
    ),
    ErrorCode.TAX_PLACE: "write codes of ISO 3166, like US and NY",
    ErrorCode.VAT_ID: "write it as it was given, with the letters of its country",
    ErrorCode.CHANGE_NOTHING: "name what is to be other than it is",
    ErrorCode.CHANGE_PERIOD_BEGINS: "try again in a moment",
    ErrorCode.CHANGE_BILLING_DAY: "change to a plan that is billed in months on any day",
    ErrorCode.CHANGE_PERIOD_NOT_OPENED: "try again in a moment, with another key",
    ErrorCode.CHANGE_INVOICE_WITHOUT_FACTS: (
        "change it from its next period on: `applies` is period_end"
    ),
    ErrorCode.CHANGE_PAYMENT_UNDER_WAY: (
        "wait until its outcome is known, or change it from its next period on"
    ),
    ErrorCode.CHANGE_PAST_DUE: "let the open invoice be paid, or change it at the period's end",
    ErrorCode.CHANGE_UNPAID: "resume it first",
    ErrorCode.CHANGE_ENDING: "resume it: that takes the cancellation back",
    ErrorCode.CHANGE_NOT_FOUND: "its timeline tells the ids of changes",
    ErrorCode.CHANGE_HOLDS: "make another change",
    ErrorCode.CHANGE_RESTED_ON: "withdraw change {change_id} first",
    ErrorCode.CHANGE_ID_TAKEN: "use another key for another change",
    ErrorCode.DATE_PASSED: "name a date to come",
    ErrorCode.QUOTE_MOVED: "ask for a new quote",
    ErrorCode.PAYMENT_NOT_FOUND: "list the payments for their ids",
    ErrorCode.PAYMENT_NOT_AUTHORISED: (
        "refund what was captured; what failed or was given up needs a new payment"
    ),
    ErrorCode.AUTHORISATION_UNDER_WAY: "void it when it is known",
    ErrorCode.VOID_UNDER_WAY: "read the payment until it is known",
    ErrorCode.CAPTURE_UNDER_WAY: "refund it when it is captured",
    ErrorCode.ATTEMPT_OPEN: "wait until it is known; a second attempt could charge twice",
    ErrorCode.PAYMENT_NOT_RETRYABLE: "only what is undecided or FAILED is tried again",
    ErrorCode.ONE_OFF_IS_FINAL: "make another charge",
    ErrorCode.WRITTEN_OFF_AND_CLOSED: "collect the debt with a new charge",
    ErrorCode.ILLEGAL_TRANSITION: "from {state} it goes to: {next_states}",
    ErrorCode.TRANSITION_CAUSE: "allowed causes: {causes}",
    ErrorCode.AMOUNT_ABOVE_MAXIMUM: "an amount is in minor units: {minor_units} is {maximum}",
    ErrorCode.AMOUNT_BELOW_MINIMUM: "an amount is in minor units: {minor_units} is {minimum}",
    ErrorCode.PAYER_MISSING: "name a customer, or a payment method of theirs as payment_source",
    ErrorCode.PAYMENT_METHOD_MISSING: "add one first",
    ErrorCode.PAYMENT_METHOD_NOT_FOUND: (
        "add it to a customer first; a card number is never accepted"
    ),
    ErrorCode.PAYMENT_METHOD_OF_ANOTHER: (
        "name its own customer or none, or a payment method of this one"
    ),
    ErrorCode.CARD_NUMBER_REFUSED: ("send the provider's payment method token (pm_...) instead"),
    ErrorCode.NOTHING_CAPTURED: "give an authorisation up by voiding it",
    ErrorCode.NOTHING_LEFT_TO_REFUND: "look at its refunds",
    ErrorCode.REFUND_TOO_HIGH: "ask for no more than what is left",
    ErrorCode.REFUND_ID_TAKEN: "use another id for another refund",
    ErrorCode.INVOICE_ID_TAKEN: "use another key for another invoice",
    ErrorCode.INVOICE_OF_SUBSCRIPTION: (
        "cancel the subscription, or give back what is paid by a credit note"
    ),
    ErrorCode.INVOICE_NOT_OPEN: "give back what is paid by a credit note or a refund",
    ErrorCode.CREDIT_NOTE_ID_TAKEN: "use another id for another credit note",
    ErrorCode.CREDIT_NOTE_LINE: "read the invoice: its lines are numbered",
    ErrorCode.CREDIT_NOTE_OF_NOTHING: "look at its credit notes: nothing is left of these lines",
    ErrorCode.CREDIT_NOTE_OF_TOP_UP: "refund its payment",
    ErrorCode.CREDIT_NOTE_TOO_HIGH: "read the invoice: it says what is left",
    ErrorCode.INVOICE_NOT_PAID: "wait until it is paid, or have it voided as a whole",
    ErrorCode.GRANT_NOT_FOUND: "list a customer's grants for their ids",
    ErrorCode.GRANT_PAYS_NOTHING: (
        "name a subscription of this customer, in the currency of the credit, or none"
    ),
    ErrorCode.GRANT_PAID_FOR: "it expires on its own day, if it has one",
    ErrorCode.GRANT_USED_UP: "read the grant for what became of it",
    ErrorCode.IDEMPOTENCY_KEY_MALFORMED: (
        "send a UUID of your own, the same one for every try of one request"
    ),
    ErrorCode.IDEMPOTENCY_KEY_REUSED: (
        "send the same parameters again, or use a new key for a new request"
    ),
    ErrorCode.REQUEST_IN_FLIGHT: "send it again in a moment, with the same key",
    ErrorCode.CYCLE_CLOSED: "the period is closed: make another charge",
}


def remedy_of(error: BillingError) -> str | None:
    """Return what a caller does about an error, or None when there is nothing to say."""
    return remedy_from(REMEDIES, error) or error.remedy
