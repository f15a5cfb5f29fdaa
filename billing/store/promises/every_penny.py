"""Promise 3: every penny is in the journal. The ledger's own checks are in `journal.checks`."""

from typing import Final

from billing.store.promises.accounts import ANOTHER_ACCOUNT
from billing.store.promises.customers import ANOTHER_CUSTOMER
from billing.store.promises.disputes import DISPUTED
from billing.store.promises.instants import AT_THEIR_INSTANTS
from billing.store.promises.invoices import INVOICED_AND_CAPTURED
from billing.store.promises.keys import KEYED
from billing.store.promises.movements import MOVED
from billing.store.promises.numbered import NUMBERED
from billing.store.promises.refunds import REFUNDED
from billing.store.promises.revenue import EARNED
from billing.store.promises.settled import SETTLED

EVERY_PENNY: Final = (
    ANOTHER_CUSTOMER,
    ANOTHER_ACCOUNT,
    *KEYED,
    *AT_THEIR_INSTANTS,
    *INVOICED_AND_CAPTURED,
    *NUMBERED,
    *REFUNDED,
    *DISPUTED,
    *EARNED,
    *SETTLED,
    *MOVED,
)
