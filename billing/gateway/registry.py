"""The table of provider kinds. Another one is a package of its own and a line here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from billing.errors import BadInput
from billing.gateway.braintree.kind import BRAINTREE
from billing.gateway.kinds import DeclineClass
from billing.gateway.provider_kind import ProviderKind
from billing.gateway.reports import ReportReader
from billing.gateway.stripe.kind import STRIPE

KINDS: Final[Mapping[str, ProviderKind]] = MappingProxyType(
    {"stripe": STRIPE, "braintree": BRAINTREE}
)


def decline_codes() -> Mapping[str, DeclineClass]:
    """Return every decline code that a provider may tell, with its class."""
    return {code: cls for kind in KINDS.values() for code, cls in kind.decline_codes.items()}


def operations() -> frozenset[str]:
    """Return the name of every request that a gateway makes, as its metrics call it."""
    return frozenset(name for kind in KINDS.values() for name in kind.operations)


def event_types() -> frozenset[str]:
    """Return every type of event that is handled, as the providers spell them."""
    return frozenset(name for kind in KINDS.values() for name in kind.event_types)


def report_reader(kind: str) -> ReportReader:
    """Return the reader of a kind of provider's reports. Raises: BadInput where it has none."""
    reader = KINDS[kind].reports
    if reader is None:
        raise BadInput(f"{kind} has no settlement reports", where="providers")
    return reader
