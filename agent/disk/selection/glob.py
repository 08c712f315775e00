"""Translation of gitignore patterns into regular expressions whose work is linear in the length of a path.

The classic translation of ``*a*a*a*b`` backtracks exponentially. Here each wildcard takes the first place where the
text behind it fits, in an atomic group that is never tried again. That is correct because the text between two
wildcards has a fixed length. The same holds for ``**`` and the folders between two of them. So the work for one
pattern and one path is at most the product of their lengths.

``pathspec`` says which lines are patterns and which of them are negated. Its expressions are not used to match, because
they backtrack. Its re2 backend was rejected: a set of many patterns that outgrows re2's memory matches nothing, and a
file that the rules exclude would be sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

MAX_PATTERN_CHARACTERS: Final = 4096
"""The longest pattern that is accepted; no path is longer."""
_ABOVE: Final = "(?:[^/]++/)*"
"""Any folders above, the most of them first: so a pattern matches the path itself rather than a folder above it."""
ANYWHERE: Final = f"^{_ABOVE}"
"""The beginning of a regular expression that matches at any depth."""

_FOLDER: Final = "(?P<folder>/)"
_FIXED_BREAK: Final = "(?=/|\\Z)"
_SPECIAL: Final = frozenset("*?[\\")
_PLAIN_PART: Final = r"(?:[*][*]|[*]?+(?:(?:[\w.-]|\[(?:0-9|a-z|A-Z)\])++[*]?+)++)"
_PLAIN: Final = re.compile(f"(!?)/?(?:{_PLAIN_PART}/)*{_PLAIN_PART}/?", re.ASCII)
"""Lines that are patterns beyond doubt. Asking ``pathspec`` costs an import of 60 M instructions."""


class InvalidPattern(ValueError):
    """The text is not a gitignore pattern; the message is a clause for a person."""


class GlobPattern(NamedTuple):
    """A translated pattern.

    Attributes:
        regex: matches a path from its beginning; a folder's path ends with '/'. Its group ``folder`` is set if the
            pattern matches a folder above the path, not the path itself.
        negated: the pattern begins with '!'.
        name: for a pattern without an inner slash, a regular expression for one part of the path; None for others.
        folders_only: the pattern ends with '/'.
        literal: the part that ``name`` matches, if it has no wildcard.
        ending: the text after the first character of a pattern like ``*.tmp`` that only asks for the end of a name.
        prefix, suffix: text that a matching part begins and ends with; '' if not known.
        top: the first part of a path that matches, if it is known.
    """

    regex: str
    negated: bool
    name: str | None = None
    folders_only: bool = False
    literal: str | None = None
    ending: str | None = None
    prefix: str = ""
    suffix: str = ""
    top: str | None = None


def translate(pattern: str) -> GlobPattern | None:
    """Translate one line of an ignore file; None for a blank line, a comment and a single '/'.

    Raises:
        InvalidPattern: it is too long, ends with a single backslash, or has a bad range.
    """
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise InvalidPattern(f"it is longer than {MAX_PATTERN_CHARACTERS} characters")
    text = pattern if pattern.endswith("\\ ") else pattern.rstrip()
    negated = _is_negated(text)
    if negated is None:
        return None
    parts = (text[1:] if negated else text).split("/")
    folders_only = not parts[-1]
    parts = _normalized(parts)
    if len(parts) == 2 and parts[0] == "**" and parts[1] == "*":
        parts = ["**"]
    if parts == ["**"]:
        regex = f"^[^/]*{_FOLDER}" if folders_only else "^(?s:.)"
        return GlobPattern(_compilable(regex, pattern), negated, folders_only=folders_only)
    regex = "^" + "".join(_groups(parts, folders_only))
    _compilable(regex, pattern)
    name = _name_of(parts, folders_only)
    if name is None:
        top = parts[0] if not set(parts[0]) & _SPECIAL else None
        return GlobPattern(regex, negated, folders_only=folders_only, top=top)
    literal = name if not set(name) & _SPECIAL else None
    prefix = re.split(r"[*?\[\\]", name, maxsplit=1)[0]
    suffix = re.split(r"[*?]", name)[-1] if not set(name) & set("[\\") else ""
    ending = suffix if name == f"*{suffix}" and suffix else None
    return GlobPattern(regex, negated, _part(name), folders_only, literal, ending, prefix, suffix)


def _is_negated(text: str) -> bool | None:
    """Return True for a pattern that takes paths back, False for another one, None for a line that is no pattern."""
    if not text or text.startswith("#"):
        return None
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        return bool(plain[1])
    # Imported late: most folders have no other patterns, and most commands start sooner without it.
    from pathspec.patterns.gitignore import GitIgnorePatternError
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    try:
        _, adds = GitIgnoreSpecPattern.pattern_to_regex(text)
    except GitIgnorePatternError as error:
        raise InvalidPattern(_reason(text)) from error
    if adds is None:
        # A blank line, a comment or a single '/', unless a part of it is malformed.
        _reason("" if text.startswith("#") else text)
        return None
    return not adds


def _reason(text: str) -> str:
    """Return the reason why a line is not a pattern, as a clause."""
    for part in text.split("/"):
        _pieces(part)
    return "it names nothing"


def _normalized(parts: list[str]) -> list[str]:
    """Express the anchoring rules of gitignore with '**' parts."""
    if not parts[0]:
        # A leading slash anchors the pattern at the root.
        parts = parts[1:]
    elif (len(parts) == 1 or (len(parts) == 2 and not parts[1])) and parts[0] != "**":
        # A pattern of one part matches at any depth.
        parts = ["**", *parts]
    if not any(parts):
        raise InvalidPattern("it names nothing")
    if not parts[-1]:
        # A closing slash asks for a folder and takes everything below it.
        parts = [*parts[:-1], "**"]
    return [part for index, part in enumerate(parts) if not (index and part == "**" == parts[index - 1])]


def _groups(parts: list[str], folders_only: bool) -> Iterator[str]:
    """Yield the regular expressions of the runs of parts between two '**'."""
    runs: list[list[str]] = [[]]
    for part in parts:
        if part == "**":
            runs.append([])
        else:
            runs[-1].append(part)
    open_end = parts[-1] == "**"
    if open_end:
        runs.pop()
    numbered = [(index, run) for index, run in enumerate(runs) if run]
    for index, run in numbered[:-1]:
        floating = "(?:[^/]++/)*?" if index else ""
        yield f"(?>{floating}{'/'.join(map(_part, run))}/)"
    index, run = numbered[-1]
    floating = _ABOVE if index else ""
    closed = _FOLDER if folders_only else "/"
    yield floating + "/".join(map(_part, run)) + (closed if open_end else f"(?:{_FOLDER}|\\Z)")


def _name_of(parts: list[str], folders_only: bool) -> str | None:
    """Return the only part of a pattern that matches one part of a path at any depth; None for another pattern."""
    inner = parts[1:-1] if folders_only and parts[-1] == "**" else parts[1:]
    return inner[0] if parts[0] == "**" and len(inner) == 1 and inner[0] != "**" else None


def _part(glob: str) -> str:
    """Return the regular expression for one part of a path; it ends before a '/' or at the end."""
    if glob == "*":
        return f"(?>[^/]+{_FIXED_BREAK})"
    pieces = _pieces(glob)
    first, *others = pieces
    if not others:
        return f"{first}{_FIXED_BREAK}"
    *middle, last = others
    return f"(?>{first}{''.join(f'(?>[^/]*?{piece})' for piece in middle if piece)}[^/]*{last}{_FIXED_BREAK})"


def _pieces(glob: str) -> list[str]:
    """Split a part at its stars; each piece is a regular expression of fixed length."""
    pieces = [""]
    index = 0
    while index < len(glob):
        character = glob[index]
        index += 1
        if character == "*":
            pieces.append("")
        elif character == "?":
            pieces[-1] += "[^/]"
        elif character == "[":
            end = _end_of_range(glob, index)
            pieces[-1] += _range(glob[index:end])
            index = end + 1
        elif character == "\\":
            if index == len(glob):
                raise InvalidPattern("it ends with a backslash that escapes nothing")
            pieces[-1] += re.escape(glob[index])
            index += 1
        else:
            pieces[-1] += re.escape(character)
    return pieces


def _end_of_range(glob: str, index: int) -> int:
    """Return the index of the bracket that closes a range whose first character is at ``index``."""
    start = index + 1 if glob[index : index + 1] in ("!", "^") else index
    # A bracket right at the beginning is a member of the range.
    end = glob.find("]", start + 1 if glob[start : start + 1] == "]" else start)
    if end < 0:
        raise InvalidPattern("a range that begins with '[' has no ']'")
    return end


def _range(members: str) -> str:
    inverted = members[:1] in ("!", "^")
    body = members[1:] if inverted else members
    for character in "\\[&~|":
        body = body.replace(character, "\\" + character)
    # A leading bracket is a member; '/' is never matched by a range.
    body = "\\" + body if body.startswith("]") else body
    return f"(?!/)[{'^' if inverted else ''}{body}]"


def _compilable(regex: str, pattern: str) -> str:
    try:
        if "[" in pattern:
            # Only a range can be wrong in a regular expression. Compiling thousands of patterns takes seconds.
            re.compile(regex)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidPattern("it has a range that is not valid") from error
    return regex
