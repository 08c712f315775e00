"""New files get what an editor's file gets in the same folder; privileges are never given."""

from __future__ import annotations

import os
import stat
import struct
import sys
from pathlib import Path

import pytest

from agent.core.model import ApplyOutcome, Purpose
from agent.core.os_errors import explain
from agent.disk.fs.attributes import access_acl
from disk.fixtures import NOW, Room, WrappedFs, inline, intent, needs_root, open_room

OLD, NEW = b"old\n", b"new\n"
_ENTRY = struct.Struct("<HHI")
_NO_ID = 0xFFFFFFFF


def acl(*entries: tuple[int, int, int]) -> bytes:
    """A POSIX ACL as the kernel stores it; entries are (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(_ENTRY.pack(*entry) for entry in entries)


def install(room: Room, path: str, expected: bytes | None = None, purpose: Purpose = Purpose.PULL) -> None:
    job = intent(path, NEW, expected, purpose=purpose)
    assert room.installer.apply(inline([(job, NEW)]), NOW)[0].landing is ApplyOutcome.DONE
    room.installer.release([job.id])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_fd9_a_new_file_gets_the_umask(room: Room) -> None:
    """FD9: as an editor's file does, also in folders that the agent creates."""
    before = os.umask(0o027)
    try:
        install(room, "a.md")
        install(room, "new/b.md")
    finally:
        os.umask(before)
    assert mode(room.folder / "a.md") == mode(room.folder / "new/b.md") == 0o640


@needs_root
def test_fd9_a_new_file_gets_the_group_of_a_setgid_folder(room: Room) -> None:
    """FD9: the group is inherited, through folders that do not exist yet as well."""
    shared = room.folder / "shared"
    shared.mkdir()
    os.chown(shared, -1, 12345)
    shared.chmod(0o2775)
    install(room, "shared/a.md")
    install(room, "shared/new/b.md")
    assert (shared / "a.md").stat().st_gid == (shared / "new/b.md").stat().st_gid == 12345
    assert (shared / "new").stat().st_gid == 12345


@pytest.mark.skipif(sys.platform != "linux", reason="POSIX ACLs")
@pytest.mark.parametrize("below", ["", "shared"])
def test_fd9_a_new_file_gets_the_default_acl(room: Room, below: str) -> None:
    """FD9: the file has exactly the ACL that the kernel gives to an editor's file, whatever the umask is."""
    top = room.folder / below
    top.mkdir(exist_ok=True)
    default = acl((1, 7, _NO_ID), (2, 6, 12345), (4, 5, _NO_ID), (0x10, 7, _NO_ID), (0x20, 0, _NO_ID))
    try:
        os.setxattr(top, "system.posix_acl_default", default)
    except OSError:
        pytest.skip("no ACLs here")
    editor = top / "editor.md"
    descriptor = os.open(editor, os.O_CREAT | os.O_WRONLY, 0o666)
    os.close(descriptor)
    install(room, f"{below}/a.md".lstrip("/"))
    install(room, f"{below}/new/b.md".lstrip("/"))
    wanted = os.getxattr(editor, "system.posix_acl_access")
    for path in (top / "a.md", top / "new/b.md"):
        assert os.getxattr(path, "system.posix_acl_access") == wanted
        assert mode(path) == mode(editor)


def test_fd9_an_acl_is_narrowed_as_the_kernel_does() -> None:
    """FD9: owner, mask and others lose what the mode does not ask for; named users keep theirs below the mask."""
    default = acl((1, 7, _NO_ID), (2, 7, 5), (4, 5, _NO_ID), (0x10, 7, _NO_ID), (0x20, 5, _NO_ID))
    assert access_acl(default, 0o666) == acl(
        (1, 6, _NO_ID), (2, 7, 5), (4, 5, _NO_ID), (0x10, 6, _NO_ID), (0x20, 4, _NO_ID)
    )
    plain = acl((1, 7, _NO_ID), (4, 7, _NO_ID), (0x20, 7, _NO_ID))
    assert access_acl(plain, 0o640) == acl((1, 6, _NO_ID), (4, 4, _NO_ID), (0x20, 0, _NO_ID))


@pytest.mark.parametrize("bits", [0o4755, 0o2755, 0o6711, 0o1644])
def test_fd9_a_set_id_bit_is_never_given_to_new_bytes(room: Room, bits: int) -> None:
    """FD9: a text that arrives at the path of a set-uid program keeps the other mode bits only."""
    file = room.folder / "a.md"
    file.write_bytes(OLD)
    file.chmod(bits)
    install(room, "a.md", OLD)
    assert file.read_bytes() == NEW
    assert mode(file) == bits & 0o777


@needs_root
def test_fd9_a_capability_is_never_given_to_new_bytes(room: Room) -> None:
    """FD9: file capabilities are privileges of the old bytes; other attributes are kept."""
    file = room.folder / "a.md"
    file.write_bytes(OLD)
    try:
        os.setxattr(file, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
        os.setxattr(file, "user.tag", b"kept")
    except OSError:
        pytest.skip("no such attributes here")
    install(room, "a.md", OLD)
    assert os.listxattr(file) == ["user.tag"]


def test_fd9_a_restored_file_gets_its_own_mode_back(room: Room) -> None:
    """FD9: a private note is private again after `restore --trash`; a text written into the trash has no mode."""
    file = room.folder / "a.md"
    file.write_bytes(NEW)
    file.chmod(0o600)
    removal = intent("a.md", None, NEW, 2)
    assert room.installer.apply(inline([(removal, b"")]), NOW)[0].landing is ApplyOutcome.DONE
    install(room, "a.md", purpose=Purpose.RESTORE)
    assert mode(file) == 0o600
    elsewhere = room.state.with_name("other")
    elsewhere.mkdir()
    other = open_room(room.folder, elsewhere)
    other.trash.store("b.md", NEW, "conflict", "0a", NOW)
    install(other, "b.md", purpose=Purpose.RESTORE)
    assert mode(room.folder / "b.md") == 0o666 & ~_umask()
    other.close()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_fd12_a_pull_across_a_mount_says_what_to_do(folder: Path, state: Path) -> None:
    """FD12: the sentence names the folder and the remedy, not the errno."""
    fs = WrappedFs()
    room = open_room(folder, state, fs)
    (folder / "disk").mkdir()

    def across(name: str, args: tuple[object, ...]) -> None:
        if name in {"rename_noreplace", "exchange"} and args[-1] == "a.md":
            raise OSError(18, os.strerror(18))

    fs.before = across
    result = room.installer.apply(inline([(intent("disk/a.md", NEW, None), NEW)]), NOW)[0]
    fs.before = None
    assert result.landing is ApplyOutcome.FAILED
    assert result.text is not None
    assert result.text.startswith("disk: ") and "another file system" in result.text and "exclude it" in result.text
    assert "Errno" not in result.text and "cross-device" not in result.text
    room.close()


@pytest.mark.parametrize("code", range(1, 134))
def test_fd12_no_error_of_the_system_shows_its_number(code: int) -> None:
    """FD12: every errno becomes a clause that names the place."""
    text = explain(OSError(code, os.strerror(code)), "/mnt/disk")
    assert text.startswith("/mnt/disk: ") and len(text) > len("/mnt/disk: ")
    assert "Errno" not in text and "OSError" not in text
