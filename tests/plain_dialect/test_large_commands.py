"""The commands for conflicts, where a file is large or no text: plain sentences, and decisions that work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plain_dialect.machines import PlainHome, PlainProcess
from plain_dialect.state import Sizes
from support.eventually import eventually
from support.processes import Daemon
from support.wait_idle import settle

MIB = 1 << 20
LARGE, SMALL = "large.bin", "small.bin"
CONTENTS = {
    name: {path: name.encode() * (MIB // 2) if path == LARGE else name.encode() + b"\0\n" for path in (LARGE, SMALL)}
    for name in ("base", "here", "there")
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PlainProcess]:
    made = PlainProcess(tmp_path / "server", Sizes(MIB, MIB, 64 * MIB))
    yield made
    made.kill()


def put(home: PlainHome, name: str) -> None:
    """Save both files."""
    for path, content in CONTENTS[name].items():
        home.write(path, content)


def ids(daemon: Daemon) -> dict[str, str]:
    """The open conflicts of this machine by path."""
    return {row["path"]: str(row["id"]) for row in daemon.call("conflicts") if row["mine"]}


def test_conflicts_of_large_and_binary_files(server: PlainProcess, tmp_path: Path) -> None:
    """``diff`` says why it shows nothing, no merge is proposed, and each side can be kept."""
    here, there = PlainHome(tmp_path, "here", server), PlainHome(tmp_path, "there", server)
    put(here, "base")
    with here.linked() as source:
        pass
    with there.linked(source):
        pass
    with here.daemon() as first:
        settle([first])
        with there.daemon() as second:
            settle([second])
            eventually(lambda: there.files() == CONTENTS["base"], 60, "both files are on the other machine")
        put(there, "there")
        put(here, "here")
        settle([first])
    with there.daemon() as second:
        settle([second])
        found = ids(second)
        assert sorted(found) == [LARGE, SMALL]
        large = there.json("diff", found[LARGE])
        assert large["unshown"].startswith(f"{LARGE} has {5 * MIB // 2:,} bytes and is not shown")
        small = there.json("diff", found[SMALL])
        assert small["unshown"].startswith(f"{SMALL} is no text and is not shown")
        for shown in (large, small):
            assert (shown["local"], shown["remote"], shown["merged"], shown["preview"]) == (None, None, None, [])
        for path in (LARGE, SMALL):
            assert there.run("resolve", found[path], "manual_merge", "--proposed").code != 0
        assert there.run("resolve", found[LARGE], "keep_local").code == 0
        assert there.run("resolve", found[SMALL], "keep_raven").code == 0
        settle([second])
        ended = {LARGE: CONTENTS["there"][LARGE], SMALL: CONTENTS["here"][SMALL]}
        assert ids(second) == {} and there.files() == ended
        assert CONTENTS["there"][SMALL] in there.trashed()
    with here.daemon() as first:
        settle([first])
        assert here.files() == ended
        paused = here.run("pause", "--everywhere")
        assert paused.code != 0 and "cannot pause a source for all machines" in paused.err
        shown = here.run("show", here.folder / LARGE)
        assert shown.code != 0 and "is too large to be shown" in shown.err
