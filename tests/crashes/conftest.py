"""Servers and machines for the crashes."""

from __future__ import annotations

import pytest

from support.fixtures import Machines as Machines
from support.fixtures import machine as machine
from support.fixtures import shared_hub as shared_hub
from support.fixtures import strict as strict
from support.servers import HubServer


@pytest.fixture
def hub(shared_hub: HubServer) -> HubServer:
    """One hub process for all crashes."""
    return shared_hub
