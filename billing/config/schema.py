"""Every section and key there is, with its default; docs/configuration.md describes each."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from billing.config.show import keys_of, shown
from billing.config.values import (
    EMBEDDED,
    MINIMUM_AMOUNTS,
    PREFIX,
    Amounts,
    AnyDuration,
    CadenceText,
    Count,
    Duration,
    Port,
    PostgresUrl,
    RedisUrl,
    one_address,
    one_or_two,
    split_list,
    split_secrets,
)
from billing.errors import BadInput
from plans.terms import Cadence, Dunning


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DatabaseSettings(_Section):
    """PostgreSQL; `role` is what every connection becomes, so that it can't change the ledger."""

    url: PostgresUrl = EMBEDDED
    role: str = "billing_app"
    pool_size: Count = 10
    statement_timeout: Duration = timedelta(seconds=30)


class RedisSettings(_Section):
    """The message queue: a doorbell that may be lost at any time."""

    url: RedisUrl = EMBEDDED
    namespace: str = "billing"


class EmbeddedSettings(_Section):
    """Where embedded servers keep their files."""

    dir: Path = Path(".perennial")


class StripeSettings(_Section):
    """The provider. An empty `api_base` means Stripe's own, or the embedded sandbox's."""

    api_key: SecretStr = SecretStr("")
    api_base: str = ""
    timeout_connect: Duration = timedelta(seconds=3)
    timeout_read: Duration = timedelta(seconds=30)
    deadline: Duration = timedelta(seconds=60)
    rate_per_second: Annotated[float, Field(gt=0)] = 25.0


class PlansSettings(_Section):
    """What is sold."""

    catalog: Path = Path("plans/catalog")


class SchedulerSettings(_Section):
    """The daemon that opens due cycles and sends charges on their way."""

    tick: Duration = timedelta(seconds=1)
    batch: Count = 500
    dispatch_window: Duration = timedelta(seconds=60)
    catch_up: Literal["bill", "skip", "park"] = "bill"
    catch_up_cap: Count = 3
    queue_high_water: Count = 5000


class ChargesSettings(_Section):
    """One charge: how long it may take, and how an unknown outcome is asked about."""

    lease: Duration = timedelta(minutes=2)
    unknown_backoff: Duration = timedelta(seconds=5)
    unknown_backoff_max: Duration = timedelta(minutes=10)
    key_max_age: Duration = timedelta(hours=23)
    minimum_amounts: Amounts = MINIMUM_AMOUNTS


class BudgetSettings(_Section):
    """How much one payment method may be tried, over all its invoices."""

    max_attempts: Count = 8
    window: Duration = timedelta(days=30)
    spacing: AnyDuration = timedelta(hours=24)


class DunningSettings(_Section):
    """The ladder of plans that have none of their own, and the budget that binds them all."""

    retry_after: Annotated[tuple[CadenceText, ...], BeforeValidator(split_list)] = (
        Cadence(3, "day"),
        Cadence(5, "day"),
        Cadence(7, "day"),
    )
    then: Literal["cancel", "unpaid"] = "cancel"
    budget: BudgetSettings = BudgetSettings()

    @property
    def ladder(self) -> Dunning:
        """The ladder as plans carry it."""
        return Dunning(self.retry_after, self.then)


class ReconcilerSettings(_Section):
    """Comparing our books with the provider's; `grace` is how long a difference may last.

    A settlement run begins when a boundary of `settle_every`, counted from midnight UTC, has
    passed; with nothing ("0s") at every tick. `settle_grace` is how long the provider may take
    to show the settlement of a capture.
    """

    tick: Duration = timedelta(seconds=30)
    grace: AnyDuration = timedelta(hours=1)
    batch: Count = 100
    lease: Duration = timedelta(minutes=5)
    settle_every: AnyDuration = timedelta(days=1)
    settle_grace: AnyDuration = timedelta(days=1)


class RevenueSettings(_Section):
    """When the deferred revenue of an invoice is earned."""

    recognise: Literal["period_end", "daily"] = "period_end"


class WorkerSettings(_Section):
    """The processes that charge; they divide their share of the provider's rate."""

    threads: Count = 8
    processes: Count = 1
    poll: Duration = timedelta(milliseconds=200)


class ApiSettings(_Section):
    """The doors for other programs: HTTP and gRPC. `pepper` keys the hashes of API keys."""

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


class WebhooksSettings(_Section):
    """The provider's notices; without secrets nobody can deliver any, and the sweep reads all.

    A signature may be as old as `tolerance`. Every `sweep_every` the provider is asked which
    events never reached us.
    """

    secrets: Annotated[
        tuple[SecretStr, ...], BeforeValidator(split_secrets), AfterValidator(one_or_two)
    ] = ()
    tolerance: Duration = timedelta(minutes=5)
    tick: Duration = timedelta(seconds=1)
    sweep_every: Duration = timedelta(minutes=5)


class MetricsSettings(_Section):
    """Where each role serves /livez, /readyz and /metrics; port 0 takes a free one."""

    host: Annotated[str, AfterValidator(one_address)] = "127.0.0.1"
    scheduler_port: Port = 0
    worker_port: Port = 0
    reconciler_port: Port = 0
    api_port: Port = 0


class LogsSettings(_Section):
    """How log lines look, and how many there are."""

    format: Literal["auto", "console", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(_Section):
    """Everything that can be set. Immutable; made by `load_settings`."""

    mode: Literal["sandbox", "live"] = "sandbox"
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    stripe: StripeSettings = StripeSettings()
    plans: PlansSettings = PlansSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    charges: ChargesSettings = ChargesSettings()
    dunning: DunningSettings = DunningSettings()
    reconciler: ReconcilerSettings = ReconcilerSettings()
    revenue: RevenueSettings = RevenueSettings()
    worker: WorkerSettings = WorkerSettings()
    api: ApiSettings = ApiSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    metrics: MetricsSettings = MetricsSettings()
    logs: LogsSettings = LogsSettings()

    @property
    def uses_embedded_sandbox(self) -> bool:
        """Tell whether the provider is the sandbox that comes with the engine."""
        return self.mode == "sandbox" and not self.stripe.api_base and not self._key()

    def stripe_key(self) -> str:
        """Return the provider's key. Raises: BadInput when none is set."""
        if not self._key():
            raise BadInput(
                "there is no key for the provider",
                where="stripe.api_key",
                remedy=f"set {PREFIX}STRIPE__API_KEY, or {PREFIX}STRIPE__API_KEY_FILE",
            )
        return self._key()

    def show(self) -> dict[str, str]:
        """Return every key with its value as text, secrets masked."""
        return shown(self)

    def _key(self) -> str:
        return self.stripe.api_key.get_secret_value()


def all_keys() -> list[str]:
    """Return every key there is, like "stripe.api_key"."""
    return sorted(keys_of(Settings))
