"""Clients of the document servers: the ``Remote`` port, one HTTP client, and one folder for each dialect.

Begin with ``protocol.py`` (what every adapter owes), then ``dialects.py`` (the only place that builds one).
"""

import sys

# httpx imports its own command line, which imports rich and pygments: half of the cost of importing httpx. A None entry
# makes that import fail with ImportError, which httpx expects and handles.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
