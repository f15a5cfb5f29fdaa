"""Settings: `config.toml`, then the environment over it, checked as a whole before use.

`BILLING__SECTION__KEY` overrides a key, and `BILLING__SECTION__KEY_FILE` names a file that holds
the value, for secrets. An unknown key is an error, not a silence. Relative paths count from the
folder of the configuration file. Every key is described in docs/configuration.md.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
)

from billing.errors import BadInput
from plans.currencies import digits, format_amount, parse_amount
from plans.terms import Cadence, Dunning

DEFAULT_FILE: Final = Path("config.toml")
EMBEDDED: Final = "embedded"
MASK: Final = "********"
# What Stripe refuses to charge less than, in minor units, where accounts settle in the currency.
MINIMUM_AMOUNTS: Final[Mapping[str, int]] = {
    "AUD": 50, "CAD": 50, "CHF": 50, "DKK": 250, "EUR": 50, "GBP": 30,
    "JPY": 50, "NOK": 300, "NZD": 50, "SEK": 300, "USD": 50,
}  # fmt: skip
_PREFIX: Final = "BILLING__"
_FILE_SUFFIX: Final = "_FILE"
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"([0-9]{1,6}) ?(ms|s|m|h|d)", re.ASCII)


def parse_duration(value: object) -> timedelta:
    """Read "30s", "15m", "23h", "2d" or "250ms". Raises: ValueError."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a duration; write it like "30s", "15m", "23h" or "2d"')
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def format_duration(duration: timedelta) -> str:
    """Write a duration with the largest unit that leaves a whole number."""
    millis = round(duration.total_seconds() * 1000)
    for unit in ("d", "h", "m", "s"):
        whole = round(_UNITS[unit] * 1000)
        if millis and millis % whole == 0:
            return f"{millis // whole}{unit}"
    return f"{millis}ms"


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError("must be longer than nothing")
    return duration


def _split(value: object) -> object:
    """Let the environment give a list as "3d, 5d, 7d"."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _secrets(value: object) -> object:
    """Let the environment or a file give secrets side by side, in lines or with commas."""
    if isinstance(value, str):
        return [part for part in re.split(r"[,\s]+", value) if part]
    return value


def _one_or_two(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if not all(secret.get_secret_value().strip() for secret in secrets):
        raise ValueError("an empty secret would let anybody in")
    if len(secrets) > 2:
        raise ValueError("one secret, or two while the new one replaces the old")
    return secrets


def _cadence(value: object) -> Cadence:
    if isinstance(value, Cadence):
        return value
    return Cadence.parse(str(value))


def _minor_units(value: object) -> dict[str, int]:
    """Read amounts as the catalog does, exact text by currency, over the amounts known here."""
    if not isinstance(value, Mapping):
        raise ValueError('must be a table of amounts by currency, like { USD = "0.50" }')
    amounts = dict(MINIMUM_AMOUNTS)
    for currency, text in value.items():
        digits(currency)
        if not isinstance(text, str):
            raise ValueError(f'{currency} must be text, like "0.50": a float is not exact')
        amounts[currency] = parse_amount(text, currency)
    return amounts


def _one_address(host: str) -> str:
    try:
        everywhere = not host or ip_address(host).is_unspecified
    except ValueError:  # a name
        everywhere = False
    if everywhere:
        raise ValueError('must be one address, like "127.0.0.1", not every interface')
    return host


def _url_of(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        if url != EMBEDDED and not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f'must be "{EMBEDDED}" or a URL like {schemes[0]}://host/name')
        return url

    return AfterValidator(check)


AnyDuration = Annotated[
    timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration)
]
Duration = Annotated[AnyDuration, AfterValidator(_positive)]
CadenceText = Annotated[Cadence, BeforeValidator(_cadence), PlainSerializer(str)]
Amounts = Annotated[
    Mapping[str, int],
    BeforeValidator(_minor_units),
    PlainSerializer(lambda amounts: {code: format_amount(amounts[code], code) for code in amounts}),
]
PostgresUrl = Annotated[str, _url_of("postgresql", "postgresql+psycopg"), Field(repr=False)]
RedisUrl = Annotated[str, _url_of("redis", "rediss", "unix"), Field(repr=False)]
Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]


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

    retry_after: Annotated[tuple[CadenceText, ...], BeforeValidator(_split)] = (
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

    host: Annotated[str, AfterValidator(_one_address)] = "127.0.0.1"
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
        tuple[SecretStr, ...], BeforeValidator(_secrets), AfterValidator(_one_or_two)
    ] = ()
    tolerance: Duration = timedelta(minutes=5)
    tick: Duration = timedelta(seconds=1)
    sweep_every: Duration = timedelta(minutes=5)


class MetricsSettings(_Section):
    """Where each role serves /livez, /readyz and /metrics; port 0 takes a free one."""

    host: Annotated[str, AfterValidator(_one_address)] = "127.0.0.1"
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
        return self.mode == "sandbox" and not self.stripe.api_base and not _key(self)

    def stripe_key(self) -> str:
        """Return the provider's key. Raises: BadInput when none is set."""
        if not _key(self):
            raise BadInput(
                "there is no key for the provider",
                where="stripe.api_key",
                remedy=f"set {_PREFIX}STRIPE__API_KEY, or {_PREFIX}STRIPE__API_KEY_FILE",
            )
        return _key(self)

    def show(self) -> dict[str, str]:
        """Return every key with its value as text, secrets masked."""
        return dict(_flat(self.model_dump(), ()))


def load_settings(path: Path | None, env: Mapping[str, str]) -> Settings:
    """Read the file (or `config.toml`, if there is one) and the environment over it.

    Raises: BadInput, which names every problem with its place and remedy.
    """
    file = path or DEFAULT_FILE
    if path is not None or file.exists():
        values, text = _read_file(file)
    else:
        values, text = {}, ""
    origins = _Origins(str(file), text)
    _overlay(values, env, origins)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise _bad([_invalid(problem, origins) for problem in error.errors()]) from None
    contradictions = list(_contradictions(settings))
    if contradictions:
        raise _bad([(origins.of(loc), what, remedy) for loc, what, remedy in contradictions])
    return _with_absolute_paths(settings, file.absolute().parent)


Problem = tuple[str, str, str]  # where, what, remedy


class _Origins:
    """Where each value came from: a line of the file, or a variable."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._lines = text.splitlines()
        self._variables: dict[tuple[str, ...], str] = {}

    def note(self, loc: tuple[str, ...], variable: str) -> None:
        self._variables[loc] = variable

    def of(self, loc: tuple[str, ...]) -> str:
        for length in range(len(loc), 0, -1):
            if loc[:length] in self._variables:
                return f"environment, {self._variables[loc[:length]]}"
        for inner, variable in self._variables.items():
            if inner[: len(loc)] == loc:
                return f"environment, {variable}"
        line = self._line(loc)
        return f"{self._file}{f':{line}' if line else ''}, {'.'.join(loc)}"

    def _line(self, loc: tuple[str, ...]) -> int | None:
        """Find the key by eye, so to speak: the TOML reader doesn't keep lines."""
        table: tuple[str, ...] = ()
        best = None
        for number, line in enumerate(self._lines, start=1):
            if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
                table = tuple(part.strip(" \"'") for part in header[1].split("."))
                if table == loc[: len(table)]:
                    best = number
            elif key := re.match(r"""\s*([\w.\-"']+)\s*=""", line):
                name = tuple(part.strip(" \"'") for part in key[1].split("."))
                if (*table, *name) == loc[: len(table) + len(name)]:
                    return number
        return best


def _read_file(file: Path) -> tuple[dict[str, Any], str]:
    try:
        text = file.read_text(encoding="utf-8")
        return tomllib.loads(text), text
    except FileNotFoundError:
        remedy = "name an existing file, or none to use the defaults"
        raise BadInput("there is no such configuration file", where=str(file), remedy=remedy) from (
            None
        )
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(
            f"the configuration can't be read: {error}", where=str(file), remedy="correct the file"
        ) from None


def _overlay(values: dict[str, Any], env: Mapping[str, str], origins: _Origins) -> None:
    """Put the environment's values over the file's."""
    for variable in sorted(env):
        if not variable.startswith(_PREFIX):
            continue
        loc = tuple(variable.removeprefix(_PREFIX).lower().split("__"))
        text = env[variable]
        if loc[-1].endswith(_FILE_SUFFIX.lower()):
            plain = variable.removesuffix(_FILE_SUFFIX)
            if plain in env:
                raise BadInput(
                    f"{plain} is set twice, once directly and once by a file",
                    where=f"environment, {variable}",
                    remedy="unset one of the two",
                )
            loc = (*loc[:-1], loc[-1].removesuffix(_FILE_SUFFIX.lower()))
            text = _read_secret(variable, Path(text))
        if loc[:2] == ("charges", "minimum_amounts"):
            loc = (*loc[:2], *(code.upper() for code in loc[2:]))
        origins.note(loc, variable)
        _put(values, loc, _parse(text), variable)


def _put(values: dict[str, Any], loc: tuple[str, ...], value: object, variable: str) -> None:
    table = values
    for name in loc[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise BadInput(
                f"{name} is one value, not a section",
                where=f"environment, {variable}",
                remedy=f"write {_PREFIX}SECTION__KEY with two underscores between the parts",
            )
    table[loc[-1]] = value


def _parse(text: str) -> object:
    """Read lists and tables as JSON; everything else stays text, for the key's own reader."""
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return text


def _read_secret(variable: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"the file {file} can't be read: {error}",
            where=f"environment, {variable}",
            remedy="name a file that this user may read",
        ) from None


def _invalid(problem: Any, origins: _Origins) -> Problem:
    loc = tuple(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        where, known = origins.of(loc), _known_keys(loc[:-1])
        kind = "key" if len(loc) > 1 else "section or key"
        close = difflib.get_close_matches(loc[-1], known, n=1)
        remedy = f"did you mean {close[0]}?" if close else f"one of {', '.join(known)}"
        return where, f"unknown {kind} {loc[-1]!r}", remedy
    key = tuple(part for part in loc if not part.isdigit())
    what = problem["msg"].removeprefix("Value error, ")
    return origins.of(loc), f"{'.'.join(key)}: {what}", "see docs/configuration.md"


def _known_keys(loc: tuple[str, ...]) -> list[str]:
    model: Any = Settings
    for name in loc:
        model = model.model_fields[name].annotation
    return list(model.model_fields)


def _contradictions(settings: Settings) -> Iterable[tuple[tuple[str, ...], str, str]]:
    """Yield what is wrong with the whole although each part is right: place, what, remedy."""
    stripe, charges = settings.stripe, settings.charges
    yield from _mode_contradictions(settings)
    if stripe.deadline >= charges.lease:
        yield (
            ("charges", "lease"),
            "a charge may take longer than its lease: another worker would start it again",
            "make charges.lease longer than stripe.deadline",
        )
    if stripe.deadline >= settings.reconciler.lease:
        yield (
            ("reconciler", "lease"),
            "reading one page may take longer than the lease: another reconciler would take over",
            "make reconciler.lease longer than stripe.deadline",
        )
    if stripe.timeout_read > stripe.deadline:
        yield (
            ("stripe", "timeout_read"),
            "one read may take longer than the whole call",
            "make stripe.timeout_read at most stripe.deadline",
        )
    if charges.key_max_age >= timedelta(hours=24):
        yield (
            ("charges", "key_max_age"),
            "the provider may forget an idempotency key after 24 h: the charge would be made twice",
            "keep it below 24h; 23h is the default",
        )
    if charges.unknown_backoff > charges.unknown_backoff_max:
        yield (
            ("charges", "unknown_backoff"),
            "the first pause is longer than the longest",
            "make it at most charges.unknown_backoff_max",
        )


def _mode_contradictions(settings: Settings) -> Iterable[tuple[tuple[str, ...], str, str]]:
    live, kind = settings.mode == "live", _key_kind(_key(settings))
    if live and kind == "test":
        yield ("stripe", "api_key"), "mode is live, but this is a test key", "use the live key"
    if not live and kind == "live":
        yield (
            ("stripe", "api_key"),
            "mode is sandbox, but this is a live key: it would charge real cards",
            'use a test key, or set mode = "live"',
        )
    if live and settings.stripe.api_base:
        yield (
            ("stripe", "api_base"),
            "mode is live, but the provider is another server",
            "leave stripe.api_base empty in live mode",
        )


def _key(settings: Settings) -> str:
    return settings.stripe.api_key.get_secret_value()


def _key_kind(key: str) -> Literal["live", "test", "unknown"]:
    if key.startswith(("sk_live_", "rk_live_")):
        return "live"
    return "test" if key.startswith(("sk_test_", "rk_test_")) else "unknown"


def _with_absolute_paths(settings: Settings, base: Path) -> Settings:
    embedded = settings.embedded.model_copy(update={"dir": base / settings.embedded.dir})
    plans = settings.plans.model_copy(update={"catalog": base / settings.plans.catalog})
    return settings.model_copy(update={"embedded": embedded, "plans": plans})


def _bad(problems: list[Problem]) -> BadInput:
    if len(problems) == 1:
        where, what, remedy = problems[0]
        return BadInput(what, where=where, remedy=remedy)
    lines = [f"{where}: {what} ({remedy})" for where, what, remedy in problems]
    return BadInput("\n  ".join([f"the configuration has {len(problems)} problems:", *lines]))


def _flat(value: object, loc: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from _flat(part, (*loc, str(name)))
    else:
        yield ".".join(loc), _in_words(value)


def _in_words(value: object) -> str:
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, list | tuple):
        return ", ".join(_in_words(part) for part in value)
    text = re.sub(r"(://[^\s:/@]*:)[^\s@/]+@", rf"\1{MASK}@", str(value))
    return re.sub(r"([?&](?:ssl)?password=)[^&\s]+", rf"\1{MASK}", text, flags=re.IGNORECASE)


def all_keys() -> list[str]:
    """Return every key there is, like "stripe.api_key"."""
    return sorted(_keys_of(Settings, ()))


def _keys_of(model: type[BaseModel], loc: tuple[str, ...]) -> Iterable[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys_of(kind, (*loc, name))
        else:
            yield ".".join((*loc, name))
