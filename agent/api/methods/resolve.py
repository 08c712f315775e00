"""resolve: a person's decisions about conflicts, carried out as far as the server can be reached."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final

from msgspec import Struct

from agent.api.methods.common import opened_folder
from agent.api.methods.conflicts import Shown, all_shown, find, large_size, local_text, texts_of
from agent.api.methods.drafts import forget_draft
from agent.api.methods.sync import working_runner
from agent.api.schema.conflicts import ResolutionRow, ResolutionState, ResolveDocument, ResolveParams
from agent.core.conflict import ConflictState
from agent.core.decided_file import decided_file
from agent.core.errors import UsageError
from agent.core.hashes import sha256_hex
from agent.core.model import Resolution
from agent.disk.selection.patterns import PatternList
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.runtime.agent import Agent
from agent.runtime.local_folder import LocalFolder
from agent.runtime.source_runner import SourceRunner

_STALL_SECONDS: Final = 30.0
"""Time without a single resolution carried out after which the command stops waiting."""
_AT_ONCE: Final = 100
"""Decisions written in one transaction. More would delay other work of the control thread."""
_MOVED: Final = "the file or the server's version changed since; please look again"


class _Decision(Struct):
    """A conflict, and its row of the answer; ``message`` is for the engine, unless the row is settled already."""

    shown: Shown
    row: ResolutionRow
    message: m.Resolve | None = None


def resolve(agent: Agent, params: ResolveParams) -> ResolveDocument:
    """Decide conflicts: stored at once, carried out as far as the server can be reached.

    Raises:
        UsageError: the request does not say which conflicts, or names one that does not exist.
    """
    decisions = [_decision(shown, named, params.choice) for shown, named in _chosen(agent, params)]
    by_source: defaultdict[int, list[_Decision]] = defaultdict(list)
    for decision in decisions:
        by_source[decision.shown.source.key].append(decision)
    for group in by_source.values():
        with opened_folder(agent, group[0].shown.source) as folder:
            for start in range(0, len(group), _AT_ONCE):
                _decide(agent, folder, group[start : start + _AT_ONCE], params)
    if not params.dry_run:
        _carry_out(agent, [d for d in decisions if d.row.state is ResolutionState.QUEUED])
        for done in decisions:
            if params.text is not None and done.row.state is ResolutionState.RESOLVED:
                forget_draft(agent, done.shown.source.key, done.shown.conflict.id, params.text)
    return ResolveDocument([decision.row for decision in decisions])


def _chosen(agent: Agent, params: ResolveParams) -> list[tuple[Shown, str | None]]:
    """Return the conflicts that are meant, each with the text that named it, if one did. Raises UsageError."""
    if (bool(params.ids), params.path_glob is not None, params.all).count(True) != 1:
        raise UsageError("exactly one of ids, path_glob and all chooses the conflicts", "raven-agent conflicts")
    everything = all_shown(agent)
    if params.ids:
        return [(find(everything, one, params.cwd or ""), one) for one in params.ids]
    mine = [shown for shown in everything if shown.conflict.parks]
    if params.path_glob is not None:
        patterns = PatternList.given([params.path_glob], "path")
        mine = [shown for shown in mine if patterns.touches(shown.conflict.path)]
    return [(shown, None) for shown in mine]


def _decision(shown: Shown, named: str | None, choice: Resolution) -> _Decision:
    """Begin the answer's row; it is refused already where the conflict is not ours or has moved since it was shown."""
    conflict = shown.conflict
    row = ResolutionRow(id=conflict.key, path=conflict.path, choice=choice, state=ResolutionState.QUEUED)
    if conflict.is_waiting:
        # A decision now would replace a head that the person has not seen.
        _refuse(row, "the folder receives the server's newer version first; please look again then")
    elif not conflict.mine:
        _refuse(row, "this is another machine's conflict; it is resolved there")
    elif named and "." in named and named != conflict.key and named.split(".")[0] == str(conflict.id):
        _refuse(row, _MOVED)
    return _Decision(shown, row)


def _refuse(row: ResolutionRow, message: str) -> None:
    row.state, row.message = ResolutionState.REFUSED, message


def _decide(agent: Agent, folder: LocalFolder, group: Sequence[_Decision], params: ResolveParams) -> None:
    """Collect the texts that the decisions need and store the decisions in one step."""
    waiting = [decision for decision in group if decision.row.state is ResolutionState.QUEUED]
    for decision in waiting:
        decision.message = _message(agent, folder, decision, params)
    waiting = [decision for decision in waiting if decision.message is not None]
    if params.dry_run:
        for decision in waiting:
            _foretell(decision)
        return
    if not waiting:
        return
    runner = working_runner(agent, waiting[0].shown.source)
    messages = [decision.message for decision in waiting if decision.message is not None]
    refusals = agent.control.call(lambda: runner.decide(messages))
    for decision, refusal in zip(waiting, refusals, strict=True):
        if refusal is not None:
            _refuse(decision.row, refusal)


def _foretell(decision: _Decision) -> None:
    """Complete the row of a dry run."""
    conflict, row = decision.shown.conflict, decision.row
    text = decision.message.text if decision.message is not None else None
    merged = sha256_hex(text) if text is not None and row.choice is Resolution.MANUAL_MERGE else None
    row.state = ResolutionState.WOULD_RESOLVE
    row.here = decided_file(row.choice, conflict.local_hash, conflict.remote_hash, merged)


def _message(agent: Agent, folder: LocalFolder, decision: _Decision, params: ResolveParams) -> m.Resolve | None:
    conflict, choice = decision.shown.conflict, params.choice
    text: bytes | None = None
    is_large = large_size(agent, decision.shown.source, conflict.path) is not None
    if choice is Resolution.KEEP_LOCAL and conflict.local_hash is not None and not is_large:
        text = local_text(agent, decision.shown.source, folder, conflict)
        if text is None:
            _refuse(decision.row, "the file changed since; please look again")
            return None
    elif choice is Resolution.MANUAL_MERGE:
        text = _merged_text(agent, folder, decision.shown, params)
        if text is None:
            _refuse(decision.row, "the proposed merge is not clean; finish it with --edit or --file")
            return None
    return m.Resolve(conflict.id, conflict.generation, choice, text)


def _merged_text(agent: Agent, folder: LocalFolder, shown: Shown, params: ResolveParams) -> bytes | None:
    if params.proposed and large_size(agent, shown.source, shown.conflict.path) is not None:
        return None
    if params.proposed:
        proposal = texts_of(agent, shown, folder).proposal()
        return proposal.text if proposal and proposal.clean else None
    return (params.text or "").encode()


def _carry_out(agent: Agent, queued: Sequence[_Decision]) -> None:
    """Wait while resolutions are carried out, then read every conflict once more and fill in the rows."""
    by_source: defaultdict[int, set[int]] = defaultdict(set)
    for decision in queued:
        by_source[decision.shown.source.key].add(decision.shown.conflict.id)
    runners = {key: runner for key in by_source if (runner := agent.runner(key)) is not None}
    if agent.run_mode is RunMode.DAEMON:
        for key, runner in runners.items():
            _wait(agent, runner, frozenset(by_source[key]))
    else:
        for future in [runner.pass_once() for runner in runners.values()]:
            future.result()
    for start in range(0, len(queued), _AT_ONCE):
        _read_results(agent, runners, queued[start : start + _AT_ONCE])


def _wait(agent: Agent, runner: SourceRunner, wanted: frozenset[int]) -> None:
    """Return once all are carried out, once something keeps the rest from it, or after a time without progress."""

    def ended() -> bool:
        return runner.engine.obstacle() is not None or not runner.engine.resolving() & wanted

    left = len(wanted)
    future: Future[None] = runner.when(ended)
    while True:
        with contextlib.suppress(FutureTimeoutError):
            future.result(_STALL_SECONDS)
            return
        before, left = left, agent.control.call(lambda: len(runner.engine.resolving() & wanted))
        if left == before:
            future.cancel()
            return


def _read_results(agent: Agent, runners: dict[int, SourceRunner], queued: Sequence[_Decision]) -> None:
    found = agent.control.call(lambda: [agent.index.conflicts.get(d.shown.conflict.id) for d in queued])
    obstacles = agent.control.call(lambda: {key: runner.engine.obstacle() for key, runner in runners.items()})
    for decision, entry in zip(queued, found, strict=True):
        row, conflict = decision.row, entry[1] if entry else None
        if conflict is None or conflict.state is ConflictState.CLOSED:
            row.state = ResolutionState.RESOLVED
        elif conflict.state is ConflictState.OPEN:
            _refuse(row, conflict.note or _MOVED)
            row.id = conflict.key
        else:
            code, message = obstacles.get(decision.shown.source.key) or ("working", "it is still being carried out")
            row.code, row.message = code, message
