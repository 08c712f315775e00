"""Judgement of patterns before they are accepted: invalid ones, and ones that select private files."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Sequence
from typing import Final

from agent.disk.selection.glob import MAX_PATTERN_CHARACTERS
from agent.disk.selection.patterns import MAX_PATTERNS, PatternList, check_pattern, dot_parts, segments
from agent.disk.selection.rules import Rules

_SECRETS: Final = (
    "credentials", "credentials.json", "credentials.txt", "secret", "secrets", "secrets.json", "secrets.txt",
    "secrets.yaml", "secrets.yml", "secret.txt", "password", "passwords", "passwords.txt", "passwords.csv",
    "token", "token.txt", "prod.env", "local.env", "service-account.json", "wallet.dat", "vault.kdbx",
    "client.p12", "client.pfx", "server.keystore", "server.jks", "terraform.tfstate", "shadow",
)  # fmt: skip
"""Typical names of files with secrets, apart from dotfiles and from the names that are always excluded."""
_ORDINARY: Final = (
    "note.md", "readme.txt", "data.json", "table.csv", "config.yaml", "page.html", "report", "x.y",
    "server.md", "client.md", "local.md", "prod.md", "token.md", "service.md", "vault.md", "wallet.md",
)  # fmt: skip
"""Names that a pattern for whole kinds of files matches as well; such a pattern does not ask for secrets."""


def refused_patterns(patterns: Sequence[str]) -> list[tuple[str, str]]:
    """Return the patterns that are not accepted, each with the reason as a clause."""
    if len(patterns) > MAX_PATTERNS:
        return [(f"{len(patterns)} patterns", f"a source takes at most {MAX_PATTERNS}")]
    return [(pattern, reason) for pattern in patterns if (reason := check_pattern(pattern)) is not None]


def unmatched_patterns(patterns: Sequence[str], paths: Collection[str]) -> list[str]:
    """Return the patterns that match none of the paths. One that takes back an earlier one is never among them."""
    return [
        pattern
        for pattern in patterns
        if (one := PatternList.given([pattern], "")).adding and not any(map(one.touches, paths))
    ]


def oversized_patterns(patterns: Sequence[str]) -> str | None:
    """Return the reason why a source's patterns are over a limit, as a clause; None if they are not.

    Other faults of a source's patterns do no harm: an invalid pattern matches nothing.
    """
    if len(patterns) > MAX_PATTERNS:
        return f"it has {len(patterns)} patterns, and {MAX_PATTERNS} are accepted"
    if any(len(pattern) > MAX_PATTERN_CHARACTERS for pattern in patterns):
        return f"one of its patterns is longer than {MAX_PATTERN_CHARACTERS} characters"
    return None


def risky_patterns(rules: Rules) -> list[str]:
    """Return the include patterns that select dotfiles or files with secrets, in their order.

    A person must accept them expressly: the server or another member of the workspace may have written them.
    """
    return [pattern for pattern in rules.include if dot_parts([pattern]) or _asks_for_secrets(pattern)]


def _asks_for_secrets(pattern: str) -> bool:
    """Return True if a part of the pattern matches the name of a secret, and not just every name of its kind."""
    for part in segments(pattern):
        if part in ("", "*", "**", ".", ".."):
            continue
        folded = part.lower()
        if any(fnmatch.fnmatchcase(name, folded) for name in _SECRETS) and not any(
            fnmatch.fnmatchcase(name, folded) for name in _ORDINARY
        ):
            return True
    return False
