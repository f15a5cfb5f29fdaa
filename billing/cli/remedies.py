"""What a person at a shell does about each error, by its code."""

from collections.abc import Mapping
from typing import Final

from billing.errors import BillingError, ErrorCode, remedy_from

_DATABASE_URL: Final = "write it as postgresql://user:password@host:5432/name"
_DOWNLOAD_AGAIN: Final = "download it again"
_EXCHANGE_OF_ITS_OWN: Final = "an exchange of its own has an instant or a source of its own"
_PARKED: Final = "`billing parked list` shows what is"

REMEDIES: Final[Mapping[ErrorCode, str]] = {
    ErrorCode.CUSTOMER_NOT_FOUND: (
        "`billing customers list` shows them, `billing customers create` makes one"
    ),
    ErrorCode.CUSTOMER_EXISTS: (
        "use that customer, or `billing customers set-payment-method` to change their card"
    ),
    ErrorCode.CUSTOMER_UNFINISHED: "run the `customers create` that was interrupted again",
    ErrorCode.CUSTOMER_ELSEWHERE: (
        "give them a payment method there: `billing customers set-payment-method {customer} TOKEN"
        " --provider {provider}`"
    ),
    ErrorCode.PLAN_NOT_PUBLISHED: (
        "`billing plans show` lists them, `billing plans apply` publishes more"
    ),
    ErrorCode.VERSION_PUBLISHED: (
        "put the old terms back and add a [[plan.version]] with a new effective date;"
        " other terms of a coupon are a coupon of another code"
    ),
    ErrorCode.CLOCK_AHEAD: "put the clock of the machine right, with NTP; or the database's",
    ErrorCode.PLAN_RETIRED: "subscribe to another plan",
    ErrorCode.VERSION_NOT_ON_SALE: (
        "start on {first} or later, or add the terms of before as a [[plan.version]] with an"
        " earlier date; what was billed elsewhere until now is taken over with --import"
    ),
    ErrorCode.PRICE_MISSING: "it is sold in {sold_in}",
    ErrorCode.COUPON_NOT_FOUND: "`billing plans coupons` shows them",
    ErrorCode.COUPON_EXPIRED: "publish a coupon with another code, or a later `until`",
    ErrorCode.COUPON_USED_UP: "publish a coupon with another code, or a higher `limit`",
    ErrorCode.COUPON_REDEEMED_ALREADY: "`billing coupons redemptions` shows what holds",
    ErrorCode.COUPON_CURRENCY: "it takes off in {currencies}",
    ErrorCode.COUPON_DOES_NOT_FIT: "`billing plans show {plan}` lists what the plan sells",
    ErrorCode.ADDON_DOES_NOT_FIT: "`billing plans addons` shows which plans it fits",
    ErrorCode.ADDON_NOT_ON_SALE: "`billing plans addons` shows its versions",
    ErrorCode.ITEM_UNKNOWN: "`billing plans show` lists a plan's items",
    ErrorCode.ITEM_QUANTITY: "give them with --item CODE=QUANTITY: {items}",
    ErrorCode.ITEM_QUANTITY_RANGE: "give {minimum} to {maximum} with --item {item}=...",
    ErrorCode.ZONE_UNKNOWN: "use a name like Europe/Berlin or UTC",
    ErrorCode.SUBSCRIPTION_NOT_FOUND: "`billing subscriptions list` shows them",
    ErrorCode.SUBSCRIPTION_EXISTS: "`billing subscriptions show {external_id}` shows it",
    ErrorCode.SUBSCRIBED_ALREADY: "`billing subscriptions show {subscription_id}` shows it",
    ErrorCode.SERVED_NOT_BILLED: (
        "release it with --bill or --skip first, or add --forgive: {reason}"
    ),
    ErrorCode.SUBSCRIPTION_ENDED: "what ended isn't continued: subscribe anew",
    ErrorCode.SUBSCRIPTION_NOT_PAUSABLE: (
        "pause one that is trialing, active or past due, or cancel it"
    ),
    ErrorCode.TAX_UNDECIDED: (
        "`billing customers set-tax {customer_id} --country CODE` says where they are; rates are"
        " [[tax_rate]] of the catalog; where a provider computes them and hasn't answered"
        " (answer_missing), try again"
    ),
    ErrorCode.TAX_CALL_NOT_FOUND: "`billing taxes waiting` lists them",
    ErrorCode.TAX_CALL_NOT_REFUSED: "`billing taxes waiting` lists what was refused",
    ErrorCode.TAX_PLACE: "write codes of ISO 3166, like --country US --region NY",
    ErrorCode.VAT_ID: "write it as it was given, with the letters of its country",
    ErrorCode.CHANGE_NOTHING: "name what is to be other than it is, with --plan or a quantity",
    ErrorCode.CHANGE_PERIOD_BEGINS: "try again in a moment",
    ErrorCode.CHANGE_BILLING_DAY: "change to a plan that is billed in months on any day",
    ErrorCode.CHANGE_PERIOD_NOT_OPENED: "try again once the scheduler has opened it",
    ErrorCode.CHANGE_INVOICE_WITHOUT_FACTS: "change it from its next period on: --when period_end",
    ErrorCode.CHANGE_PAYMENT_UNDER_WAY: (
        "wait until its outcome is known, or change it with --when period_end"
    ),
    ErrorCode.CHANGE_PAST_DUE: "let the open invoice be paid, or use --when period_end",
    ErrorCode.CHANGE_UNPAID: "`billing subscriptions resume {subscription_id}` first",
    ErrorCode.CHANGE_ENDING: (
        "`billing subscriptions resume {subscription_id}` takes the cancellation back"
    ),
    ErrorCode.CHANGE_NOT_FOUND: "`billing subscriptions timeline` tells the ids of changes",
    ErrorCode.CHANGE_HOLDS: "make another change",
    ErrorCode.CHANGE_RESTED_ON: "withdraw change {change_id} first",
    ErrorCode.CHANGE_ID_TAKEN: "use another id for another change",
    ErrorCode.DATE_PASSED: "name a date to come",
    ErrorCode.QUOTE_MOVED: "ask for a new quote with --quote and look at it",
    ErrorCode.NO_PERIOD_MISSED: ("release it with neither --bill nor --skip and it ends"),
    ErrorCode.CYCLE_NOT_OPENABLE: "docs/operations.md says what to do for the reason {reason}",
    ErrorCode.NOT_PARKED: _PARKED,
    ErrorCode.PAYMENT_NOT_FOUND: "`billing charges list` shows them",
    ErrorCode.PAYMENT_PARKED: "put the cause right, then `billing parked release`",
    ErrorCode.PAYMENT_NOT_AUTHORISED: (
        "refund what was captured; what failed or was given up needs a new payment"
    ),
    ErrorCode.AUTHORISATION_UNDER_WAY: "void it when it is known",
    ErrorCode.VOID_UNDER_WAY: "wait until it is known",
    ErrorCode.CAPTURE_UNDER_WAY: "refund it when it is captured",
    ErrorCode.ATTEMPT_OPEN: "wait until it is known; a second attempt could charge twice",
    ErrorCode.PAYMENT_NOT_RETRYABLE: "only what is undecided or FAILED is tried again",
    ErrorCode.ONE_OFF_IS_FINAL: "make another charge",
    ErrorCode.WRITTEN_OFF_AND_CLOSED: (
        "closed books stay closed: collect the debt with a new charge"
    ),
    ErrorCode.ILLEGAL_TRANSITION: "from {state} it goes to: {next_states}",
    ErrorCode.TRANSITION_CAUSE: "allowed causes: {causes}",
    ErrorCode.AMOUNT_ABOVE_MAXIMUM: "an amount is in minor units: {minor_units} is {maximum}",
    ErrorCode.AMOUNT_BELOW_MINIMUM: "an amount is in minor units: {minor_units} is {minimum}",
    ErrorCode.PAYER_MISSING: "name a customer, or a payment method of theirs",
    ErrorCode.PAYMENT_METHOD_MISSING: "add one with `billing customers set-payment-method`",
    ErrorCode.PAYMENT_METHOD_NOT_FOUND: "add it with `billing customers set-payment-method`",
    ErrorCode.PAYMENT_METHOD_OF_ANOTHER: (
        "name its own customer or none, or a payment method of this one"
    ),
    ErrorCode.CARD_NUMBER_REFUSED: ("send the provider's payment method token (pm_...) instead"),
    ErrorCode.NOTHING_CAPTURED: "an authorisation is given up with `billing charges void`",
    ErrorCode.NOTHING_LEFT_TO_REFUND: "look at its refunds",
    ErrorCode.REFUND_TOO_HIGH: "ask for no more than what is left",
    ErrorCode.REFUND_ID_TAKEN: "use another id for another refund",
    ErrorCode.INVOICE_ID_TAKEN: "use another id for another invoice",
    ErrorCode.INVOICE_OF_SUBSCRIPTION: (
        "`billing subscriptions cancel {subscription_id} --now` voids what is open; what is paid is"
        " given back by a credit note"
    ),
    ErrorCode.INVOICE_NOT_OPEN: (
        "give back what is paid with `billing credit-notes create {invoice}` or a refund"
    ),
    ErrorCode.CREDIT_NOTE_ID_TAKEN: "use another id for another credit note",
    ErrorCode.CREDIT_NOTE_LINE: "`billing invoices show {invoice}` shows its lines",
    ErrorCode.CREDIT_NOTE_OF_NOTHING: "look at its credit notes: nothing is left of these lines",
    ErrorCode.CREDIT_NOTE_OF_TOP_UP: (
        "refund its payment: `billing invoices show {invoice}` names it"
    ),
    ErrorCode.CREDIT_NOTE_TOO_HIGH: "`billing invoices show {invoice}` shows what is left",
    ErrorCode.INVOICE_NOT_PAID: (
        "what is open is voided as a whole: `billing subscriptions cancel --now` does; a partial"
        " note needs it paid"
    ),
    ErrorCode.GRANT_NOT_FOUND: "`billing credit list` shows them",
    ErrorCode.GRANT_ID_TAKEN: "use another id for another grant",
    ErrorCode.GRANT_PAYS_NOTHING: (
        "name a subscription of this customer, in the currency of the credit, or none"
    ),
    ErrorCode.GRANT_PAID_FOR: "it expires on its own day, if it has one",
    ErrorCode.GRANT_USED_UP: "`billing credit show` tells what became of it",
    ErrorCode.API_KEY_NAME: 'name the caller, like "shop" or "back-office"',
    ErrorCode.API_KEY_NOT_FOUND: "`billing keys list` shows them",
    ErrorCode.PEPPER_MISSING: (
        "write 32 random bytes to a file (openssl rand -hex 32) and name it in"
        " BILLING__API__PEPPER_FILE; keys made with another pepper open nothing"
    ),
    ErrorCode.IDEMPOTENCY_KEY_MALFORMED: (
        "send a UUID of your own, the same one for every try of one request"
    ),
    ErrorCode.IDEMPOTENCY_KEY_REUSED: (
        "send the same parameters again, or use a new key for a new request"
    ),
    ErrorCode.REQUEST_IN_FLIGHT: "send it again in a moment, with the same key",
    ErrorCode.EVENT_NOT_FOUND: (
        "`billing webhooks list` shows them; `replay --since` asks the provider too"
    ),
    ErrorCode.REASON_MISSING: "give it with --reason",
    ErrorCode.NOTE_EMPTY: "write a few words",
    ErrorCode.ASSIGNEE_MISSING: "name who looks into it",
    ErrorCode.BREAK_NOT_FOUND: "`billing breaks list --all` shows them",
    ErrorCode.BREAK_RESOLVED: "`billing breaks show` tells who did it and when",
    ErrorCode.BREAK_OF_OTHER_KIND: (
        "`billing breaks list` shows which transactions nobody has explained"
    ),
    ErrorCode.ADJUSTMENT_ZERO: "leave --adjust out",
    ErrorCode.ADJUSTMENT_CURRENCY: "adjust it in a currency of its own",
    ErrorCode.EXCHANGE_ONE_CURRENCY: "name two currencies",
    ErrorCode.EXCHANGE_AMOUNT_SIGN: (
        "write what was given and what came of it, both without a sign"
    ),
    ErrorCode.EXCHANGE_FEE: "the fee is in the currency that was bought, and less than it",
    ErrorCode.EXCHANGE_SOURCE_MISSING: "name a source",
    ErrorCode.EXCHANGE_RATE: "write it like 1.084",
    ErrorCode.EXCHANGE_RATE_DIFFERS: (
        "the rate is from the one currency to the other, in major units, exactly as the provider"
        " shows it; what was bought includes the fee"
    ),
    ErrorCode.EXCHANGE_REFERENCES: "name the one out first, then the one in, or none",
    ErrorCode.EXCHANGE_AMOUNTS_DIFFER: (
        "name the transaction out first, then the one in; what comes in is without the fee"
    ),
    ErrorCode.EXCHANGE_SHOWN_ALREADY: (
        "say that they are it: --reference {out} --reference {back}"
    ),
    ErrorCode.EXCHANGE_OF_OTHERS: _EXCHANGE_OF_ITS_OWN,
    ErrorCode.EXCHANGE_WAITING: (
        "record it with these references first: `billing fx show` has its --at, --rate and --source"
    ),
    ErrorCode.EXCHANGE_RECORDED_OTHERWISE: f"what is in the books stays; {_EXCHANGE_OF_ITS_OWN}",
    ErrorCode.EXCHANGE_SIDE: (
        "record it again with them: `billing fx record ... --reference OUT --reference IN`;"
        " resolving without --adjust leaves the books as they are"
    ),
    ErrorCode.TRANSACTION_NOT_READ: ("`billing reconcile run` reads what the provider has by now"),
    ErrorCode.TRANSACTION_EXPLAINED: (
        "an exchange is made of transactions that nobody has explained yet"
    ),
    ErrorCode.RUN_NOT_FOUND: "`billing reconcile status` shows them",
    ErrorCode.REPORT_MALFORMED: "download the report again, or report it to the provider",
    ErrorCode.REPORT_UNREADABLE: "name a file",
    ErrorCode.REPORT_DAMAGED: _DOWNLOAD_AGAIN,
    ErrorCode.REPORT_CHANGED: "import it as a report of its own",
    ErrorCode.REPORT_COLUMNS_MISSING: "an itemized report of {reports} has them by default",
    ErrorCode.REPORT_COLUMNS_TWICE: f"which one counts can't be told: {_DOWNLOAD_AGAIN}",
    ErrorCode.REPORT_COLUMN_NEEDED: "ask for the columns {columns} as well",
    ErrorCode.REPORT_CARD_NUMBER: "take the card numbers out of the report",
    ErrorCode.REPORT_DECIMAL_COMMA: "choose a dot as decimal separator",
    ErrorCode.REPORT_THOUSANDS: "choose amounts without thousands separators",
    ErrorCode.REPORT_AMOUNT_FORMAT: "choose plain numbers like -19.99, the currency in its column",
    ErrorCode.REPORT_SEPARATOR: "choose commas between the columns, or CSV as the format",
    ErrorCode.REPORT_INSTANT: "write it like 2026-03-01 09:30:00, in UTC",
    ErrorCode.USAGE_STILL_ACCEPTED: (
        "keep more days: an event that comes late would be refused otherwise"
    ),
    ErrorCode.SOURCE_KEY_TAKEN: (
        "a source key is one event: look at both, and reverse the wrong one"
    ),
    ErrorCode.ENTRY_NOT_FOUND: "post it first, or correct the source key",
    ErrorCode.CYCLE_CLOSED: "post what comes after the close without a cycle",
    ErrorCode.RECOVERING: (
        "`billing recover --dry-run` shows what is missing here, `billing recover` adopts it"
    ),
    ErrorCode.DATABASE_URL_UNREADABLE: _DATABASE_URL,
    ErrorCode.DATABASE_UNREACHABLE: (
        "start it (`billing up` starts the embedded one) or correct the URL"
    ),
    ErrorCode.DATABASE_SESSION: (
        "connect directly, or through a pooler in session mode: docs/operations.md"
    ),
    ErrorCode.SCHEMA_UNKNOWN: (
        "run `billing db migrate`, or start the version that belongs to the database"
    ),
    ErrorCode.REVISION_UNKNOWN: ("start the version of the program that belongs to the database"),
    ErrorCode.ROLE_UNUSABLE: (
        "create that role and grant it to the user of the URL, or correct its name"
    ),
    ErrorCode.ROLES_MISSING: (
        "have somebody who may make roles run what `billing db roles` prints, then try again"
    ),
    ErrorCode.MIGRATION_ROLLED_BACK: (
        "if it is a lock timeout, try again in a quieter moment; nothing was changed"
    ),
}

# There is nothing to do about these, or nothing that holds for all errors of the code.
WITHOUT: Final = frozenset(
    {
        ErrorCode.ERROR,
        ErrorCode.BAD_INPUT,
        ErrorCode.NOT_FOUND,
        ErrorCode.CONFLICT,
        ErrorCode.UNAVAILABLE,
        ErrorCode.AS_OF_TO_COME,
        ErrorCode.LEASE_LOST,
        ErrorCode.ENTRY_REVERSED,
    }
)

_TAMPERED: Final = (
    "the database refuses this, so its guards were off: find out who, compare with a backup,"
    " then correct with a new entry"
)
# What to do about each finding of `billing ledger verify`, by the name of its check.
LEDGER_REMEDIES: Final[Mapping[str, str]] = {
    "global_sum": "see the findings of entry_sum: they name the entries",
    "entry_sum": _TAMPERED,
    "lines": _TAMPERED,
    "empty_entry": _TAMPERED,
    "stray_posting": _TAMPERED,
    "payload_hash": _TAMPERED,
    "reversal": "find what posted it: a reversal comes from billing.ledger.recipes.reversal only",
    "chart": (
        "accounts come from billing.store.journal.posting.post only: move its balance by a new"
        " entry"
    ),
    "cycle_receivable": (
        "list the cycle's entries; post what is missing, or reverse what is too much"
    ),
    "clearing": "nothing, while the amount is on its way; if it stays, look for the open break",
}


def remedy_of(error: BillingError) -> str | None:
    """Return what to do about an error, or None when there is nothing to say."""
    return error.remedy or remedy_from(REMEDIES, error)
