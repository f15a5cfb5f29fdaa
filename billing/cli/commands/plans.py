"""`billing plans`: the catalog as it is written, and as it is published."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from billing.cli.failures import BAD_INPUT, FINDINGS, OK, tell
from billing.cli.options import confirm, lasting
from billing.cli.output import Output, output_option, talk
from billing.cli.session import Session
from billing.errors import NotFound
from billing.rules.texts import nearest

if TYPE_CHECKING:
    from billing.flows.subscriptions.catalog import CatalogChange
    from billing.plans.catalogs import Catalog
    from billing.plans.terms import ChangePolicy, Plan, PlanVersion

_VERSIONS = ("plan", "name", "effective", "existing", "every", "trial", "anchor_day", "prices")
_CHANGES = ("plan", "effective", "kind", "words", "effects")
_ADDONS = ("addon", "name", "fits", "effective", "existing", "price")
_METERS = ("code", "words", "billed_by")
_COUPONS = ("code", "words", "until", "limit", "redeemed")


@click.group()
def plans() -> None:
    """What is sold: the catalog's files, and what of them is published."""


@plans.command("check")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@output_option
@click.pass_obj
def check(session: Session, path: Path | None, output: Output) -> int:
    """Read the catalog and report every mistake, with file, line and key.

    PATH is a file or a folder; the configured catalog when left out. Needs no database. Ends
    with 2 if there are mistakes.
    """
    from billing.plans.load import CatalogError, load_catalog

    path = path or session.settings.plans.catalog
    try:
        catalog = load_catalog(path)
        _check_sold_to(session, catalog, path)
    except CatalogError as error:
        if output.format == "table":
            return tell(error, debug=session.debug)
        output.record({"plans": None, "versions": None, "problems": list(error.problems)})
        return BAD_INPUT
    versions = sum(len(plan.versions) for plan in catalog.plans.values())
    versions += sum(len(addon.versions) for addon in catalog.addons.values())
    found: dict[str, Any] = {"plans": len(catalog.plans), "versions": versions}
    words = f"{path}: {_count(len(catalog.plans), 'plan')}, "
    if catalog.addons or catalog.coupons:
        found |= {"addons": len(catalog.addons), "coupons": len(catalog.coupons)}
        words += f"{_count(len(catalog.addons), 'add-on')}, "
        words += f"{_count(len(catalog.coupons), 'coupon')}, "
    if catalog.meters:
        found |= {"meters": len(catalog.meters)}
        words += f"{_count(len(catalog.meters), 'meter')}, "
    words += f"{_count(versions, 'version')}, no mistake"
    output.message(found | {"problems": []}, words)
    return OK


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _check_sold_to(session: Session, catalog: "Catalog", path: Path) -> None:
    """Check that what is sold has rates of taxes where the seller is registered."""
    from billing.plans.sold_to import check_sold_to

    tax = session.settings.tax
    check_sold_to(catalog, str(path), tax.countries, tax.default_class)


@plans.command("show")
@click.argument("code", required=False)
@output_option
@click.pass_obj
def show(session: Session, code: str | None, output: Output) -> None:
    """Show published plans with their versions, or one of them."""
    from billing.queries.subscriptions import published_plans

    with session.connect() as conn:
        published = published_plans(conn)
    if code is not None:
        published = {code: _one(published, code)}
    if output.format == "table":
        output.records([row for plan in published.values() for row in _flat(plan)], _VERSIONS)
    elif code is not None:
        output.record(_plan(published[code]))
    else:
        output.records([_plan(plan) for plan in published.values()], ())
    if not published:
        talk("nothing is published yet: `billing plans apply` publishes the catalog")


def _one(published: "Mapping[str, Plan]", code: str) -> "Plan":
    if code not in published:
        raise NotFound(
            f"no plan {code!r} is published.{nearest(code, published)}",
            remedy="`billing plans show` lists them, `billing plans apply` publishes more",
        )
    return published[code]


def _plan(plan: "Plan") -> dict[str, Any]:
    from billing.queries.subscriptions import dunning_json

    return {
        "code": plan.code,
        "product": plan.product,
        "name": plan.name,
        "dunning": dunning_json(plan.dunning),
        "catch_up": plan.catch_up,
        "retired": plan.retired,
        "one_per_customer": plan.one_per_customer,
        "trial_once": plan.trial_once,
        "on_dispute": plan.on_dispute,
        "change": _change_policy(plan.change),
        "versions": [_version(version) for version in plan.versions],
    }


def _change_policy(change: "ChangePolicy") -> dict[str, str]:
    return {"up": change.up, "down": change.down, "credit": change.credit}


def _version(version: "PlanVersion") -> dict[str, Any]:
    from billing.plans.item_terms import item_terms

    items = {"items": [item_terms(item) for item in version.items]} if version.items else {}
    return {
        "effective": version.effective,
        "existing": version.existing,
        "every": str(version.every),
        "trial": str(version.trial) if version.trial else None,
        "anchor_day": version.anchor_day,
        "anchor_month": version.anchor_month,
        "anchor_weekday": version.anchor_weekday,
        "prices": dict(version.prices),
        **items,
        **({} if version.tax is None else {"tax": version.tax.to_terms()}),
    }


def _flat(plan: "Plan") -> Iterator[dict[str, Any]]:
    """Yield a row for each version, prices as people write them."""
    from billing.presenters.prices import item_words
    from billing.rules.money import Money

    for version in plan.versions:
        prices = [str(Money(amount, code)) for code, amount in sorted(version.prices.items())]
        prices += [item_words(item) for item in version.items]
        yield {**_version(version), "plan": plan.code, "name": plan.name, "prices": prices}


@plans.command("addons")
@output_option
@click.pass_obj
def addons(session: Session, output: Output) -> None:
    """Show published add-ons with their versions and the plans they fit."""
    from billing.presenters.prices import addon_record, price_words
    from billing.queries.sold import published_addons

    with session.connect() as conn:
        published = published_addons(conn)
    if output.format != "table":
        output.records([addon_record(addon) for addon in published.values()], ())
    elif published:
        rows = [
            {
                "addon": addon.code,
                "name": addon.name,
                "fits": list(addon.fits),
                "effective": version.effective,
                "existing": version.existing,
                "price": price_words(version.item),
            }
            for addon in published.values()
            for version in addon.versions
        ]
        output.records(rows, _ADDONS)
    else:
        talk("no add-on is published")


@plans.command("coupons")
@output_option
@click.pass_obj
def coupons(session: Session, output: Output) -> None:
    """Show published coupons, and how often each one was redeemed."""
    from billing.presenters.prices import coupon_record, coupon_words
    from billing.queries.sold import published_coupons, redeemed_coupons

    with session.connect() as conn:
        published, redeemed = published_coupons(conn), redeemed_coupons(conn)
    records = [coupon_record(coupon, redeemed) for coupon in published.values()]
    if output.format != "table":
        output.records(records, ())
    elif published:
        rows = [{**each, "words": coupon_words(published[each["code"]])} for each in records]
        output.records(rows, _COUPONS)
    else:
        talk("no coupon is published")


@plans.command("meters")
@output_option
@click.pass_obj
def meters(session: Session, output: Output) -> None:
    """Show the meters of published plans and add-ons, and which items bill them."""
    from billing.plans.meters import meter_terms
    from billing.presenters.prices import meter_words
    from billing.queries.sold import published_meters

    with session.connect() as conn:
        published = published_meters(conn)
    records = [{**meter_terms(each.meter), "billed_by": list(each.billed_by)} for each in published]
    if output.format != "table":
        output.records(records, ())
    elif published:
        rows = [
            {**record, "words": meter_words(each.meter)}
            for record, each in zip(records, published, strict=True)
        ]
        output.records(rows, _METERS)
    else:
        talk("no meter is published")


@plans.command("diff")
@output_option
@click.pass_obj
def diff(session: Session, output: Output) -> int:
    """Compare the catalog with what is published, and say what applying it would change.

    Ends with 3 if a published version was changed, which can't be applied.
    """
    from billing.flows.subscriptions import catalog
    from billing.plans.load import load_catalog

    wanted = load_catalog(session.settings.plans.catalog)
    with session.connect() as conn:
        changes = catalog.diff(conn, wanted, now=session.now())
    _write_changes(changes, output)
    if not changes:
        talk("the catalog is published as it is")
    if any(change.kind == "changed_terms" for change in changes):
        talk("published versions can't change: put the old terms back and add a version")
        return FINDINGS
    return OK


@plans.command("apply")
@lasting
@output_option
@click.pass_obj
def apply(session: Session, dry_run: bool, yes: bool, output: Output) -> None:
    """Publish what is new in the catalog, all of it or nothing.

    A published version never changes afterwards.
    """
    from billing.flows.subscriptions import catalog
    from billing.plans.load import load_catalog

    path = session.settings.plans.catalog
    wanted = load_catalog(path)
    _check_sold_to(session, wanted, path)
    with session.connect() as conn:
        changes = catalog.diff(conn, wanted, now=session.now())
    if all(change.kind == "not_in_catalog" for change in changes):
        output.message(_applied(dry_run, []), "nothing to publish: the catalog is published")
        return
    told = False
    if not dry_run:
        refused = any(change.kind == "changed_terms" for change in changes)
        told = refused or not yes
        if told:
            _tell_changes(changes)
        if not refused:
            confirm("Publish this?", yes=yes)
        changes = catalog.apply(session.engine, wanted, now=session.now())
    if output.format == "table":
        if not told:
            _write_changes(changes, output)
        talk("nothing was published" if dry_run else "published")
    else:
        output.record(_applied(dry_run, changes))


def _tell_changes(changes: "Sequence[CatalogChange]") -> None:
    from billing.presenters import catalog as presenter

    for change in changes:
        of = f" of {change.effective}" if change.effective else ""
        talk(
            f"{presenter.subject(change)}{of}: {presenter.words(change)}{presenter.effects(change)}"
        )


def _applied(dry_run: bool, changes: "Sequence[CatalogChange]") -> dict[str, Any]:
    return {
        "action": "apply",
        "dry_run": dry_run,
        "changes": [_change(change) for change in changes],
    }


def _write_changes(changes: "Sequence[CatalogChange]", output: Output) -> None:
    if output.format != "table":
        output.records([_change(change) for change in changes], ())
        return
    from billing.presenters import catalog as presenter

    rows = [
        {
            **_change(change),
            "plan": presenter.subject(change),
            "effects": presenter.effects(change).strip(" ;"),
        }
        for change in changes
    ]
    if rows:
        output.records(rows, _CHANGES)


def _change(change: "CatalogChange") -> dict[str, Any]:
    from billing.presenters import catalog as presenter

    return {
        "kind": str(change.kind),
        **_subject(change),
        "effective": change.effective,
        "words": presenter.words(change),
        "effects": [
            {
                "currency": effect.currency,
                "subscriptions": effect.subscriptions,
                "before": effect.before.amount,
                "after": effect.after.amount,
            }
            for effect in change.effects
        ],
    }


def _subject(change: "CatalogChange") -> dict[str, str | None]:
    if change.subject == "plan":
        return {"plan": change.code}
    return {"plan": None, str(change.subject): change.code}
