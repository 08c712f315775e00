"""Removal of secrets from texts that a person may show to others."""

from __future__ import annotations

import re
from typing import Final

_SECRET: Final = re.compile(r"eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?|(?<=[Bb]earer )\S+")
_URL_USER: Final = re.compile(r"://[^/?#\s\"']*@")
"""User name and password of a URL; a password may hold '@' and ':'."""


def scrub(text: str) -> str:
    """Return ``text`` with everything replaced that looks like a token or like the user part of a URL."""
    return _URL_USER.sub("://[password]@", _SECRET.sub("[token]", text))
