"""The adapter for Silver (django-silver): the engine itself, on SQLite in memory.

A plan, a customer and a subscription are made, and Silver's generator of documents is run for one
day after another, as its command does. What is answered stands in the invoices' entries. Silver
counts the cycles of months, weeks and years from the calendar's first day; a billing day of the
subscription's own can't be said, so such cases aren't supported. It bills whole days in UTC.
"""

import json
import sys
from datetime import date, timedelta
from decimal import Decimal  # noqa: TID251 - what Silver counts in
from importlib.metadata import version
from itertools import count

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="conformance",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[
        "dal",
        "dal_select2",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.admin",
        "rest_framework",
        "silver",
    ],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    USE_TZ=True,
    TIME_ZONE="UTC",
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    PAYMENT_PROCESSORS={},
    SILVER_DEFAULT_DUE_DAYS=5,
    SILVER_DOCUMENT_PREFIX="documents/",
    SILVER_DOCUMENT_STORAGE=None,
    SILVER_PAYMENT_TOKEN_EXPIRATION=timedelta(minutes=5),
    SILVER_AUTOMATICALLY_CREATE_TRANSACTIONS=False,
    SILVER_SHOW_PDF_STORAGE_URL=False,
    EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend",
)
django.setup()

from django.core.management import call_command  # noqa: E402
from silver.documents_generator import DocumentsGenerator  # noqa: E402
from silver.models import (  # noqa: E402
    Customer,
    DocumentEntry,
    Plan,
    ProductCode,
    Provider,
    Subscription,
)

DIGITS = {"USD": 2, "EUR": 2, "GBP": 2, "JPY": 0, "KWD": 3}
HELLO = {
    "protocol": 1,
    "engine": "Silver",
    "version": version("django-silver"),
    "surface": "models and the generator of documents, SQLite",
}
numbers = count(1)


class Unsupported(Exception):
    """Silver has no such thing."""


def cadence(given):
    """Return interval and count, or refuse a schedule that Silver doesn't have."""
    every, unit = given["every"].split()
    unit = unit.removesuffix("s")
    if given["zone"] != "UTC":
        raise Unsupported("a time zone of the subscription's own")
    aligned = {
        "day": not any(key.startswith("anchor") for key in given),
        "week": given.get("anchor_weekday") == "monday",
        "month": given.get("anchor_day") == 1 and "anchor_month" not in given,
        "year": (given.get("anchor_day"), given.get("anchor_month")) == (1, 1),
    }
    if not aligned[unit]:
        raise Unsupported("cycles of months, weeks and years begin on the calendar's first day")
    return unit, int(every)


def entries(given):
    """Bill day after day until there are as many billed cycles as asked for; return them."""
    interval, every = cadence(given)
    if given.get("quantity", 1) != 1:
        raise Unsupported("a quantity of a plan")
    trial = given.get("trial")
    if trial and trial.split()[1] not in ("day", "days"):
        raise Unsupported("a trial in days only")
    n = next(numbers)
    provider = Provider.objects.create(
        name="Case", company="Case", invoice_series=f"C{n}", invoice_starting_number=1,
        flow="invoice", address_1="1", city="1", country="US", prebill_plan=True,
    )  # fmt: skip
    customer = Customer.objects.create(
        first_name="Case", last_name=str(n), company="", address_1="1", city="1", country="US",
        currency=given.get("currency", "USD"), sales_tax_percent=None, consolidated_billing=False,
    )  # fmt: skip
    plan = Plan.objects.create(
        name=f"case {n}", interval=interval, interval_count=every,
        amount=Decimal(given.get("price", "10.00")), currency=given.get("currency", "USD"),
        trial_period_days=int(trial.split()[0]) if trial else None, provider=provider,
        product_code=ProductCode.objects.create(value=f"case {n}"),
    )  # fmt: skip
    day = date.fromisoformat(given["start"][:10])
    subscription = Subscription.objects.create(plan=plan, customer=customer, start_date=day)
    subscription.activate()
    subscription.save()
    for _ in range(4000):
        DocumentsGenerator().generate(subscription=subscription, billing_date=day)
        found = billed(subscription)
        if len(found) >= given["count"]:
            return found[: given["count"]]
        day += timedelta(days=1)
    raise RuntimeError(f"billed {len(found)} cycles in {4000} days")


def billed(subscription):
    """Return start, end and amount of each cycle that costs something."""
    totals = {}
    for entry in DocumentEntry.objects.filter(
        invoice__in=[log.invoice for log in subscription.billing_logs.all()]
    ):
        key = (entry.start_date, entry.end_date)
        totals[key] = totals.get(key, Decimal(0)) + entry.total
    return [(*key, total) for key, total in sorted(totals.items()) if total]


def minor(amount, currency):
    """Return an amount in minor units: a number, or text where it isn't a whole one."""
    units = amount.scaleb(DIGITS[currency])
    return int(units) if units == units.to_integral_value() else str(units)


def dates(given):
    return {"dates": [str(start) for start, _, _ in entries(given)]}


def days(given):
    return {"days": [[str(start), str(end)] for start, end, _ in entries(given)]}


def amounts(given):
    return {"amounts": [minor(total, given["currency"]) for _, _, total in entries(given)]}


KINDS = {"billing_dates": dates, "service_days": days, "amounts": amounts}


def answer(question):
    kind = KINDS.get(question["kind"])
    if kind is None:
        return {"unsupported": "left to the payment processor, or not there"}
    try:
        return {"result": kind(question["input"])}
    except Unsupported as reason:
        return {"unsupported": str(reason)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


call_command("migrate", verbosity=0)
for line in sys.stdin:
    question = json.loads(line)
    reply = HELLO if "protocol" in question else answer(question)
    print(json.dumps({"id": question.get("id"), **reply}), flush=True)
