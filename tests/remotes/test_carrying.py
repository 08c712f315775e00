"""What the carrier makes of a server's answers, over the adapter and a whole server."""

from __future__ import annotations

import hashlib
from pathlib import Path

from agent.daemon.carrier import Carrier, Line
from agent.daemon.folder import Folder
from agent.daemon.runner import IndexMemory
from agent.disk.posix import PosixFs
from agent.disk.select import Rules
from agent.engine import effects as e
from agent.engine import messages as m
from remotes.rig import World, edit


def test_one_head_that_cannot_be_believed_fails_alone(strict: World, tmp_path: Path) -> None:
    """Asked together with it, the others are answered: one client's wrong hash holds up no resolution but its own."""
    strict.push(edit("a.md", "a"), edit("b.md", "b"))
    wrong = hashlib.sha256(b"another text").hexdigest()
    item = {"relativePath": "bad.md", "operation": "upsert", "content": "text", "contentHash": wrong}
    strict.raw("sources/push-batch", items=[{**item, "operationId": "foreign-1", "contentType": "text/plain"}])
    folder = Folder(PosixFs(), str(tmp_path), Rules(), str(tmp_path), "1")
    memory = IndexMemory(tmp_path / "none", 1)
    line = Line(strict.remote, strict.connector)
    carrier = Carrier(strict.source, folder, memory, lambda: line, lambda: None, strict.clock)
    told = list(carrier.carry_out(e.AskDisputes(("a.md", "bad.md", "b.md"))))
    assert [message.subject for message in told if isinstance(message, m.CallFailed)] == ["bad.md"]
    assert [message.path for message in told if isinstance(message, m.HeadArrived)] == ["a.md", "b.md"]
