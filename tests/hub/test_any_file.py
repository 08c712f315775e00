"""The hub's domain beyond Raven's face: identities, moves, files that are no text, folders, large contents."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from agent.hub.domain.compression import CompressedContent, pack
from agent.hub.domain.drive_ports import Blobs
from agent.hub.domain.model import Encoding, Source, VersionOrigin
from agent.hub.domain.ports import StoreSession
from agent.hub.domain.source_folders import SourceFolders, files_in
from agent.hub.domain.source_transaction import SourceTransaction
from agent.hub.store.blobs import KEPT_MS, FileBlobs, TableBlobs
from agent.hub.store.sql_store import SqlStore, sqlite_url
from hub.fixtures import WORKSPACE, InProcess, delete, sha, upsert
from upgrade.frozen import RELEASES, thaw

T = TypeVar("T")


def change(hub: InProcess, source: str, act: Callable[[SourceTransaction, SourceFolders], T]) -> T:
    """Run one transaction on a source as the drive face does."""
    with hub.store.write() as session:
        locked = session.locked_source(WORKSPACE, source)
        assert locked is not None
        transaction = SourceTransaction(session, locked, hub.wall(), lambda: "id")
        tree = SourceFolders(session, transaction, "ada", hub.wall())
        tree.load()
        result = act(transaction, tree)
        tree.flush()
        transaction.flush()
        return result


def numbered(session: StoreSession, source: str) -> Source:
    """The source with its number."""
    found = session.source(WORKSPACE, source)
    assert found is not None
    return found


def test_older_data_gets_identities_and_version_numbers(tmp_path: Path) -> None:
    """Every file of schema 2 is one file from its first event on; its versions are numbered from 1."""
    thaw(RELEASES / "schema-4" / "hub.sql", tmp_path / "hub.db")
    store = SqlStore(sqlite_url(tmp_path / "hub.db"))
    with store.read() as session:
        assert store.migrated.before == 2
        rows = session.transaction.rows("SELECT source, number, path, hash, identity, version, revision FROM files")
        assert len(rows) == 6
        for source, number, path, hash_, identity, version, revision in rows:
            events = session.drive_events(source, 0, 1000)
            assert identity == min(event.cursor for event in events if event.file == number)
            assert {event.identity for event in events if event.file == number} == {identity}
            versions = session.drive_versions(source, identity)
            assert [found.number for found in versions] == list(range(1, version + 1))
            assert versions[-1].cursor == revision
            head = session.head_by_identity(source, identity)
            assert head is not None and head.path == path
            assert hash_ is None or versions[-1].hash == hash_.hex()
    store.close()


def test_a_move_keeps_identity_and_versions(hub: InProcess) -> None:
    """Raven's face sees a delete and a new file; the drive face sees one file with one history."""
    source = hub.source()
    hub.push(source, upsert("a/one.md", "1"))
    hub.push(source, upsert("a/one.md", "2", sha("1")))
    with hub.store.read() as session:
        number = numbered(session, source).number
        before = session.heads(number, ["a/one.md"])["a/one.md"]

    def move(transaction: SourceTransaction, tree: SourceFolders) -> None:
        tree.ensure(["b"])
        transaction.load_heads(["a/one.md", "b/two.md"])
        transaction.move("a/one.md", "b/two.md", "m", {"by": "ada"})

    change(hub, source, move)
    assert [(e["type"], e["relativePath"], e["cursor"]) for e in hub.events(source)[2:]] == [
        ("file.delete", "a/one.md", 3),
        ("file.upsert", "b/two.md", 4),
    ]
    assert hub.events(source)[-1]["payload"] == {
        "contentType": "text/markdown",
        "hash": sha("2"),
        "content": "2",
        "operationId": "m",
    }
    # The old path gets a new file, and the moved one is found where it is now.
    hub.push(source, upsert("a/one.md", "3"))
    hub.push(source, upsert("b/two.md", "4", sha("2")))
    with hub.store.read() as session:
        moved = session.head_by_identity(number, before.identity)
        assert moved is not None and (moved.path, moved.version) == ("b/two.md", 3)
        assert [v.hash for v in session.drive_versions(number, before.identity)] == [sha("1"), sha("2"), sha("4")]
        fresh = session.heads(number, ["a/one.md"])["a/one.md"]
        assert fresh.identity == 5
        assert [v.hash for v in session.drive_versions(number, fresh.identity)] == [sha("3")]


def test_a_deleted_file_is_not_the_one_that_follows_it(hub: InProcess) -> None:
    """A path that is filled again holds a new file; the old one is found as absent, with its versions."""
    source = hub.source()
    hub.push(source, upsert("a.md", "1"))
    hub.push(source, delete("a.md", sha("1")))
    hub.push(source, upsert("a.md", "2"))
    with hub.store.read() as session:
        number = numbered(session, source).number
        first, second = session.head_by_identity(number, 1), session.head_by_identity(number, 3)
        assert first is not None and first.hash is None
        assert second is not None and (second.hash, second.version) == (sha("2"), 1)
        assert [v.hash for v in session.drive_versions(number, 1)] == [sha("1")]
        assert session.head_by_identity(number, 99) is None


def test_a_binary_file_does_not_exist_on_ravens_face(hub: InProcess) -> None:
    """A text that becomes binary is deleted there; a push onto it is rejected; it returns with its next text."""
    source = hub.source()
    hub.push(source, upsert("a.md", "1"))
    data = b"\x00\xff"
    digest = hashlib.sha256(data).hexdigest()

    def binary(transaction: SourceTransaction, _: SourceFolders) -> None:
        transaction.load_heads(["a.md"])
        transaction.add_content(digest, pack(data))
        transaction.upsert("a.md", digest, VersionOrigin.CONNECTOR, "b", hidden=True)

    change(hub, source, binary)
    assert [(e["type"], e["cursor"]) for e in hub.events(source)] == [("file.upsert", 1), ("file.delete", 2)]
    assert hub.ok("sources/files", sourceId=source) == []
    assert hub.refused("sources/file", sourceId=source, relativePath="a.md") == (404, "File not found")
    assert hub.past(source, "a.md") == ["1"]
    for item in (upsert("a.md", "2"), delete("a.md", digest)):
        assert hub.outcome(source, item)["status"] == "rejected"
    assert len(hub.events(source)) == 2

    def text(transaction: SourceTransaction, _: SourceFolders) -> None:
        transaction.load_heads(["a.md"])
        transaction.add_content(sha("3"), pack(b"3"))
        transaction.upsert("a.md", sha("3"), VersionOrigin.CONNECTOR, "t")

    change(hub, source, text)
    assert hub.text(source, "a.md") == "3"
    with hub.store.read() as session:
        number = numbered(session, source).number
        assert [v.number for v in session.drive_versions(number, 1)] == [1, 2, 3]


def test_folders_follow_files_and_move_whole(hub: InProcess) -> None:
    """Folders of pushed files get numbers, which a rename keeps; everything below moves; a delete takes it all."""
    source = hub.source()
    hub.push(source, *[upsert(path, path) for path in ("a/1.md", "a/b/2.md", "a-c.md", "a.md", "ab/3.md")])
    rows = change(hub, source, lambda _, tree: tree.at(["a", "a/b", "ab"]))
    assert sorted(rows) == ["a", "a/b", "ab"]
    change(hub, source, lambda _, tree: tree.move(tree.at(["a"])["a"], "z/a", "rename"))
    after = change(hub, source, lambda _, tree: tree.at(["a", "z", "z/a", "z/a/b"]))
    assert sorted(after) == ["z", "z/a", "z/a/b"]
    assert (after["z/a"].number, after["z/a/b"].number) == (rows["a"].number, rows["a/b"].number)
    assert (after["z/a"].parent, after["z/a/b"].parent) == (after["z"].number, rows["a"].number)
    files = hub.ok("sources/files", sourceId=source)
    assert [file["relativePath"] for file in files] == ["a-c.md", "a.md", "ab/3.md", "z/a/1.md", "z/a/b/2.md"]
    with hub.store.read() as session:
        number = numbered(session, source).number
        listed = {folder: [row.head.path for row in files_in(session, number, folder)] for folder in ("", "z", "z/a")}
    assert listed == {"": ["a-c.md", "a.md"], "z": [], "z/a": ["z/a/1.md"]}
    change(hub, source, lambda _, tree: tree.delete(tree.at(["z"])["z"], "delete"))
    assert change(hub, source, lambda _, tree: tree.at(["z", "z/a", "z/a/b", "ab"])).keys() == {"ab"}
    assert len(hub.ok("sources/files", sourceId=source)) == 3


@pytest.mark.parametrize("kind", ["file", "table"])
def test_a_large_content_arrives_in_any_order(hub: InProcess, tmp_path: Path, kind: str) -> None:
    """Chunks written twice and backwards, one hash, any range; unfinished bytes can be discarded."""
    blobs: Blobs = FileBlobs(tmp_path, hub.store) if kind == "file" else TableBlobs(hub.store)
    data = os.urandom(5 * 1024 * 1024 + 17)
    digest = hashlib.sha256(data).hexdigest()
    size = 2 * 1024 * 1024
    for start in (2 * size, 0, size, 0):
        blobs.put("upload", start, data[start : start + size])
    assert b"".join(blobs.uploaded("upload", len(data))) == data
    source = hub.source()

    def record(transaction: SourceTransaction, _: SourceFolders) -> None:
        reference = blobs.adopt("upload", digest)
        transaction.add_content(digest, CompressedContent(len(data), Encoding.BLOB, reference))
        transaction.upsert("video", digest, VersionOrigin.CONNECTOR, "v", hidden=True)

    change(hub, source, record)
    assert b"".join(blobs.read(1, digest, 0, len(data))) == data
    assert b"".join(blobs.read(1, digest, size - 3, size + 9)) == data[size - 3 : 2 * size + 6]
    with hub.store.read() as session:
        assert session.known_content(1, digest) == len(data)
        assert session.content_bytes(1, digest) is None
        assert session.used_bytes(numbered(session, source).number) == len(data)
    blobs.put("other", 0, b"unfinished")
    blobs.discard(["other"])
    with pytest.raises((LookupError, FileNotFoundError)):
        list(blobs.uploaded("other", 10))
    blobs.sweep(hub.wall() + 2 * KEPT_MS)
    assert b"".join(blobs.read(1, digest, 0, 5)) == data[:5]


def test_the_name_of_a_new_upload_is_flushed_with_its_chunk(
    hub: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a power loss could take the file away, and a later chunk would leave a hole for an earlier one."""
    flushed: list[int] = []
    flush = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_ino)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    blobs = FileBlobs(tmp_path, hub.store)
    blobs.put("u1", 0, b"one")
    folder = tmp_path / "uploads"
    assert flushed == [path.stat().st_ino for path in (tmp_path, folder / "u1", folder)]
    flushed.clear()
    blobs.put("u1", 3, b"two")
    assert flushed == [(folder / "u1").stat().st_ino]


def test_the_sweep_removes_only_what_nothing_names(hub: InProcess, tmp_path: Path) -> None:
    """A content without a row, and an unfinished upload, after 48 hours and not before."""
    blobs = FileBlobs(tmp_path, hub.store)
    blobs.put("upload", 0, b"orphan")
    blobs.adopt("upload", "ab" * 32)
    blobs.put("unfinished", 0, b"part")
    now = int(os.stat(blobs.path_of("ab" * 32)).st_mtime * 1000)
    blobs.sweep(now + KEPT_MS - 1000)
    assert b"".join(blobs.read(1, "ab" * 32, 0, 6)) == b"orphan"
    blobs.sweep(now + KEPT_MS + 1000)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name in ("ab", "uploads")] == []
