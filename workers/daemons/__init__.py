"""The loops and queues that bill: scheduler, charges, refunds, reconciler, webhooks."""

__all__ = ["charges", "reconciler", "recorded", "refunds", "scheduler", "webhooks"]
