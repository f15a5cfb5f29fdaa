"""The findings about what invoices follow from, in sentences: facts, terms, items and coupons."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from billing.presenters.text import amount
from billing.rules.promises import FindingKind

FACT_WORDS: Final[Mapping[FindingKind, Callable[[Mapping[str, Any]], str]]] = {
    FindingKind.TERMS_UNREADABLE: lambda row: (
        f"{row['kind']} {row['code']}, version {row['version']}: its terms aren't those"
        f" that were published: {row['error']}"
    ),
    FindingKind.FACTS_UNREADABLE: lambda row: (
        f"invoice {row['number']}: its facts can't be read: {row['error']}"
    ),
    FindingKind.INVOICE_AGAINST_FACTS: lambda row: (
        f"invoice {row['number']}: its facts make {row['what']} {row['computed']}, and it has"
        f" {row['stored']}"
    ),
    FindingKind.FACTS_AGAINST_TERMS: lambda row: (
        f"invoice {row['number']}: the {row['what']} of item {row['item']} in its facts is not that"
        f" of {row['source']}"
    ),
    FindingKind.FACTS_AGAINST_ITEMS: lambda row: (
        f"invoice {row['number']}: its facts charge {row['charged']} of item {row['item']}, and its"
        f" subscription holds {row['held']} to be charged"
    ),
    FindingKind.FACTS_AGAINST_DECISION: lambda row: (
        f"invoice {row['number']}: the {row['what']} of its facts isn't that of the decision on its"
        " taxes"
    ),
    FindingKind.DECISION_AGAINST_REQUEST: lambda row: (
        f"tax decision {row['decision']} doesn't follow from its request: {row['what']}"
    ),
    FindingKind.DECISION_AGAINST_CALL: lambda row: (
        f"tax decision {row['id']} names the calculation {row['provider_ref']} and invoice"
        f" {row['number']}, and the call for it was answered with {row['answered']}"
    ),
    FindingKind.TAXES_NOT_RECORDED: lambda row: (
        f"{row['number']}: the {row['what']} of its taxes at the provider is {row['state']}"
    ),
    FindingKind.ITEM_AGAINST_INVOICE: lambda row: (
        f"subscription {row['subscription_id']}: item {row['item']} was charged once with invoice"
        f" {row['billed_in']}, which has no line of it"
    ),
    FindingKind.ITEMS_AGAINST_CHANGES: lambda row: (
        f"subscription {row['subscription_id']} holds {row['held']}, and its changes come to"
        f" {row['changed']}"
    ),
    FindingKind.CYCLE_NOT_FREE: lambda row: (
        f"subscription {row['subscription_id']}: cycle {row['n']} cost nothing, and plan"
        f" {row['plan']} isn't free"
    ),
    FindingKind.CLOSINGS_AGAINST_FACTS: lambda row: (
        f"invoice {row['number']}: its facts bill usage {row['billed']}, and what was closed with"
        f" it is {row['closed']}"
    ),
    FindingKind.CLOSING_AGAINST_TOTAL: lambda row: (
        f"{_usage(row)}: revision {row['revision']} billed {row['events']} event(s), and"
        f" {row['counted']} were counted, or other ones"
    ),
    FindingKind.CLOSING_OF_INVOICE: lambda row: (
        f"{_usage(row)}: revision {row['revision']} names invoice {row['number']}, which neither"
        " billed it nor gave it back"
    ),
    FindingKind.USAGE_PASSED_OVER: lambda row: (
        f"{_usage(row)}: {row['events']} event(s) were counted and never billed"
    ),
    FindingKind.USAGE_CLOSED_AHEAD: lambda row: (
        f"{_usage(row)} was billed, and its subscription says that nothing was from period"
        f" {row['usage_from_n']} on"
    ),
    FindingKind.USAGE_LEFT_UNBILLED: lambda row: (
        f"{_usage(row)}: {row['events']} event(s) were counted, {row['closed']} were billed, and"
        " its subscription ended without an invoice to come"
    ),
    FindingKind.DISCOUNT_OF_INVOICE: lambda row: (
        f"invoice {row['number']} has {amount(row['discount'], row['currency'])} taken off; its"
        f" coupons took {amount(row['amount'], row['currency'])}"
    ),
    FindingKind.DISCOUNT_OF_REDEMPTION: lambda row: (
        f"invoice {row['number']}: what took something off is redemption {row['redemption']} of"
        f" coupon {row['coupon']}, which isn't for it or not in its facts"
    ),
    FindingKind.REDEMPTION_OVERUSED: lambda row: (
        f"redemption {row['redemption']} of coupon {row['coupon']}, for {row['lasts']}, was used on"
        f" {row['invoices']} invoice(s)"
    ),
}


def _usage(row: Mapping[str, Any]) -> str:
    return (
        f"subscription {row['subscription_id']}: usage of meter {row['meter']} in period"
        f" {row['n']}, segment {row['segment']}"
    )
