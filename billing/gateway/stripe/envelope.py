"""The fields around an event: mode, account, API version, read after its signature was checked.

An event is a hint: we use its type and its object's id only, which every version has, and fetch the
object. So an event of another version is taken. One of another account or mode is about an object
that we can't fetch.
"""

import json
import logging
from functools import lru_cache

import stripe

from billing.gateway.errors import WrongDelivery
from billing.gateway.stripe.fields import Json
from billing.gateway.untrusted import mapping, text

logger = logging.getLogger(__name__)


def check_envelope(payload: bytes, *, live: bool) -> None:
    """Check that an event has our mode and account. Raises: WrongDelivery.

    Takes the event that `verify` returned. Another API version is logged, once each.
    """
    event: Json = mapping(json.loads(payload))
    if (event.get("livemode") is True) is not live:
        ours, theirs = ("live", "test") if live else ("sandbox", "live")
        raise WrongDelivery(
            "wrong_mode",
            f"a {theirs} event came to an engine in {ours} mode",
            "give the endpoint's URL and secret to the engine of the same mode",
        )
    account = text(event, "account")
    if account is not None:
        raise WrongDelivery(
            "wrong_account",
            "the event is about a connected account",
            "let the endpoint listen to events on your own account only",
        )
    version = text(event, "api_version") or ""
    if _name(version) != _name(stripe.api_version):
        _log_version(version[:40])


@lru_cache(maxsize=64)
def _log_version(version: str) -> None:
    logger.info(
        "events are written in API version %r, and taken all the same; ours is %s",
        version,
        stripe.api_version,
    )


def _name(version: str) -> str:
    """Return the name of a version: "endive" of 2026-10-28.endive."""
    return version.partition(".")[2] or version
