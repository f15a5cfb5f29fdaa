"""Answers that don't arrive: what a fault does to one on its way."""

from billing.sandbox.faults import InjectedFault
from billing.sandbox.http import Delivery, HttpAnswer

DELIVERIES = {
    "hang_before": Delivery.HANG,
    "reset_before": Delivery.RESET,
    "hang_after_commit": Delivery.HANG,
    "reset_after_commit": Delivery.RESET,
    "truncated_body": Delivery.TRUNCATED,
}


def cut(answer: HttpAnswer, fault: InjectedFault) -> HttpAnswer:
    """Have an answer lost or broken off as the fault says."""
    answer.delivery = DELIVERIES[fault.kind]
    answer.hang_seconds = fault.delay_ms / 1000
    return answer
