"""The JSON reference: ``docs/json.md``, generated from the types of the control API.

``python -m agent.api.reference > docs/json.md`` writes it; a test compares the file with ``reference()``.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import FieldInfo, fields

from agent.api import methods
from agent.api.command_answers import COMMAND_ANSWERS

_HEAD: Final = """\
# JSON reference

Generated from the types of the control API by `python -m agent.api.reference`; do not edit it by hand.

With `--json` a command prints exactly one document on stdout; the table below names it. A command that goes on prints
one document a line. A command that fails prints `{"error": {"code", "message", "hint"}}` on stderr and nothing on
stdout; `hint` may be null. If its work began, its document is on stdout, whatever the exit code. The control socket
takes the parameters as the body of `POST /v1/METHOD` and answers `{"result": ANSWER}`, or an error as above. Times are
RFC 3339 UTC. Fields are only ever added.
"""

_WORDS: Final = {str: "text", int: "integer", float: "number", bool: "true or false", type(None): "null"}


def reference() -> str:
    """Return the text of ``docs/json.md``."""
    parts = [_HEAD, "## Commands\n", _commands(), "## Methods\n"]
    structs: dict[str, type[Struct]] = {}
    for name, (handler, params) in sorted({**methods.METHODS, **methods.CONTEXT_METHODS}.items()):
        answer = typing.get_type_hints(handler)["return"]
        parts.append(f"### {name}\n\n{_first_line(handler)}\n\nAnswer: {_type(answer)}.\n")
        rows = _table(params)
        parts.append(f"{rows}\n" if rows else "No parameters.\n")
        for found in _structs_in(answer):
            structs.setdefault(found.__name__, found)
    parts.append("## Documents\n")
    parts += [f"### {name}\n\n{_first_line(found)}\n\n{_table(found)}\n" for name, found in sorted(structs.items())]
    return "\n".join(parts).rstrip() + "\n"


def _commands() -> str:
    """Return the table of commands. ``@NAME`` in it refers to the answer of a method."""
    rows = [f"| `{name}` | {linked_answer(answer)} |" for name, answer in COMMAND_ANSWERS.items()]
    return "\n".join(["| command with `--json` | document |", "|---|---|", *rows]) + "\n"


def linked_answer(answer: str) -> str:
    """Return the words about a command's document with a link for each method that they name with ``@``.

    A field may have the name of a method whose answer is another thing, so that no other word becomes a link.

    Raises:
        KeyError: there is no such method.
    """
    known = {name: f"[{name}](#{name})" for name in (*methods.METHODS, *methods.CONTEXT_METHODS)}
    return re.sub(r"`@(\w+)`", lambda word: known[word[1]], answer)


def _first_line(described: object) -> str:
    return " ".join((inspect.getdoc(described) or "").split("\n\n")[0].split())


def _table(struct: type[Struct]) -> str:
    found = fields(struct)
    if not found:
        return ""
    meanings = _meanings(struct)
    rows = [f"| `{field.encode_name}` | {_described(field)} | {meanings.get(field.name, '')} |" for field in found]
    return "\n".join(["| field | type | meaning |", "|---|---|---|", *(row.replace("|  |", "| |") for row in rows)])


def _described(field: FieldInfo) -> str:
    words = _type(field.type)
    if field.default is UNSET:
        return f"{words}, not always there"
    return words if field.required else f"{words}, optional"


def _meanings(struct: type[Struct]) -> dict[str, str]:
    """Return the lines below ``Attributes:`` of a class and of those it extends, by the field's name."""
    found: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        text = base.__dict__.get("__doc__") or ""
        section = inspect.cleandoc(text).partition("Attributes:\n")[2]
        for entry in re.findall(r"^    (\w+): ((?:.+\n?)(?:^ {8}.+\n?)*)", section, re.MULTILINE):
            found[entry[0]] = " ".join(entry[1].split())
    return found


def _type(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(one) for one in arguments if one is not UnsetType)
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if hint in _WORDS:
        return _WORDS[hint]
    if issubclass(hint, Struct):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return " or ".join(f"`{one.value}`" for one in hint)


def _structs_in(hint: Any) -> Iterator[type[Struct]]:
    for argument in typing.get_args(hint):
        yield from _structs_in(argument)
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield hint
        for field in fields(hint):
            yield from _structs_in(field.type)


if __name__ == "__main__":
    print(reference(), end="")
