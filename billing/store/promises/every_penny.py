"""Promise 3: every penny is in the journal. The ledger's own checks are in `journal.checks`."""

from typing import Final

from billing.store.promises.customers import ANOTHER_CUSTOMER
from billing.store.promises.disputes import DISPUTED
from billing.store.promises.invoices import INVOICED_AND_CAPTURED
from billing.store.promises.refunds import REFUNDED
from billing.store.promises.revenue import EARNED
from billing.store.promises.settled import SETTLED

EVERY_PENNY: Final = (
    ANOTHER_CUSTOMER,
    *INVOICED_AND_CAPTURED,
    *REFUNDED,
    *DISPUTED,
    *EARNED,
    *SETTLED,
)
