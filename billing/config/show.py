"""How settings are shown: every key with its value as text, secrets masked."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel, SecretStr

from billing.redaction import without_secrets

MASK: Final = "********"


def shown(settings: BaseModel) -> dict[str, str]:
    """Return every key with its value as text, secrets masked."""
    return dict(_flat(settings.model_dump(), ()))


def sections_of(kind: Any) -> tuple[type[BaseModel], ...]:
    """Return the sections that a table of sections by name may hold; none for another type."""
    parts = get_args(kind)
    if get_origin(kind) is not Mapping:
        return ()
    held = get_args(parts[1])[0] if get_origin(parts[1]) is Annotated else parts[1]
    kinds = get_args(held) or (held,)
    return tuple(each for each in kinds if isinstance(each, type) and issubclass(each, BaseModel))


def keys_of(model: type[BaseModel], loc: tuple[str, ...] = ()) -> Iterable[str]:
    """Yield every key of a section, like "api.port" or "providers.NAME.api_key"."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if sections := sections_of(kind):
            for section in sections:
                yield from keys_of(section, (*loc, name, "NAME"))
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys_of(kind, (*loc, name))
        else:
            yield ".".join((*loc, name))


def _flat(value: object, loc: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from _flat(part, (*loc, str(name)))
    else:
        yield ".".join(loc), _in_words(value)


def _in_words(value: object) -> str:
    if value is None or value == {}:
        return ""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, list | tuple):
        return ", ".join(_in_words(part) for part in value)
    return without_secrets(str(value), MASK)
