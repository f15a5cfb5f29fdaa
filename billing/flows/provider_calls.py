"""Asking for the outcome of a call: under its key again, or in the provider's lists.

by key the provider replays its first answer, as long as it remembers the key by looking its lists
and objects, which show what was executed, whatever was answered
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

from billing.flows.policy import Policy
from billing.gateway import Absent, Capabilities, Unknown
from billing.gateway.capabilities import Replay

LOOK_UP_FROM_SEND: Final = 4

Answer = TypeVar("Answer")
Found = TypeVar("Found")


def lists_come_next(sends: int, capabilities: Capabilities) -> bool:
    """Tell whether this try reads the provider's lists; otherwise it sends under the key again.

    From the fourth try on, the two alternate where the provider may replay an error under the key
    for ever. Where a replay tells the present state, the key alone is enough.
    """
    if capabilities.replay is Replay.PRESENT_STATE:
        return False
    return sends >= LOOK_UP_FROM_SEND and sends % 2 == 0


def ask(
    *,
    sends: int,
    age: timedelta,
    capabilities: Capabilities,
    policy: Policy,
    by_key: Callable[[], Answer],
    by_looking: Callable[[], Found],
) -> Answer | Found | Unknown:
    """Send a call, or look it up. Holds no transaction.

    Once the provider may have forgotten the key, only its lists can tell the outcome, and a call
    missing from them was not executed. Before that, lists and key alternate: the provider may
    replay nothing but an error under the key, while the lists show the money. A call missing from
    the lists proves nothing yet.
    """
    if age >= policy.keys_hold(capabilities):
        return by_looking()
    if not lists_come_next(sends, capabilities):
        return by_key()
    found = by_looking()
    if isinstance(found, Absent):
        return Unknown("not_found_yet", "not in the provider's lists, and its key is still alive")
    return found
