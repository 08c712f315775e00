"""The guessed bodies of Pinakes are written down once a side, so that the real schema can replace them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.remotes.pinakes import wire

TOP = Path(__file__).parents[2] / "agent"
SIDES = (TOP / "remotes" / "pinakes", TOP / "hub" / "pinakes")

_FIELDS = """
accepted base_hash change_type changed_by_device changes chunk_count chunk_index chunk_size client_version conflicts
content_hash created_at cursor detected_at device_id device_token device_type enabled expected_hash expected_size
expires_at file_size has_more last_seen_at last_sync_at local_hash local_mtime old_path os_info received_chunks
resolution resolved_at server_hash sync_cursor target_path timestamp upload_id upload_required client_wins keep_both
manual server_wins created deleted modified moved completed
"""
FIELDS = frozenset(_FIELDS.split())
"""Fields and words of the bodies. Those that any module may name are left out: id, name, path, size, hash, status."""
PARAMETERS = frozenset({"cursor", "device_id", "upload_id"})
"""The names of parameters of paths and queries, which are known."""
DIGEST = "ab" * 32


def words_of(file: Path) -> set[str]:
    """Every text of a module."""
    found = (node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant))
    return {value for value in found if isinstance(value, str)}


def test_no_body_of_pinakes_is_named_outside_two_files() -> None:
    """Neither the adapter nor the hub's API names a field or a word of a body but in its ``wire``."""
    for side in filter(Path.exists, SIDES):
        for file in side.rglob("*.py"):
            if file.name != "wire.py":
                assert words_of(file) & FIELDS <= PARAMETERS, file


def test_the_adapters_file_names_the_fields_that_it_uses() -> None:
    """The test above looks for the right words."""
    used = words_of(SIDES[0] / "wire.py") & FIELDS
    assert {"content_hash", "upload_required", "changed_by_device", "server_wins"} <= used


def kind_of(decode: Any, *given: Any) -> ProblemKind:
    """The kind of problem with which a body is refused."""
    with pytest.raises(RemoteError) as error:
        decode(*given)
    return error.value.problem.kind


CHANGE = {
    "id": 7, "sequence": 3, "change_type": "created", "path": "/notes/a.md", "content_hash": DIGEST.upper(),
    "file_size": 2, "changed_by_device": 5, "timestamp": "2026-01-01T00:00:00Z",
}  # fmt: skip
SESSION = {
    "id": "u", "target_path": "a", "expected_hash": DIGEST, "expected_size": 9, "chunk_size": 4, "chunk_count": 3,
    "status": "pending", "created_at": "x", "expires_at": "x",
}  # fmt: skip


def test_a_change_is_read_in_every_spelling() -> None:
    """Numbered rows, hashes in capitals and paths with a leading slash are the same as without."""
    (change,) = wire.changes_of({"changes": [CHANGE], "cursor": 3, "has_more": False}).changes
    assert (change.id, change.by, change.path, change.hash) == ("7", "5", "notes/a.md", DIGEST)


@pytest.mark.parametrize(
    "wrong",
    [
        {"change_type": "renamed"}, {"change_type": "moved"}, {"content_hash": None}, {"content_hash": "abc"},
        {"path": None}, {"file_size": -1}, {"file_size": "2"},
    ],
)  # fmt: skip
def test_a_change_that_is_not_understood_is_garbled(wrong: dict[str, Any]) -> None:
    """It is not guessed, and not left out."""
    page = {"changes": [{**CHANGE, **wrong}], "cursor": 3, "has_more": False}
    assert kind_of(wire.changes_of, page) is ProblemKind.GARBLED


@pytest.mark.parametrize("wrong", [{"chunk_count": 2}, {"chunk_size": 0}, {"expected_size": 8}])
def test_chunks_that_do_not_make_the_file_are_garbled(wrong: dict[str, Any]) -> None:
    """Neither a missing byte nor one too many."""
    assert wire.upload_of(SESSION, 9).chunks == 3
    assert kind_of(wire.upload_of, {**SESSION, **wrong}, 9) is ProblemKind.GARBLED


def test_an_entity_tag_is_a_hash_only_if_it_looks_like_one() -> None:
    """Any other tag says nothing about the content."""
    assert wire.as_digest(f'"{DIGEST}"') == DIGEST
    assert [wire.as_digest(tag) for tag in ('W/"12-3"', "", None, f'W/"{DIGEST}"')] == [None] * 4
