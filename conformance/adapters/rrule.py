"""The adapter for python-dateutil's `rrule`: a calendar library, without prices and payments.

It reads recurrence rules of RFC 5545. What an engine calls a billing day is BYMONTHDAY here.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import islice
from zoneinfo import ZoneInfo

from dateutil.rrule import DAILY, MONTHLY, WEEKLY, YEARLY, rrule

UNITS = {"day": DAILY, "week": WEEKLY, "month": MONTHLY, "year": YEARLY}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HELLO = {
    "protocol": 1,
    "engine": "dateutil.rrule",
    "version": version("python-dateutil"),
    "surface": "rrule",
}


class Unsupported(Exception):
    """There is no rule for it."""


def starts(given):
    """Yield the local times at which periods begin: the start, and what the rule gives later."""
    start = datetime.fromisoformat(given["start"])
    if given.get("trial"):
        count, unit = given["trial"].split()
        if not unit.startswith("day"):
            raise Unsupported("a trial in days only")
        start += timedelta(days=int(count))
    count, unit = given["every"].split()
    rule = {"freq": UNITS[unit.removesuffix("s")], "interval": int(count), "dtstart": start}
    if "anchor_month" in given:
        raise Unsupported("a month of the year beside a day")
    if "anchor_day" in given:
        if given["every"] != "1 month":
            raise Unsupported("a day of the month in longer cadences")
        rule["bymonthday"] = given["anchor_day"]
    if "anchor_weekday" in given:
        rule["byweekday"] = WEEKDAYS.index(given["anchor_weekday"])
    yield start
    yield from (each for each in rrule(**rule) if each != start)


def dates(given):
    return {"dates": [str(each.date()) for each in islice(starts(given), given["count"])]}


def instants(given):
    zone = ZoneInfo(given["zone"])
    found = (each.replace(tzinfo=zone).astimezone(UTC) for each in starts(given))
    return {"instants": [f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in islice(found, given["count"])]}


def containing(given):
    at, begin = datetime.fromisoformat(given["at"]), None
    for each in starts(given):
        if each > at:
            return {"start": str(begin.date()), "end": str(each.date())}
        begin = each
    raise Unsupported("a rule that ends")


def days(given):
    found = [each.date() for each in islice(starts(given), given["count"] + 1)]
    last = [str(each - timedelta(days=1)) for each in found[1:]]
    return {"days": [[str(first), end] for first, end in zip(found, last, strict=False)]}


KINDS = {
    "billing_dates": dates,
    "billing_instants": instants,
    "period_containing": containing,
    "service_days": days,
}


def answer(question):
    kind = KINDS.get(question["kind"])
    if kind is None:
        return {"unsupported": "a calendar has no money"}
    try:
        return {"result": kind(question["input"])}
    except Unsupported as reason:
        return {"unsupported": str(reason)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


for line in sys.stdin:
    question = json.loads(line)
    reply = HELLO if "protocol" in question else answer(question)
    print(json.dumps({"id": question.get("id"), **reply}), flush=True)
