"""Reading a page of a list object by object: one that can't be read stops nothing."""

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import TypeVar

from billing.gateway.objects import ListedPage, Unreadable
from billing.gateway.untrusted import Fields
from billing.pan import without_card_numbers

T = TypeVar("T")


def unreadable_object(
    identifier: str | None, type_: str, error: Exception, shown: str | None, whole: str
) -> Unreadable:
    """Return what stands in a page for an object that can't be read.

    `whole` is all of the object as text: one without an id has to have the same name the next time.
    """
    if identifier is None:
        identifier = f"without-id-{sha256(whole.encode()).hexdigest()[:16]}"
    return Unreadable(
        identifier[:255],
        type_[:40],
        without_card_numbers(str(error))[:300],
        without_card_numbers(shown)[:60] if shown else None,
    )


def read_page(
    items: Iterable[Fields],
    read: Callable[[Fields], T | None],
    unreadable: Callable[[Fields, Exception], Unreadable],
) -> ListedPage[T]:
    """Read the objects of a page, each by itself; what reads as None is left out."""
    values: list[T] = []
    failed: list[Unreadable] = []
    last = ""
    for item in items:
        last = str(item.get("id"))
        try:
            value = read(item)
        except (ValueError, TypeError, ArithmeticError) as error:
            failed.append(unreadable(item, error))
        else:
            if value is not None:
                values.append(value)
    return ListedPage(values, failed, last)
