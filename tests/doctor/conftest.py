"""Servers for the doctor to examine."""

from __future__ import annotations

from support.fixtures import shared_hub as shared_hub
from support.fixtures import strict as strict
