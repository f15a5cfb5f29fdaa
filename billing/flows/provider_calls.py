"""How a call whose outcome is unknown is asked for: under its key again, or in the lists.

by key      the provider replays what it did the first time, as long as it remembers the key
by looking  its lists and objects, which show what was executed, whatever was answered
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
    """Say whether this try asks the provider's lists, and not under the key once more.

    From the fourth on they take turns where an error may be all that is ever replayed under a
    key; where the key tells the present state, asking under it is enough.
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

    Once the provider may have forgotten the key, only its lists can tell, and their silence is
    proof. Before that they are asked in turn with the key: an error answer may be all that is
    ever replayed under it, while the lists show the money; but their silence proves nothing yet.
    """
    if age >= policy.keys_hold(capabilities):
        return by_looking()
    if not lists_come_next(sends, capabilities):
        return by_key()
    found = by_looking()
    if isinstance(found, Absent):
        return Unknown("not_found_yet", "not in the provider's lists, and its key is still alive")
    return found
