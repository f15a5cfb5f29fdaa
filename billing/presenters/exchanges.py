"""Recording an exchange, in sentences."""

from billing.flows.breaks.exchanges import Exchange, Recording


def in_words(recording: Recording, exchange: Exchange) -> list[str]:
    """Return what recording an exchange does, a sentence each."""
    told = [f"it is recorded already, as {recording.source_key}"]
    if recording.posts:
        told = [f"{exchange.sold} became {exchange.bought} at {exchange.rate}"]
        if exchange.fee.amount:
            told.append(f"{exchange.fee} of it stayed with the provider")
    if recording.explains:
        both = " and ".join(recording.explains)
        told.append(f"{both} are explained by it, their breaks resolved")
    return told
