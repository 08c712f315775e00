"""Paths as a person reads them and types them into a shell."""

from __future__ import annotations

import os


def short_home(path: object) -> str:
    """Return a path with ``~`` for the person's home folder."""
    text, home = str(path), os.environ.get("HOME", "")
    if len(home) > 1 and (text == home or text.startswith(home + os.sep)):
        return "~" + text[len(home) :]
    return text


def short_homes(text: str) -> str:
    """Return a sentence with ``~`` for the home folder in its paths.

    A quoted path stays as it is, because no shell expands ``~`` in quotes.
    """
    import re

    home = os.environ.get("HOME", "")
    if len(home) <= 1 or home not in text:
        return text
    return re.sub(rf"(?<![\w'\"/.~=-]){re.escape(home)}(?=[/\s,;:)?!]|$)", "~", text)


def typed_path(path: object) -> str:
    """Return a path as a person types it into a shell: with ``~``, and quoted where that is needed."""
    import shlex

    if any("\udc80" <= character <= "\udcff" for character in str(path)):
        return _escaped(os.fsencode(str(path)))
    shown = short_home(path)
    if shown == "~":
        return shown
    return f"~/{shlex.quote(shown[2:])}" if shown.startswith("~/") else shlex.quote(shown)


def quoted(word: str) -> str:
    """Return one word, such as a pattern, as a person types it into a shell."""
    import shlex

    return shlex.quote(word)


def _escaped(raw: bytes) -> str:
    """Return bytes that are not UTF-8 as shells take them: ``$'a\\xff.md'``."""
    plain = (chr(byte) if 32 <= byte < 127 and chr(byte) not in "'\\" else f"\\x{byte:02x}" for byte in raw)
    return f"$'{''.join(plain)}'"
