"""The servers: the ``Remote`` port, one HTTP client, and one module a dialect."""

import sys

# httpx imports its own command line with it, and that rich and pygments: half of what the import costs. None says that
# a module is not to be had, which httpx provides for.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
