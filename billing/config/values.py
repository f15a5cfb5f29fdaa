"""Parsing single values: durations, cadences, amounts, URLs, secrets."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr

from billing.listening import is_every_interface
from billing.plans.countries import is_country, is_region
from billing.plans.currencies import check_sold, format_amount, parse_amount
from billing.plans.terms import Cadence
from billing.plans.territories import part_of

EMBEDDED: Final = "embedded"
PREFIX: Final = "BILLING__"
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME_OF_DAY: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
_PREFIX: Final = re.compile(r"[A-Z0-9]+(-[A-Z0-9]+)*", re.ASCII)
_PREFIX_MAX: Final = 9  # a subscription's own is longer
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


def split_list(value: object) -> object:
    """Let the environment give a list as "3d, 5d, 7d"."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def split_secrets(value: object) -> object:
    """Let the environment or a file give secrets side by side, in lines or with commas."""
    if isinstance(value, str):
        return [part for part in re.split(r"[,\s]+", value) if part]
    return value


def one_or_two(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    """Check that there are one or two secrets. Raises: ValueError."""
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
    """Read amounts as the catalog does, exact text by currency, as minor units."""
    if not isinstance(value, Mapping):
        raise ValueError('must be a table of amounts by currency, like { USD = "0.50" }')
    amounts: dict[str, int] = {}
    for currency, text in value.items():
        check_sold(currency)
        if not isinstance(text, str):
            raise ValueError(f'{currency} must be text, like "0.50": a float is not exact')
        amounts[currency] = parse_amount(text, currency)
    return amounts


def one_address(host: str) -> str:
    """Check that a host isn't "every interface" in any spelling. Raises: ValueError."""
    if is_every_interface(host):
        raise ValueError('must be one address, like "127.0.0.1", not every interface')
    return host


def web_address(url: str) -> str:
    """Check that a text is empty or an address of HTTP. Raises: ValueError."""
    if url and not url.startswith(("http://", "https://")):
        raise ValueError('must be an address like "http://127.0.0.1:4318/v1/traces"')
    return url


def host_and_port(address: str) -> str:
    """Check that a text is a host with a port. Raises: ValueError."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError('must be a host with a port, like "127.0.0.1:7233"')
    return address


def number_prefix(text: str) -> str:
    """Return what numbers of a series begin with. Raises: ValueError."""
    if len(text) > _PREFIX_MAX or not _PREFIX.fullmatch(text):
        raise ValueError(
            f"'{text}' must be capitals and digits, with single dashes between them, at most"
            f" {_PREFIX_MAX} characters, like INV or DE-2027"
        )
    return text


def tax_country(code: str) -> str:
    """Check that a text is empty or the code of a country. Raises: ValueError."""
    if code and not is_country(code):
        raise ValueError(f"{code!r} is no country: write its code in ISO 3166, like DE")
    _refuse_part(code)
    return code


def _refuse_part(country: str) -> None:
    part = part_of(country)
    if part is not None:
        raise ValueError(f"{part.name} is taxed as a part of {part.country}: write {part.country}")


def _tax_place(text: str) -> str:
    country, dash, region = text.partition("-")
    if text != "EU" and not (is_country(country) and (not dash or is_region(country, region))):
        raise ValueError(f"{text!r} must be a country like GB, a region like US-NY, or EU")
    _refuse_part(country)
    return text


def time_of_day(text: str) -> str:
    """Check that a text is a time of day. Raises: ValueError."""
    if not _TIME_OF_DAY.fullmatch(text):
        raise ValueError('must be a time of day, like "02:00"')
    return text


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
TaxPlace = Annotated[str, AfterValidator(_tax_place)]
CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
MovementWord = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,49}$")]
MovementAccount = Literal[
    "adjustments", "bank", "contributions", "payout_transit", "psp_fees", "psp_reserves"
]
PostgresUrl = Annotated[
    str, _url_of("postgresql", "postgres", "postgresql+psycopg"), Field(repr=False)
]
RedisUrl = Annotated[str, _url_of("redis", "rediss", "unix"), Field(repr=False)]
Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
