"""What a provider may refuse, or be refused, beside payments."""

from billing.errors import BadInput
from billing.gateway.kinds import DeliveryFault, SignatureFault


class ProviderKeyRefused(BadInput):
    """The provider refuses our own key: whoever configures this has to act, and no caller can."""


class SignatureRefused(BadInput):
    """A delivery that can't be believed; nothing of it was used."""

    def __init__(self, reason: SignatureFault, what: str) -> None:
        super().__init__(
            what, where="a webhook delivery", remedy="none, unless it came from the provider"
        )
        self.reason: SignatureFault = reason


class WrongDelivery(BadInput):
    """A true delivery that isn't meant for this engine; nothing of it was used."""

    def __init__(self, reason: DeliveryFault, what: str, remedy: str) -> None:
        super().__init__(what, where="a webhook delivery", remedy=remedy)
        self.reason: DeliveryFault = reason
