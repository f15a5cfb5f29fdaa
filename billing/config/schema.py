"""Every section and key there is, with its default; docs/configuration.md describes each."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr

from billing.config.providers import Mode, ProviderSettings, Secrets, one_provider
from billing.config.section import Section, with_defaults
from billing.config.show import keys_of, shown
from billing.config.values import (
    EMBEDDED,
    PREFIX,
    Amounts,
    AnyDuration,
    CadenceText,
    Count,
    Duration,
    MovementAccount,
    MovementWord,
    Port,
    PostgresUrl,
    RedisUrl,
    TaxPlace,
    host_and_port,
    number_prefix,
    one_address,
    split_list,
    tax_country,
    time_of_day,
    web_address,
)
from billing.errors import BadInput
from billing.plans.terms import Cadence, Dunning


class DatabaseSettings(Section):
    """PostgreSQL; every connection takes the role `role`, which can't change the ledger."""

    url: PostgresUrl = EMBEDDED
    role: str = "billing_app"
    pool_size: Count = 10
    statement_timeout: Duration = timedelta(seconds=30)


class RedisSettings(Section):
    """The message queue. A message is a hint and may be lost at any time."""

    url: RedisUrl = EMBEDDED
    namespace: str = "billing"


class EmbeddedSettings(Section):
    """Where embedded servers keep their files."""

    dir: Path = Path(".perennial")


class PlansSettings(Section):
    """The catalog."""

    catalog: Path = Path("plans/catalog")


class SchedulerSettings(Section):
    """The daemon that opens due cycles and dispatches charges."""

    tick: Duration = timedelta(seconds=1)
    batch: Count = 500
    dispatch_window: Duration = timedelta(seconds=60)
    catch_up: Literal["bill", "skip", "park"] = "bill"
    catch_up_cap: Count = 3
    queue_high_water: Count = 5000


class ChargesSettings(Section):
    """One charge: how long it may take, and how an unknown outcome is asked about."""

    lease: Duration = timedelta(minutes=2)
    unknown_backoff: Duration = timedelta(seconds=5)
    unknown_backoff_max: Duration = timedelta(minutes=10)
    key_max_age: Duration | None = None
    minimum_amounts: Amounts = Field(default_factory=dict)
    below_minimum: Literal["waive", "park"] = "waive"


class BudgetSettings(Section):
    """How often one payment method may be tried, over all its invoices."""

    max_attempts: Count = 8
    window: Duration = timedelta(days=30)
    spacing: AnyDuration = timedelta(hours=24)


class DunningSettings(Section):
    """The ladder of plans without one of their own, and the budget for all plans."""

    retry_after: Annotated[tuple[CadenceText, ...], BeforeValidator(split_list)] = (
        Cadence(3, "day"),
        Cadence(5, "day"),
        Cadence(7, "day"),
    )
    then: Literal["cancel", "unpaid"] = "cancel"
    budget: BudgetSettings = with_defaults()

    @property
    def ladder(self) -> Dunning:
        """The ladder as plans carry it."""
        return Dunning(self.retry_after, self.then)


class ReconcilerSettings(Section):
    """Comparing our books with the provider's; `grace` is how long a difference may last.

    With `driver` "external" another system asks for the steps of settlement runs and for
    closing; the reconciler still confirms. A settlement run begins when a boundary of
    `settle_every`, counted from midnight UTC, has passed; with nothing ("0s") at every tick.
    `settle_grace` is how much longer than usual the provider may take to show a settlement.
    `movements` names the account to book a movement to that the engine doesn't know, by the
    provider's word for it.
    """

    driver: Literal["own", "external"] = "own"
    tick: Duration = timedelta(seconds=30)
    grace: AnyDuration = timedelta(hours=1)
    batch: Count = 100
    lease: Duration = timedelta(minutes=5)
    settle_every: AnyDuration = timedelta(days=1)
    settle_grace: AnyDuration = timedelta(days=1)
    movements: Mapping[MovementWord, MovementAccount] = Field(default_factory=dict)


class InvoicesSettings(Section):
    """How invoices are numbered. A series has no gaps; its numbers begin with `prefix`."""

    numbering: Literal["subscription", "series"] = "subscription"
    prefix: Annotated[str, AfterValidator(number_prefix)] = "INV"


class UsageSettings(Section):
    """Usage that meters count; a period's is billed `wait` after its end, when it has arrived."""

    wait: Annotated[AnyDuration, Field(le=timedelta(hours=12))] = timedelta(hours=1)


class PauseSettings(Section):
    """What is used in a paused period: it is refused, or counted and billed."""

    usage: Literal["refuse", "count"] = "refuse"


class RevenueSettings(Section):
    """When the deferred revenue of an invoice is earned."""

    recognise: Literal["period_end", "daily"] = "period_end"
    once: Literal["issue", "period"] = "issue"


class TaxSettings(Section):
    """How invoices are taxed: not at all, by the catalog's rates, or as a provider computes it.

    A provider is asked through the `account`, the default one if none is named; `codes` are its own
    for classes of taxes.
    `country` is the seller's; `registrations` are countries, regions as "US-NY", or "EU". With
    `reverse_charge` "confirmed" a VAT id counts once the register confirmed it. `default_class` is
    the class of what says none. With `check_vat_ids` the register is asked for VAT ids of the EU,
    and again after `recheck_vat_ids`; without an address it is the EU's, or the sandbox's.
    """

    provider: Literal["none", "table", "external"] = "none"
    account: str = ""
    codes: Mapping[str, str] = Field(default_factory=dict)
    country: Annotated[str, AfterValidator(tax_country)] = ""
    registrations: Annotated[tuple[TaxPlace, ...], BeforeValidator(split_list)] = ()
    rounding: Literal["group", "line"] = "group"
    reverse_charge: Literal["valid", "confirmed"] = "valid"
    default_class: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")] = "standard"
    check_vat_ids: bool = False
    recheck_vat_ids: Duration = timedelta(days=30)
    vies: Annotated[str, AfterValidator(web_address)] = ""

    @property
    def countries(self) -> frozenset[str]:
        """The countries whose taxes the seller levies, as far as the settings name them."""
        if self.provider != "table":
            return frozenset()
        registered = {place.partition("-")[0] for place in self.registrations} - {"EU"}
        return frozenset({self.country} | registered)


class WorkerSettings(Section):
    """The processes that charge; they divide their share of the provider's rate."""

    threads: Count = 8
    processes: Count = 1
    poll: Duration = timedelta(milliseconds=200)


class ApiSettings(Section):
    """The interfaces for other programs: HTTP and gRPC. `pepper` keys the hashes of API keys."""

    host: Annotated[str, AfterValidator(one_address)] = "127.0.0.1"
    port: Port = 8430
    grpc_port: Port = 8431
    pepper: SecretStr = SecretStr("")
    processes: Count = 1
    threads: Count = 16
    rate_per_second: Annotated[float, Field(gt=0)] = 50.0
    rate_burst: Count = 100
    body_bytes_max: Count = 65_536
    arrival_timeout: Duration = timedelta(seconds=20)
    connections_max: Count = 1_000


class ConsoleSettings(Section):
    """The pages for people. `url` is where browsers reach them, if not at `host` and `port`.

    An adjustment above `second_person_above`, by currency, takes two people.
    """

    host: Annotated[str, AfterValidator(one_address)] = "127.0.0.1"
    port: Port = 8440
    url: Annotated[str, AfterValidator(web_address)] = ""
    session: Duration = timedelta(hours=12)
    logins_per_minute: Count = 10
    threads: Count = 8
    connections_max: Count = 200
    second_person_above: Amounts = Field(default_factory=dict)


class WebhooksSettings(Section):
    """The provider's webhooks; without secrets none can be delivered, and the sweep reads all
    events.

    A signature may be as old as `tolerance`. Every `sweep_every` a sweep reads the provider's
    events that never reached us. Where it lists none, refunds and disputes are read every
    `list_every`: that costs more.
    """

    secrets: Secrets = ()
    tolerance: Duration = timedelta(minutes=5)
    tick: Duration = timedelta(seconds=1)
    sweep_every: Duration = timedelta(minutes=5)
    list_every: Duration = timedelta(hours=1)


class MetricsSettings(Section):
    """The ports of /livez, /readyz and /metrics of each role; port 0 takes a free one."""

    host: Annotated[str, AfterValidator(one_address)] = "127.0.0.1"
    scheduler_port: Port = 0
    worker_port: Port = 0
    reconciler_port: Port = 0
    api_port: Port = 0
    console_port: Port = 0


class LogsSettings(Section):
    """How log lines look, and how many there are."""

    format: Literal["auto", "console", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class TracingSettings(Section):
    """Where spans of OpenTelemetry are sent; nowhere without an endpoint. `ratio` of the traces."""

    endpoint: Annotated[str, AfterValidator(web_address)] = ""
    ratio: Annotated[float, Field(ge=0, le=1)] = 1.0


class TemporalSettings(Section):
    """Temporal, for `billing temporal`; nothing else reads it.

    A night begins every day `at` (UTC); with `require_approval` it closes once somebody consented.
    What has to be tried again is, `retry_every`; a worker that is silent for `heartbeat_timeout` is
    taken to be dead.
    """

    address: Annotated[str, AfterValidator(host_and_port)] = "127.0.0.1:7233"
    namespace: Annotated[str, Field(min_length=1)] = "default"
    task_queue: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = "perennial"
    tls: bool = False
    api_key: SecretStr = SecretStr("")
    at: Annotated[str, AfterValidator(time_of_day)] = "02:00"
    require_approval: bool = False
    retry_every: Duration = timedelta(minutes=1)
    heartbeat_timeout: Duration = timedelta(minutes=1)


class Settings(Section):
    """All settings. Immutable; made by `load_settings`."""

    mode: Mode = "sandbox"
    database: DatabaseSettings = with_defaults()
    redis: RedisSettings = with_defaults()
    embedded: EmbeddedSettings = with_defaults()
    providers: Mapping[str, ProviderSettings] = Field(
        default_factory=one_provider, validate_default=True
    )
    plans: PlansSettings = with_defaults()
    scheduler: SchedulerSettings = with_defaults()
    charges: ChargesSettings = with_defaults()
    dunning: DunningSettings = with_defaults()
    reconciler: ReconcilerSettings = with_defaults()
    invoices: InvoicesSettings = with_defaults()
    usage: UsageSettings = with_defaults()
    pause: PauseSettings = with_defaults()
    revenue: RevenueSettings = with_defaults()
    tax: TaxSettings = with_defaults()
    worker: WorkerSettings = with_defaults()
    api: ApiSettings = with_defaults()
    console: ConsoleSettings = with_defaults()
    webhooks: WebhooksSettings = with_defaults()
    metrics: MetricsSettings = with_defaults()
    logs: LogsSettings = with_defaults()
    tracing: TracingSettings = with_defaults()
    temporal: TemporalSettings = with_defaults()

    _hints: tuple[str, ...] = PrivateAttr(())
    _file: Path | None = PrivateAttr(None)

    @property
    def file(self) -> Path | None:
        """The file that was read, or None where there is none here or above."""
        return self._file

    @property
    def hints(self) -> tuple[str, ...]:
        """Hints about old names of keys that are still read, in words."""
        return self._hints

    @property
    def default_provider(self) -> str:
        """The name of the account that collects for new customers."""
        names = [name for name, provider in self.providers.items() if provider.default]
        return names[0] if names else next(iter(self.providers))

    def provider(self, name: str | None = None) -> ProviderSettings:
        """Return the section of an account, the default one without a name."""
        return self.providers[name or self.default_provider]

    @property
    def longest_call(self) -> timedelta:
        """The longest time that a call to any provider may take."""
        return max(provider.deadline for provider in self.providers.values())

    def in_embedded_sandbox(self, name: str) -> bool:
        """Tell whether an account is one at the sandbox that comes with the engine."""
        return self.mode == "sandbox" and self.providers[name].is_nowhere

    @property
    def uses_embedded_sandbox(self) -> bool:
        """Tell whether the sandbox that comes with the engine has to run."""
        return any(self.in_embedded_sandbox(name) for name in self.providers)

    def credentials(self, name: str) -> Mapping[str, str]:
        """Return the credentials of an account. Raises: BadInput when one isn't set."""
        found = self.providers[name].credentials(self.mode)
        for key, value in found.items():
            if not value:
                variable = f"{PREFIX}PROVIDERS__{name.upper()}__{key.upper()}"
                raise BadInput(
                    "there is no key for the provider",
                    where=f"providers.{name}.{key}",
                    remedy=f"set {variable}, or {variable}_FILE",
                )
        return found

    def webhook_secrets(self, name: str) -> tuple[str, ...]:
        """Return the signing secrets of an account's endpoint.

        `webhooks.secrets` are those of the default account.
        """
        provider = self.providers[name]
        own = provider.webhook_secrets
        if not own and self.in_embedded_sandbox(name):
            own = provider.SANDBOX_SECRETS
        if not own and name == self.default_provider:
            own = self.webhooks.secrets
        return tuple(secret.get_secret_value() for secret in own)

    def show(self) -> dict[str, str]:
        """Return every key with its value as text, secrets masked."""
        return shown(self)


def all_keys() -> list[str]:
    """Return every key there is, like "providers.NAME.api_key"."""
    return sorted(set(keys_of(Settings)))
