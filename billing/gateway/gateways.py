"""The accounts at providers that the configuration names, each connected at its first use."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, cast

from billing.errors import BadInput, Unavailable
from billing.gateway import Gateway
from billing.gateway.taxes import TaxService


class Gateways:
    """A gateway by the name of its account. Threads share one; make it after forking."""

    def __init__(
        self, names: Sequence[str], default: str | None, connect: Callable[[str], Gateway]
    ) -> None:
        assert default in names or not names, "the default is one of the accounts"
        self.names = tuple(names)
        self.default_name = default
        self._connect = connect
        self._connected: dict[str, Gateway] = {}
        self._lock = threading.Lock()

    @property
    def default(self) -> Gateway:
        """The account that collects for new customers. Raises: Unavailable when there is none."""
        return self.of(self.default_account)

    @property
    def default_account(self) -> str:
        """The name of the account for new customers. Raises: Unavailable when there is none."""
        if self.default_name is None:
            raise Unavailable("there is no provider to ask here")
        return self.default_name

    def of(self, provider: str) -> Gateway:
        """Return the gateway of an account. Raises `BadInput` when there is none of that name.

        Raises `BadInput` and `Unavailable` too when the account can't be reached as configured.
        """
        provider = self.named(provider)
        with self._lock:
            if provider not in self._connected:
                self._connected[provider] = self._connect(provider)
            return self._connected[provider]

    def taxes_at(self, provider: str | None) -> TaxService:
        """Return what computes taxes at an account; None is the default.

        Raises `BadInput` where its provider computes none, and as `of` does.
        """
        name = self.named(provider)
        gateway = self.of(name)
        if not gateway.capabilities.computes_taxes:
            raise BadInput(
                f"the provider of the account {name!r} computes no taxes",
                where="tax.account",
                remedy="name an account at a provider that does, or set tax.provider otherwise",
            )
        return cast(TaxService, gateway)

    def only(self, provider: str | None) -> str:
        """Return the name of an account that there is; None is the only one.

        Raises `BadInput` when there are several and none is named, and as `named` does: what
        belongs to one account would be booked a second time on another.
        """
        if provider is None and len(self.names) > 1:
            raise BadInput(
                f"there are several accounts: {', '.join(self.names)}",
                where="--provider",
                remedy="name the one that this is about, with --provider NAME",
            )
        return self.named(provider)

    def named(self, provider: str | None) -> str:
        """Return the name of an account that there is; None is the default.

        Raises `BadInput` when there is none of that name, `Unavailable` when there is none at all.
        """
        if provider is None:
            return self.default_account
        if provider not in self.names:
            raise BadInput(
                f"there is no provider {provider!r} in the configuration",
                where="providers",
                remedy=f"{_choice(self.names)}; where rows name it, add its section"
                f" [providers.{provider}] again",
            )
        return provider

    def balances(self, provider: str | None = None) -> dict[str, Mapping[str, int] | None]:
        """Return the balances of every account, or of one, by currency.

        None where the provider tells what moved and no balance; an account is left out where it
        tells neither. Raises `BadInput`, `Unavailable`.
        """
        names = self.names if provider is None else (self.named(provider),)
        asked = [(name, self.of(name)) for name in names]
        return {
            name: each.balance() if each.capabilities.lists_balance else None
            for name, each in asked
            if each.capabilities.lists_movements
        }

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, Gateway]]:
        """Yield each account's name and gateway, in the order of the configuration."""
        for name in self.names:
            yield name, self.of(name)


def _choice(names: Sequence[str]) -> str:
    return f"the accounts are {', '.join(names)}" if len(names) > 1 else f"there is {names[0]}"


def _nowhere(name: str) -> Gateway:
    raise Unavailable(f"{name} is not reached here")


NO_GATEWAYS: Final = Gateways([], None, _nowhere)
"""For work that calls no provider, as a settlement from a file."""
