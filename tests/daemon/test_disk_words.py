"""FD12: an error of the disk reaches a person as a sentence, without its number."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent.core.accepts import TEXT
from agent.disk.fs.posix import PosixFs
from agent.disk.selection.rules import Rules
from agent.engine import effects as e
from agent.engine import messages as m
from agent.runtime.effect_executor import EffectExecutor, ServerConnection
from agent.runtime.local_folder import LocalFolder
from agent.runtime.local_index_reader import LocalIndexReader


def refused() -> ServerConnection:
    raise AssertionError("no server is asked")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_fd12_a_refused_write_to_the_trash_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """FD12: which disk, what waits, what to do; no 'Errno'."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    folder = LocalFolder(PosixFs(), str(tmp_path), Rules(), str(tmp_path), "1")
    monkeypatch.setattr(folder, "write_to_trash", refuse)
    reader = LocalIndexReader(tmp_path / "none", 1)
    executor = EffectExecutor("source", folder, reader, refused, lambda: TEXT, lambda: 0.0)
    (told,) = executor.carry_out(e.WriteToTrash((e.TextForTrash("1", "a.md", b"text", "pull"),)))
    assert isinstance(told, m.TrashWriteFinished) and told.trouble is not None
    assert "Errno" not in told.trouble and told.trouble.startswith("the trash: ")
    assert ";" in told.trouble
    folder.close()
