"""The fields around an event: mode, account, API version, read after its signature was checked.

We use an event's type and its object's id only, which every version has. Another version shows that
the endpoint belongs to another program, or was left out of an upgrade. An event of another account
or mode is about objects that we can't fetch.
"""

import json

import stripe

from billing.gateway.errors import WrongDelivery
from billing.gateway.stripe.fields import Json, mapping, text


def check_envelope(payload: bytes, *, live: bool) -> None:
    """Check that an event has our mode, account and API version.

    Raises: WrongDelivery. Takes the event that `verify` returned. A version is ours when it has the
    name of ours ("endive"): versions of one name differ by additions only.
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
