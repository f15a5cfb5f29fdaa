"""One call to the provider: asking for its outcome, and writing that there is none yet.

by key      the same request again: the provider replays its first answer, while it keeps the key
by look-up  its lists and objects, which show what was executed, whatever was answered
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from billing.flows.policy import Policy
from billing.gateway import Absent, ActionRequired, Capabilities, Deferred, Unknown
from billing.gateway.capabilities import Replay
from billing.store.payments import provider_calls
from billing.store.payments.provider_calls import ProviderCall

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


def pause(answer: Any, sends: int, policy: Policy) -> timedelta:
    """Return how long to wait before asking again: bounded, and as the provider says."""
    told = answer.retry_after if isinstance(answer, Deferred) else None
    return policy.pause(sends, told)


def note_unanswered(
    conn: Connection,
    call: ProviderCall,
    answer: ActionRequired | Unknown | Deferred,
    now: datetime,
) -> bool:
    """Record that a send had no definite answer; the call stays open. False when it had an end."""
    error_class = "action_required" if isinstance(answer, ActionRequired) else answer.error_class
    return provider_calls.still_open(
        conn,
        call,
        error_class=error_class,
        error_message=answer.message,
        unknown_since=now if isinstance(answer, Unknown) else None,
    )
