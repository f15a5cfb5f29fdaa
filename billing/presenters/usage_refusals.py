"""Why an event of usage isn't counted, in a sentence with what to do about it."""

from collections.abc import Mapping
from typing import Final

from billing.rules.usage import DECIMALS_MAX, DIGITS_MAX, TEXT_MAX, UsageRefusal

CONFLICTING: Final = "an event with this id was counted with other contents: send another id"
REFUSED: Final[Mapping[UsageRefusal, str]] = {
    UsageRefusal.UNREADABLE: (
        "send an object with id, event, at, properties, and a subscription or a customer and an"
        " item; no other member, and none twice"
    ),
    UsageRefusal.NO_ID: f"send an id of 1 to {TEXT_MAX} characters, another one for each event",
    UsageRefusal.BAD_TIME: "write at with an offset, like 2026-02-14T09:30:00Z",
    UsageRefusal.IN_FUTURE: "at is more than five minutes ahead: look at the sender's clock",
    UsageRefusal.TOO_OLD: "usage of that instant isn't accepted any more (late_for of the item)",
    UsageRefusal.UNKNOWN_EVENT: "no meter that is published counts events of this name",
    UsageRefusal.UNKNOWN_SUBSCRIPTION: "there is no such subscription, or no such customer",
    UsageRefusal.AMBIGUOUS: "the customer holds the item several times: name the subscription",
    UsageRefusal.NOT_SOLD: "the subscription holds no item that counts such events",
    UsageRefusal.FILTERED: "its properties have no value that a meter takes (where)",
    UsageRefusal.BAD_VALUE: (
        "a property that a meter reads is missing, or is no number of at most"
        f" {DIGITS_MAX} digits and {DECIMALS_MAX} decimals"
    ),
    UsageRefusal.NOT_STARTED: "at is before the subscription's first period",
    UsageRefusal.PAUSED: "the subscription is paused in that period",
    UsageRefusal.UNPAID: "collecting was given up before that instant",
    UsageRefusal.CANCELED: "the subscription ended before that instant",
}


def in_words(reason: str) -> str:
    """Return a reason, `conflicting` included, as a sentence."""
    return CONFLICTING if reason == "conflicting" else REFUSED[UsageRefusal(reason)]
