"""The servers: the ``Remote`` port, one HTTP client, and one module a dialect."""
