"""Servers for the transcripts."""

from support.fixtures import shared_hub as shared_hub
from support.fixtures import strict as strict
