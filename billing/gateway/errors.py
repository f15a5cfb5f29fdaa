"""Errors other than the outcome of a payment: refused keys, refused deliveries."""

from billing.errors import BadInput
from billing.gateway.kinds import DeliveryFault, SignatureFault


class ProviderKeyRefused(BadInput):
    """The provider refuses our own key: the operator has to change the configuration; a caller
    can't help.
    """


class SignatureRefused(BadInput):
    """A delivery that isn't genuine; nothing of it was used."""

    def __init__(self, reason: SignatureFault, what: str) -> None:
        super().__init__(
            what, where="a webhook delivery", remedy="none, unless it came from the provider"
        )
        self.reason: SignatureFault = reason


class WrongDelivery(BadInput):
    """A genuine delivery that isn't meant for this engine; nothing of it was used."""

    def __init__(self, reason: DeliveryFault, what: str, remedy: str) -> None:
        super().__init__(what, where="a webhook delivery", remedy=remedy)
        self.reason: DeliveryFault = reason
