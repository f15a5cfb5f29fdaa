"""Whom a delivery is for: the fields around an event, read once its signature was believed.

Nothing is taken from the event but its name and its object's id, which every version has. A
version that isn't ours still says that the endpoint is another program's, or forgotten in an
upgrade; and an event of another account or mode is about objects that we can't fetch.
"""

import json

import stripe

from billing.gateway.errors import WrongDelivery
from billing.gateway.stripe.fields import Json, mapping, text


def check_envelope(payload: bytes, *, live: bool) -> None:
    """Let an event of our mode, account and API version pass. Raises: WrongDelivery.

    To be called with what `verify` took. A version is ours when it has the name of ours
    ("endive"): versions of one name differ by additions only.
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
        raise WrongDelivery(
            "wrong_version",
            f"the event is written in API version {version[:40]!r}",
            f"make the endpoint anew with API version {stripe.api_version}",
        )


def _name(version: str) -> str:
    """Return the name of a version: "endive" of 2026-10-28.endive."""
    return version.partition(".")[2] or version
