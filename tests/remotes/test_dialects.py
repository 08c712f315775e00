"""The factory of adapters loads the dialect of an account, and no other."""

from __future__ import annotations

import subprocess
import sys

import pytest

_OPEN = (
    "import sys\n"
    "from agent.remotes.dialects import open_remote\n"
    "open_remote(sys.argv[1], 'http://127.0.0.1:9', lambda: '', 'w').close()\n"
    "loaded = [name.split('.') for name in sys.modules if name.startswith('agent.remotes.')]\n"
    "print(*[parts[2] for parts in loaded if parts[-1] == 'adapter'])\n"
)


@pytest.mark.parametrize("dialect", ["raven", "scaidrive", "pinakes"])
def test_an_account_loads_its_own_dialect_only(dialect: str) -> None:
    """The others would cost memory and time at every start."""
    ran = subprocess.run([sys.executable, "-c", _OPEN, dialect], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [dialect]
