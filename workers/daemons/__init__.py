"""The loops and queues that bill: scheduler, charges, refunds, reconciler, webhooks."""
