"""Read models for the CLI and the API. They write nothing."""
