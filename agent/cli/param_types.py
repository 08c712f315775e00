"""Types of arguments and options that several commands use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Words(click.types.StringParamType):
    """One of several words. Hyphens, capitals and aliases are accepted, and a typing mistake gets a suggestion."""

    name = "word"

    def __init__(self, words: Sequence[str], aliases: Mapping[str, str] | None = None) -> None:
        self.words = tuple(words)
        self._aliases = dict(aliases or {})

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word that is meant, or fail with the nearest one."""
        text = str(value).lower().replace("-", "_")
        text = self._aliases.get(text, text)
        if text in self.words:
            return text
        from difflib import get_close_matches

        near = get_close_matches(text, (*self.words, *self._aliases), n=1, cutoff=0.5)
        known = ", ".join(self.words)
        # No list names an alias, so it is no suggestion.
        words = f"did you mean {self._aliases.get(near[0], near[0])}?" if near else f"it is one of {known}"
        return self.fail(f"{value!r} is not one of {known}; {words}" if near else f"{value!r}: {words}", param, ctx)

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Name the words on one line."""
        return f"It is one of {', '.join(self.words)}."

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the words."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(word) for word in self.words if word.startswith(incomplete)]


RESOLUTION: Final = Words(
    ("keep_local", "keep_raven", "manual_merge"),
    {
        "mine": "keep_local", "local": "keep_local", "ours": "keep_local",
        "theirs": "keep_raven", "raven": "keep_raven", "server": "keep_raven", "remote": "keep_raven",
        "merge": "manual_merge",
    },
)  # fmt: skip
