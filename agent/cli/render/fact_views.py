"""Facts of a file or a folder, as answers to questions. Pure: facts in, lines out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agent.cli.humanize import count_of, seconds_words, size_words, typed_path, when
from agent.cli.output import Style, TextLine
from agent.cli.render.base import Document
from agent.cli.render.machine_views import named, progress_of
from agent.settings.links import LOCAL_ACCOUNTS

_CHANGES: Final = {
    "pushed": "it was edited on this machine and sent",
    "deleted_remote": "it was deleted on this machine",
    "restored": "it was brought back on this machine",
    "pulled": "its text came from the server: another machine or a person there changed it",
    "deleted_local": "its delete came from the server: another machine or a person there deleted it",
}
_CONFLICTS: Final = {
    "edit_edit": "it was edited here and on the server, and neither text was overwritten",
    "edit_delete": "it was edited here and deleted on the server",
    "delete_edit": "it was deleted here and edited on the server",
    "no_base": "it differs here and on the server, and no common version is known: both are new, or one was restored",
}
_STOPPED: Final = {
    "offline": "the server cannot be reached",
    "signed_out": "you are signed out: raven-agent servers",
    "paused": "it is paused: raven-agent status",
    "halted": "a safety brake stopped it: raven-agent status",
}


def file_answers(facts: Document, typed: str, present: int = 1) -> Iterator[TextLine]:
    """Answer who changed a file, where its old texts are, and why it is in conflict.

    Args:
        typed: the file as a person types it behind a command.
        present: number of the server's versions that are the file as it is here: 0 if it is gone.
    """
    change = facts.get("last_change")
    if change:
        yield _line("who changed it?", f"{_CHANGES.get(change['what'], change['what'])}, {when(change['at'])}")
    yield _line("where is the old text?", _old_text(facts, typed, present))
    if not present and (facts.get("server_versions") or facts["trash_versions"]):
        yield TextLine(f"    to bring it back: raven-agent restore {typed} --version HASH", Style.ASIDE)
    conflict = facts.get("conflict")
    if conflict:
        words = f"{_CONFLICTS.get(conflict['kind'], conflict['kind'])}, {when(conflict['opened_at'])}"
        yield _line("why is there a conflict?", words, Style.CARE)
        number = str(conflict["id"]).partition(".")[0]
        yield TextLine(f"    raven-agent diff {number}, then raven-agent resolve {number}", Style.ASIDE)


def _old_text(facts: Document, typed: str, present: int) -> str:
    server, trash = facts.get("server_versions"), facts["trash_versions"]
    older = None if server is None else max(0, server - present)
    least = "at least " if facts.get("server_has_more") else ""
    kept = [f"{least}{count_of(older, 'earlier version')} on the server"] if older else []
    kept += [f"{count_of(trash, 'text')} in the trash of this machine"] if trash else []
    words = f"{' and '.join(kept)}: raven-agent history {typed}" if kept else ""
    if server is None:
        why = facts.get("server_message") or "the server was not asked"
        return f"{words}; {why}" if words else f"none in the trash of this machine; {why}"
    none = "there is none yet: this is the only version" if present else "none is kept here or on the server"
    return words or none


def folder_answers(facts: Document, typed: str) -> Iterator[TextLine]:
    """Answer what people ask about a linked folder."""
    source = facts["source"]
    yield _line("is it up to date?", _up_to_date(source))
    yield _line("is it safe to close the lid?", _lid(facts))
    yield _line("why is it slow?", _slow(facts))
    yield _line("is it up to date on my other machines?", _others(facts, typed))
    yield _line("how much space does it take?", _space(facts, typed))
    yield _line("what happens if I unlink it?", _unlink(facts, typed))


def _up_to_date(source: Document) -> str:
    waits = _waiting(source)
    if waits:
        return f"not yet: {waits}"
    if source.get("last_sync_at") is None:
        return "not yet: the first pass has not ended"
    words = f"both sides agreed {when(source['last_sync_at'])}"
    if source.get("conflicts"):
        return f"but for {count_of(source['conflicts'], 'conflict')}: {words}"
    if source.get("failed"):
        return f"but for {count_of(source['failed'], 'file')} that cannot be synced: {words}"
    if source["state"] in _STOPPED:
        return f"not known, as {_STOPPED[source['state']]}; {words}"
    return f"yes, {words}"


def _waiting(source: Document) -> str:
    counts = (("pending_push", "to send"), ("pending_pull", "to fetch"))
    return " and ".join(f"{source[name]} {words}" for name, words in counts if source.get(name))


def _lid(facts: Document) -> str:
    source = facts["source"]
    unsent = max(0, facts["unsent"] - source["conflicts"])
    if not unsent:
        return "yes, nothing waits to be sent"
    waits = count_of(unsent, "change")
    if not facts["agent_runs"]:
        return f"nothing is lost, but {waits} of this machine wait, and no agent runs: raven-agent sync"
    return f"wait a moment for the other machines: {waits} of this machine are not sent yet; none is lost if you do not"


def _slow(facts: Document) -> str:
    source = facts["source"]
    causes = [*(source.get("degraded") or ())]
    if not facts["agent_runs"]:
        causes.append("no agent runs, so changes wait for the next raven-agent sync")
    if source["state"] in ("offline", "signed_out", "paused", "halted"):
        causes.append(_STOPPED[source["state"]])
    if facts.get("calls_a_minute"):
        causes.append(f"the server allows {facts['calls_a_minute']} calls a minute")
    if facts["notices"] == "asking":
        causes.append("the server does not report changes, so it is asked every few seconds")
    progress = source.get("progress")
    if progress and progress.get("eta_seconds") is not None:
        left = progress["files_total"] - progress["files_done"]
        causes.append(f"{count_of(left, 'file')} are left, about {seconds_words(progress['eta_seconds'])}")
    if not causes:
        return "it is not: an edit is sent when the file is at rest, and changes of others arrive at once"
    return "; ".join(causes)


def _others(facts: Document, typed: str) -> str:
    machines, source = facts["machines"], facts["source"]
    if not machines["known"]:
        return str(machines["message"])
    others = [machine for machine in machines["machines"] if not machine["this_machine"]]
    if not others:
        return f"no other machine syncs this folder yet: raven-agent {_second_machine(source)}"
    behind = [pair for pair in named(others) if pair[0]["state"] != "up_to_date"]
    if not behind:
        return f"yes: every change is on {', '.join(name for _, name in named(others))}"
    words = ", ".join(f"{_share(one, name)} (last seen {when(one['seen_at'])})" for one, name in behind)
    return f"no: {words}: raven-agent status {typed} --machines"


def _second_machine(source: Document) -> str:
    """Return the command that brings a folder to a second machine."""
    own = source["server"] in LOCAL_ACCOUNTS
    return "hub invite" if own else f"link FOLDER --source {typed_path(source['name'])}, typed there"


def _share(machine: Document, name: str) -> str:
    if machine["state"] == "unknown":
        return f"of {name} nothing is known"
    return f"{name} has {progress_of(machine)}"


def _space(facts: Document, typed: str) -> str:
    source = facts["source"]
    words = f"{count_of(source['files'], 'file')}, {size_words(source['bytes'])}"
    if not facts["trash_files"]:
        return f"{words}; its trash is empty"
    trash = f"{count_of(facts['trash_files'], 'text')}, {size_words(facts['trash_bytes'])}"
    return f"{words}; its trash holds {trash}: raven-agent trash {typed}"


def _unlink(facts: Document, typed: str) -> str:
    source = facts["source"]
    words = f"no file is deleted, neither here ({count_of(source['files'], 'file')}) nor on {source['server']}"
    if facts["unsent"]:
        words += f"; {count_of(facts['unsent'], 'change')} would never be sent"
    return f"{words}: raven-agent unlink {typed} --dry-run"


def _line(question: str, answer: str, tone: Style = Style.PLAIN) -> TextLine:
    return TextLine(f"  {question} {answer}", tone)
