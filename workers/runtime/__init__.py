"""What every process is made of: engine, gateway, broker, clock, metrics, health pages."""

__all__ = [
    "broker",
    "clock",
    "database",
    "health",
    "lines",
    "metrics",
    "outcomes",
    "own_secrets",
    "peppers",
    "runtime",
    "shares",
]
