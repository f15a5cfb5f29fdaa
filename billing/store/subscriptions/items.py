"""The items that subscriptions hold beside the single price of a plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypedDict
from uuid import UUID

from sqlalchemy import Connection, text

from billing.store.arrays import literal
from billing.store.bulk import bulk_insert
from billing.store.rows import reader
from billing.store.tables import subscription_items


@dataclass(frozen=True, slots=True)
class HeldItem:
    """One item of a subscription: of its plan, or of an add-on in a version.

    `billed_in` is the invoice that charged it, where it is charged once.
    """

    subscription_id: UUID
    item: str
    quantity: int
    addon: str | None = None
    addon_version: date | None = None
    billed_in: UUID | None = None


class NewItem(TypedDict):
    """The columns of an item that a subscription begins to hold."""

    subscription_id: UUID
    item: str
    quantity: int
    addon: str | None
    addon_version: date | None


_of = reader(HeldItem)

_OF_MANY = text(
    """
    SELECT subscription_id, item, quantity, addon, addon_version, billed_in
      FROM subscription_items WHERE subscription_id = ANY(CAST(:ids AS uuid[]))
     ORDER BY subscription_id, item
    """
)


def of_many(
    conn: Connection, subscription_ids: Sequence[UUID]
) -> Mapping[UUID, Sequence[HeldItem]]:
    """Return the items of each subscription that holds any."""
    found: dict[UUID, list[HeldItem]] = {}
    for row in conn.execute(_OF_MANY, {"ids": literal(subscription_ids)}):
        found.setdefault(row.subscription_id, []).append(_of(row))
    return found


def of_subscription(conn: Connection, subscription_id: UUID) -> Sequence[HeldItem]:
    """Return the items of one subscription."""
    return of_many(conn, [subscription_id]).get(subscription_id, ())


def add(conn: Connection, rows: Sequence[NewItem]) -> None:
    """Insert items that subscriptions begin to hold."""
    bulk_insert(conn, subscription_items, rows)


_HOLD = text(
    """
    INSERT INTO subscription_items AS s (subscription_id, item, quantity, addon, addon_version)
    SELECT :subscription, x.item, x.quantity,
           CASE WHEN x.addon_version IS NOT NULL THEN x.item END, x.addon_version
      FROM unnest(CAST(:items AS text[]), CAST(:quantities AS int[]), CAST(:versions AS date[]))
           AS x(item, quantity, addon_version)
        ON CONFLICT (subscription_id, item) DO UPDATE
           SET quantity = excluded.quantity, addon_version = excluded.addon_version
     WHERE (s.quantity, s.addon_version)
           IS DISTINCT FROM (excluded.quantity, excluded.addon_version)
    """
)
_LET_GO = text(
    """
    UPDATE subscription_items SET quantity = 0
     WHERE subscription_id = :subscription AND quantity > 0
       AND item <> ALL (CAST(:items AS text[]))
    """
)


def hold(
    conn: Connection,
    subscription_id: UUID,
    quantities: Mapping[str, int],
    addons: Mapping[str, date],
) -> None:
    """Let a subscription hold these quantities of items, and none of any other.

    Those of `addons` are add-ons, each in a version.
    """
    values: dict[str, object] = {
        "subscription": subscription_id,
        "items": literal(list(quantities)),
    }
    conn.execute(_LET_GO, values)
    if quantities:
        more = {
            "quantities": literal(list(quantities.values())),
            "versions": literal([addons.get(item) for item in quantities]),
        }
        conn.execute(_HOLD, values | more)


_BILLED = text(
    """
    UPDATE subscription_items AS s SET billed_in = x.invoice
      FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:items AS text[]),
                  CAST(:invoices AS uuid[])) AS x(subscription, item, invoice)
     WHERE s.subscription_id = x.subscription AND s.item = x.item
    """
)


def billed(conn: Connection, charged: Sequence[tuple[UUID, str, UUID]]) -> None:
    """Write down which invoice charged an item once: subscription, item, invoice."""
    if charged:
        subscriptions, items, invoices = zip(*charged, strict=True)
        values = {
            "subscriptions": literal(subscriptions),
            "items": literal(items),
            "invoices": literal(invoices),
        }
        conn.execute(_BILLED, values)
