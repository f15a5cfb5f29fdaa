"""What the clock sets off on the Braintree side; each gets the key that is on the agenda."""

from collections.abc import Callable

from billing.sandbox.braintree import disbursing, notifications, settling
from billing.sandbox.braintree.call import MerchantCall, call_for, merchant_of
from billing.sandbox.call import Call


def _of_merchant(action: Callable[[MerchantCall, str], None]) -> Callable[[Call, str], None]:
    def act(call: Call, key: str) -> None:
        action(call_for(call, merchant_of(key)), key)

    return act


ACTIONS: dict[str, Callable[[Call, str], None]] = {
    "bt.batch": _of_merchant(settling.batched),
    "bt.settle": _of_merchant(settling.settled),
    "bt.disburse": _of_merchant(disbursing.disbursed),
    "bt.expire": _of_merchant(settling.expired),
    "bt.notify": _of_merchant(notifications.send),
}
