"""In which order a pull reaches the disk, told by the system calls of a real pass (CR2)."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.index import open_index
from crashes.conftest import Machines
from support.processes import COMMAND, RUN_SECONDS, Home
from support.servers import HubServer

CALLS = "openat,write,pwrite64,fsync,fdatasync,syncfs,rename,renameat,renameat2,unlinkat,link,linkat"
_LINE = re.compile(r"(\d+) +(.*)")
_PENDING = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@dataclass(frozen=True)
class Call:
    """One system call that succeeded.

    Attributes:
        text: as strace writes it, descriptors with their paths.
        begun, ended: line numbers, which are moments.
    """

    text: str
    begun: int
    ended: int

    @property
    def name(self) -> str:
        """Which call."""
        return self.text.partition("(")[0]


def calls_of(trace: str) -> list[Call]:
    """The calls of a trace, by the moment they ended; those that failed are left out."""
    found: list[Call] = []
    pending: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(trace.splitlines()):
        matched = _LINE.fullmatch(line)
        assert matched is not None, line
        process, text = matched.groups()
        if text.endswith(_PENDING):
            pending[process] = (text.removesuffix(_PENDING), number)
            continue
        begun = number
        resumed = _RESUMED.fullmatch(text)
        if resumed is not None:
            head, begun = pending.pop(process)
            text = head + resumed.group(1)
        if "(" in text and not re.search(r"\) += -1 ", text):
            found.append(Call(text, begun, number))
    return found


def traced_pull(home: Home, top: Path) -> list[Call]:
    """The calls of one ``sync``."""
    trace = top / "trace"
    subprocess.run(
        ["strace", "-f", "-y", "-s", "0", "-o", str(trace), "-e", f"trace={CALLS}", *COMMAND, "sync", "--json"],
        env=home.env, cwd=home.folder, check=True, capture_output=True, timeout=RUN_SECONDS,
    )  # fmt: skip
    return calls_of(trace.read_text("utf-8", "replace"))


def first(calls: Sequence[Call], pattern: str, after: int = -1) -> Call:
    """The first call like this that began after a moment."""
    for call in sorted(calls, key=lambda call: call.begun):
        if call.begun > after and re.search(pattern, call.text):
            return call
    raise AssertionError(f"no {pattern} after line {after}")


@pytest.fixture
def home(machine: Machines, hub: HubServer) -> Home:
    """A machine with one file to be replaced and one to be removed, signed in."""
    made = machine()
    made.login(hub)
    made.write("sub/replaced.md", "old\n")
    made.write("gone/removed.md", "removed\n")
    return made


def change_on_the_server(hub: HubServer, source: str) -> None:
    """One file is replaced, one created in a new folder, one removed."""
    hub.replace(source, "sub/replaced.md", "new\n")
    hub.put(source, "fresh/created.md", "created\n")
    hub.remove(source, "gone/removed.md")


def test_cr2_each_step_of_a_pull_is_durable_before_the_next(home: Home, hub: HubServer, tmp_path: Path) -> None:
    """durable(temporary) -> swap -> durable(folders) -> index commit, for what is replaced, created and removed."""
    source = home.link()
    change_on_the_server(hub, source)
    calls = traced_pull(home, tmp_path)
    assert home.texts() == {"sub/replaced.md": "new\n", "fresh/created.md": "created\n"}
    swaps = {
        "sub": first(calls, r'renameat2\(.*\.new".*"replaced\.md", RENAME_EXCHANGE'),
        "fresh": first(calls, r'renameat2\(.*\.part".*"created\.md", RENAME_NOREPLACE'),
        "gone": first(calls, r'renameat2?\(.*"removed\.md".*\.old"'),
    }
    for folder in ("sub", "fresh"):
        identity = re.search(r'"(\w+)\.(new|part)"', swaps[folder].text)
        assert identity is not None
        durable = first(calls, rf"f(data)?sync\(.*/slots/.*{identity.group(1)}\.part>|syncfs\(.*/slots/")
        written = first(calls, rf"write\(.*/slots/.*{identity.group(1)}\.part>")
        assert written.ended < durable.begun
        assert durable.ended < swaps[folder].begun
    for folder, swap in swaps.items():
        # A folder that the removal emptied has gone as well: its parent's names are what is made durable.
        place = rf"/notes/{folder}>" if folder != "gone" else r"/notes>"
        settled = [
            first(calls, rf"fsync\(\d+<[^>]*{place}", swap.begun),
            first(calls, r"fsync\(\d+<[^>]*/trash/[^>]*>", swap.begun),
            first(calls, r"fsync\(\d+<[^>]*/slots/[^/>]*>", swap.begun),
        ]
        # That no commit comes before them is claimed below, with a kill between the two.
        first(calls, r"f(data)?sync\(\d+<[^>]*index\.sqlite-wal>", max(call.ended for call in settled))
        assert swap.ended < min(call.begun for call in settled)
    # What came out is looked at and kept only once it is out of the user's reach.
    kept = [
        first(calls, rf'renameat2\(.*/slots/.*/trash/.*{re.escape(path)}"') for path in ("replaced.md", "removed.md")
    ]
    for swap, trashed in zip((swaps["sub"], swaps["gone"]), kept, strict=True):
        assert swap.ended < trashed.begun


def test_cr2_a_new_files_mark_is_removed_only_after_the_commit(home: Home, hub: HubServer, tmp_path: Path) -> None:
    """The mark tells the next start that the file was put there, so it comes once the file is durable and outlives
    everything but the index's commit.
    """
    source = home.link()
    change_on_the_server(hub, source)
    calls = traced_pull(home, tmp_path)
    swap = first(calls, r'renameat2\(.*\.part".*"created\.md", RENAME_NOREPLACE')
    marked = first(calls, r'openat\(.*\.made", O_WRONLY\|O_CREAT')
    removed = first(calls, r'unlinkat\(.*\.made"')
    settled = first(calls, r"fsync\(\d+<[^>]*/notes/fresh>", swap.begun)
    committed = first(calls, r"f(data)?sync\(\d+<[^>]*index\.sqlite-wal>", settled.ended)
    durable = first(calls, r"f(data)?sync\(.*/slots/.*\.part>|syncfs\(.*/slots/")
    assert durable.ended < marked.begun
    assert marked.ended < swap.begun
    assert committed.ended < removed.begun


@pytest.mark.parametrize("folder", ["sub", "."], ids=["its-folder", "the-root"])
def test_cr2_nothing_is_committed_before_folders_are_durable(home: Home, hub: HubServer, folder: str) -> None:
    """Killed as it makes a folder durable: the file stands there, the index still holds its journalled intent, and
    the next pass settles it without a word.
    """
    source = home.link()
    change_on_the_server(hub, source)
    killed = subprocess.run(
        ["strace", "-f", "-o", os.devnull, "-P", str((home.folder / folder).resolve()), "-e", "trace=fsync",
         "-e", "inject=fsync:signal=SIGKILL:when=1", *COMMAND, "sync", "--json"],
        env=home.env, cwd="/", check=False, capture_output=True, timeout=RUN_SECONDS,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed
    assert home.texts()["sub/replaced.md"] == "new\n"
    with contextlib.closing(open_index(home.path / "index.sqlite")) as index:
        key = index.connection.execute("SELECT DISTINCT source FROM intents").fetchone()[0]
        assert "sub/replaced.md" in {intent.path for intent in index.journal.all(key)}
    report = home.sync(code=0)
    assert (report["pushed"], report["conflicts"]) == (0, 0)
    assert home.texts() == {"sub/replaced.md": "new\n", "fresh/created.md": "created\n"}
    assert b"old\n" in home.trashed()
