"""What every process is made of: engine, gateway, broker, clock, metrics, health pages."""
