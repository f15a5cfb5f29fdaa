"""The sections of the providers, one a kind of provider, with the checks of that kind.

Another kind is a section here, a member of `AnySection` and `SECTIONS`, and its gateway
(`billing/gateway/registry.py`).
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from billing.config.section import Section
from billing.config.values import CurrencyCode, Duration, one_or_two, split_secrets

Mode = Literal["sandbox", "live"]
Secrets = Annotated[
    tuple[SecretStr, ...], BeforeValidator(split_secrets), AfterValidator(one_or_two)
]
DEFAULT_NAME: Final = "stripe"


class AccountSettings(Section):
    """An account at any provider. An empty `api_base` means the provider's own server, or the
    embedded sandbox's.
    """

    default: bool = False
    api_base: str = ""
    timeout_connect: Duration = timedelta(seconds=3)
    timeout_read: Duration = timedelta(seconds=30)
    deadline: Duration = timedelta(seconds=60)
    rate_per_second: Annotated[float, Field(gt=0)] = 25.0

    def contradictions(self, mode: Mode) -> Iterable[tuple[str, str, str]]:
        """Yield what doesn't go with the mode: key, what, remedy."""
        if mode == "live" and self.api_base:
            yield (
                "api_base",
                "mode is live, but the provider is another server",
                "leave api_base empty in live mode",
            )


class StripeSettings(AccountSettings):
    """A Stripe account."""

    SANDBOX: ClassVar[Mapping[str, str]] = {"api_key": "sk_test_perennial_sandbox"}
    SANDBOX_SECRETS: ClassVar[tuple[SecretStr, ...]] = ()

    kind: Literal["stripe"]
    api_key: SecretStr = SecretStr("")
    webhook_secrets: Secrets = ()

    @property
    def is_nowhere(self) -> bool:
        """Tell whether neither a key nor a server is named, so that only a sandbox is left."""
        return not self.api_base and not self.api_key.get_secret_value()

    def credentials(self, _: Mode) -> Mapping[str, str]:
        """Return the account's credentials; an empty value where one isn't set."""
        return {"api_key": self.api_key.get_secret_value()}

    def contradictions(self, mode: Mode) -> Iterable[tuple[str, str, str]]:
        """Yield what doesn't go with the mode: key, what, remedy."""
        live, kind = mode == "live", _key_kind(self.api_key.get_secret_value())
        if live and kind == "test":
            yield "api_key", "mode is live, but this is a test key", "use the live key"
        if not live and kind == "live":
            yield (
                "api_key",
                "mode is sandbox, but this is a live key: it would charge real cards",
                'use a test key, or set mode = "live"',
            )
        yield from super().contradictions(mode)


class BraintreeSettings(AccountSettings):
    """A Braintree account, its production in live mode and its sandbox otherwise.

    `merchant_accounts` names the merchant account of each currency but the default one's.
    `fees_from_disbursement`: fees are taken from each payout, and not billed by the month.
    """

    SANDBOX: ClassVar[Mapping[str, str]] = {
        "merchant_id": "perennial", "public_key": "sandbox", "private_key": "sandbox",
    }  # fmt: skip
    SANDBOX_SECRETS: ClassVar[tuple[SecretStr, ...]] = (SecretStr("sandbox:sandbox"),)

    kind: Literal["braintree"]
    merchant_id: str = ""
    public_key: str = ""
    private_key: SecretStr = SecretStr("")
    merchant_accounts: Mapping[CurrencyCode, str] = Field(default_factory=dict)
    fees_from_disbursement: bool = False

    @property
    def is_nowhere(self) -> bool:
        """Tell whether neither a key nor a server is named, so that only a sandbox is left."""
        named = (self.api_base, self.merchant_id, self.public_key)
        return not any(named) and not self.private_key.get_secret_value()

    @property
    def webhook_secrets(self) -> tuple[SecretStr, ...]:
        """The pair of keys that deliveries are signed with, where both are set."""
        private = self.private_key.get_secret_value()
        return (SecretStr(f"{self.public_key}:{private}"),) if self.public_key and private else ()

    def credentials(self, mode: Mode) -> Mapping[str, str]:
        """Return the account's credentials; an empty value where one isn't set."""
        return {
            "merchant_id": self.merchant_id,
            "public_key": self.public_key,
            "private_key": self.private_key.get_secret_value(),
            "environment": "production" if mode == "live" else "sandbox",
            **{f"merchant_account_{code}": name for code, name in self.merchant_accounts.items()},
            "fees_from_disbursement": "true" if self.fees_from_disbursement else "false",
        }


AnySection = StripeSettings | BraintreeSettings
SECTIONS: Final[Mapping[str, type[AnySection]]] = MappingProxyType({
    "stripe": StripeSettings, "braintree": BraintreeSettings,
})  # fmt: skip
ProviderSettings = Annotated[AnySection, Field(discriminator="kind")]


def one_provider() -> Any:
    """Return the account there is when the configuration names none, as it would be written."""
    return {DEFAULT_NAME: {"kind": "stripe"}}


def placed(values: dict[str, Any]) -> tuple[str, ...]:
    """Move the section `[stripe]` of earlier versions to `[providers.stripe]`, and return the
    hints.

    A section that is named like a kind of provider is of that kind unless it says otherwise.
    Changes `values`. The caller has made sure that not both are given.
    """
    hints: tuple[str, ...] = ()
    if "stripe" in values:
        old = values.pop("stripe")
        section = {"kind": "stripe", **old} if isinstance(old, dict) else old
        values["providers"] = {DEFAULT_NAME: section}
        hints = (
            '[stripe] is now [providers.stripe] with kind = "stripe", and BILLING__STRIPE__... is'
            " BILLING__PROVIDERS__STRIPE__...; the old names are still read",
        )
    providers = values.get("providers")
    if isinstance(providers, dict):
        for name, section in providers.items():
            if isinstance(section, dict) and name in SECTIONS:
                section.setdefault("kind", name)
    return hints


def _key_kind(key: str) -> Literal["live", "test", "unknown"]:
    if key.startswith(("sk_live_", "rk_live_")):
        return "live"
    return "test" if key.startswith(("sk_test_", "rk_test_")) else "unknown"
