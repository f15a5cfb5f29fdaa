"""The loops and queues that bill: scheduler, charges, refunds, reconciler, webhooks."""

__all__ = ["asked_steps", "charges", "reconciler", "refunds", "scheduler", "webhooks"]
