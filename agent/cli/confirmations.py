"""Results of commands that change something, as sentences. Pure: a document in, a view out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from agent.cli.humanize import clock, count_of, short_hash, short_home, short_homes, size_words, typed_path
from agent.cli.output import Style, TextLine, View
from agent.cli.render.base import changed
from agent.cli.render.source_views import NO_FOLDER

Document = Mapping[str, Any]
Sentence = Callable[[Document], View]


def _for_any_release(sentence: Sentence) -> Sentence:
    """Show the fields themselves where the running agent is of another release and leaves one out."""

    @functools.wraps(sentence)
    def view(document: Document) -> View:
        try:
            return sentence(document)
        except KeyError:
            return changed(document)

    return view


@_for_any_release
def login(document: Document) -> View:
    """Confirm an account."""
    kept = document.get("stored_in")
    where = {"keyring": "the keyring", "file": "a file that only you can read"}.get(str(kept), kept)
    workspace = f", workspace {document['workspace']}" if document.get("workspace") else ""
    lines = [TextLine(f"signed in to {document['name']} ({document['url']}{workspace})", Style.GOOD)]
    if where:
        lines.append(TextLine(f"the token is kept in {where}", Style.ASIDE))
    folders = document.get("folders")
    words = f"link FOLDER --server {document['name']}"
    if folders:
        lines.append(TextLine(f"{count_of(folders, 'folder')} of it can go on", Style.ASIDE))
        words = "sync"
    lines.append(TextLine(f"next: raven-agent {words}", Style.ASIDE))
    return lines


def join(document: Document, sources: Sequence[Document]) -> list[TextLine]:
    """Confirm an account on the hub of another machine, and name its sources."""
    try:
        name, url = document["name"], document["url"]
    except KeyError:
        return [line for line in changed(document) if isinstance(line, TextLine)]
    lines = [TextLine(f"joined {name} ({url}); only that hub's certificate is accepted from now on", Style.GOOD)]
    if not sources:
        return [*lines, TextLine(f"it has no sources yet; next: raven-agent link FOLDER --server {name}", Style.ASIDE)]
    first, names = sources[0]["name"], ", ".join(str(row["name"]) for row in sources)
    lines.append(TextLine(f"it has {count_of(len(sources), 'source')}: {names}"))
    lines.append(TextLine(f"next: raven-agent link FOLDER --server {name} --source {first}", Style.ASIDE))
    return lines


@_for_any_release
def logout(document: Document) -> View:
    """Confirm that an account is forgotten."""
    if document.get("data"):
        back = f"raven-agent up FOLDER --server {document['name']}"
        place = short_home(document["data"])
        return [
            TextLine(
                f"the account {document['name']} is forgotten; what the hub on this machine holds stays in {place}"
            ),
            TextLine(f"to use it again: {back}", Style.ASIDE),
        ]
    lines = [TextLine(f"signed out of {document['name']}; its token is deleted here")]
    linked = document.get("linked") or []
    if linked:
        words = ", ".join(short_home(root) for root in linked)
        lines.append(TextLine(f"still linked, and waiting for the next login of that name: {words}", Style.CARE))
    return lines


@_for_any_release
def unlink(document: Document) -> View:
    """Confirm that a folder is not synced any more, or say what would stay."""
    if document.get("dry_run"):
        return _unlink_plan(document)
    lines = [TextLine(f"{short_home(document['root'])} is not synced any more; its files stay here and on the server")]
    if document.get("unsent"):
        lines.append(TextLine(f"{count_of(document['unsent'], 'change')} never reached the server", Style.CARE))
    lines.append(TextLine(f"earlier versions: raven-agent trash {typed_path(document['root'])}", Style.ASIDE))
    return lines


def _unlink_plan(document: Document) -> list[TextLine]:
    root, server = short_home(document["root"]), document["server"]
    stays = f"{count_of(document['files'], 'file')}, {size_words(document['bytes'])}"
    lines = [
        TextLine(f"{root} would not be synced any more; nothing is deleted"),
        TextLine(f"stays in the folder: {stays}"),
        TextLine(f"stays on {server}: the source {document['name']}, with what it holds now"),
    ]
    if document["unsent"]:
        lines.append(TextLine(f"{count_of(document['unsent'], 'change')} would never reach the server", Style.CARE))
    if document["conflicts"]:
        words = f"{count_of(document['conflicts'], 'open conflict')} would end; texts held only here go to the trash"
        lines.append(TextLine(words, Style.CARE))
    return lines


@_for_any_release
def move(document: Document) -> View:
    """Confirm a moved folder."""
    return [TextLine(f"{short_home(document['old'])} is now {short_home(document['root'])}; nothing is sent again")]


@_for_any_release
def change_source(document: Document) -> View:
    """Confirm a change of a source on the server, and say what the machines that are linked with it see."""
    name, server, source = document["name"], document["server"], document["id"]
    match document["action"]:
        case "rename":
            return [TextLine(f"the source is called {name} on {server} now; no folder or file is renamed", Style.GOOD)]
        case "archive":
            said = f"{name} is archived on {server}: linked folders stay as they are, and nothing more is sent"
            undo = f"to bring it back: raven-agent sources archive {source} --undo"
            return [TextLine(said, Style.GOOD), TextLine(undo, Style.ASIDE)]
        case "restore":
            return [TextLine(f"{name} takes edits again; linked folders go on by themselves", Style.GOOD)]
    lines = [TextLine(f"{name} is deleted on {server}, with its history; no file on any disk is deleted", Style.GOOD)]
    if document.get("root"):
        unlink = f"next: raven-agent unlink {typed_path(document['root'])}, here and on every machine linked with it"
        lines.append(TextLine(unlink, Style.ASIDE))
    return lines


@_for_any_release
def change_device(document: Document) -> View:
    """Confirm a change of a device on the server, and say what its machine sees."""
    name, server, device = document["name"], document["server"], document["id"]
    match document["action"]:
        case "rename":
            return [TextLine(f"the device is called {name} on {server} now", Style.GOOD)]
        case "disable":
            undo = f"to switch it on again: raven-agent devices enable {device}"
            return [TextLine(f"{name} is switched off on {server}", Style.GOOD), TextLine(undo, Style.ASIDE)]
        case "enable":
            return [TextLine(f"{name} is switched on on {server}", Style.GOOD)]
        case "new-token":
            said = f"the token of {name} ended; the machine gets a new one by itself with its next call"
            return [TextLine(said, Style.GOOD)]
    said = f"{name} is deleted on {server}; no file on any disk is deleted"
    aside = "a machine that is still signed in registers itself again: end its token on the server, too"
    return [TextLine(said, Style.GOOD), TextLine(aside, Style.ASIDE)]


@_for_any_release
def rules(document: Document) -> View:
    """Show the patterns of a folder, and the files a change starts or stops to sync."""
    root = short_home(document["root"])
    include = document.get("include") or ["**/*.md", "**/*.markdown", "**/*.txt"]
    lines = [TextLine(f"{root} syncs: {', '.join(include)}")]
    if document.get("exclude"):
        lines.append(TextLine(f"  but not: {', '.join(document['exclude'])}"))
    if document.get("selected_folders") is not None:
        lines.append(TextLine(f"  only these folders: {', '.join(document['selected_folders'])}"))
    if document.get("excluded_folders"):
        lines.append(TextLine(f"  without these folders: {', '.join(document['excluded_folders'])}"))
    for file in document.get("ignore_files", ()):
        patterns = [line["text"].strip() for line in file["lines"] if line["kind"] == "pattern"]
        lines.append(TextLine(f"  {file['path']}: {', '.join(patterns) or 'no patterns'}", Style.ASIDE))
        lines += [
            TextLine(f"  {file['path']}:{line['number']} is no valid pattern: {line['text']}", Style.CARE)
            for line in file["lines"]
            if line["kind"] == "malformed"
        ]
    for count, names, verb, style in (
        (document.get("starts"), document.get("started"), "start", Style.PLAIN),
        (document.get("stops"), document.get("stopped"), "stop", Style.CARE),
    ):
        if count:
            said = f"would {verb}" if not document.get("changed") else f"{verb}s" if count == 1 else verb
            lines.append(TextLine(f"{count_of(count, 'file')} {said} being synced{_named(names, count)}", style))
    if document.get("stops"):
        lines.append(TextLine("they are deleted nowhere", Style.ASIDE))
    if document.get("warning"):
        lines.append(TextLine(f"warning: {document['warning']}", Style.CARE))
    return lines


def _named(names: object, count: int) -> str:
    shown = list(names)[:5] if isinstance(names, list) else []
    if not shown:
        return ""
    return f": {', '.join(shown)}" + (" …" if count > len(shown) else "")


@_for_any_release
def retry(document: Document) -> View:
    """Report what still cannot be synced."""
    if not document.get("changed"):
        return [TextLine(NO_FOLDER, Style.ASIDE)]
    errors = document.get("errors") or []
    what = document.get("path") or "every skipped or failed file"
    if what == ".":
        what = ", ".join(short_home(source["root"]) for source in document.get("sources") or ()) or "the folder"
    if not errors:
        return [TextLine(f"tried again: {what}", Style.GOOD)]
    texts = [f"  {error['path'] or 'the folder'}: {short_homes(error['message'])}" for error in errors]
    # Folders of one account have the same trouble.
    words = [TextLine(text, Style.BAD) for text in dict.fromkeys(texts)]
    return [TextLine(f"tried again: {what}; still not synced:", Style.BAD), *words]


@_for_any_release
def pause(document: Document) -> View:
    """Confirm a pause."""
    roots = document.get("roots") or []
    if not roots:
        return [TextLine(NO_FOLDER, Style.ASIDE)]
    named = ", ".join(short_home(root) for root in roots)
    if document.get("everywhere"):
        return [TextLine(f"paused on the server, for all machines: {named}; resume with --everywhere")]
    until = document.get("paused_until")
    words = f"paused until {clock(until)}" if until else "paused"
    return [TextLine(f"{words}: {named}; to go on: raven-agent resume")]


@_for_any_release
def resume(document: Document) -> View:
    """Confirm a resume."""
    roots = document.get("roots") or []
    if not roots:
        return [TextLine(NO_FOLDER, Style.ASIDE)]
    where = " on the server" if document.get("everywhere") else ""
    halted = {row["root"]: row["message"] for row in document.get("halted") or ()}
    elsewhere = document.get("paused_on_server") or ()
    going = [short_home(root) for root in roots if root not in halted and root not in elsewhere]
    lines = [TextLine(f"resumed{where}: {', '.join(going)}", Style.GOOD)] if going else []
    lines += [
        TextLine(f"still stopped: {short_home(root)}: {short_homes(why)}", Style.BAD) for root, why in halted.items()
    ]
    return lines + [
        TextLine(
            f"still paused: {short_home(root)}: it is paused on the server, for all machines; to go on: "
            f"raven-agent resume {typed_path(root)} --everywhere",
            Style.CARE,
        )
        for root in elsewhere
    ]


@_for_any_release
def restore(document: Document) -> View:
    """Confirm a restore, with the command that undoes it."""
    path, root = document["path"], document.get("root")
    size = size_words(document["size"]) if isinstance(document.get("size"), int) else ""
    version = f" (version {short_hash(document['hash'])}, {size})" if document.get("hash") else ""
    whole = path if root is None else f"{root}/{path}"
    lines = [TextLine(f"restored {path if root else short_home(path)}{version}", Style.GOOD)]
    if document.get("replaced"):
        undo = f"raven-agent restore {typed_path(whole)} --trash {document['replaced']}"
        lines.append(TextLine(f"the text that was there: {undo}", Style.ASIDE))
    return lines


_REWIND_WORDS: Final = {"restore": ("would come back", "came back"), "remove": ("would be removed", "removed")}
_REWIND_LINES: Final = 20


@_for_any_release
def rewind(document: Document) -> View:
    """Name the files that a rewind changes or changed, and the way back."""
    root = short_home(document["root"])
    planned = bool(document["dry_run"])
    due = [row for row in document["files"] if row["step"] != "unknown"]
    left = [row for row in document["files"] if row["step"] == "unknown"]
    if not due and not left:
        return [TextLine(f"{root} is as it was then" if document.get("at") else f"nothing in {root} is left to undo")]
    lines = [
        TextLine(f"{row['path']}: {_REWIND_WORDS[row['step']][0 if planned else 1]}") for row in due[:_REWIND_LINES]
    ]
    if len(due) > _REWIND_LINES:
        lines.append(TextLine(f"... and {count_of(len(due) - _REWIND_LINES, 'more file')}", Style.ASIDE))
    lines += [TextLine(f"{row['path']}: stays as it is: {short_homes(row['message'])}", Style.CARE) for row in left]
    if due and not planned:
        lines.append(TextLine(f"{root}: {count_of(len(due), 'file')} changed", Style.GOOD))
        if document.get("at"):
            undo = f"raven-agent restore {typed_path(document['root'])} --undo"
            lines.append(TextLine(f"back again: {undo}", Style.ASIDE))
    return lines


@_for_any_release
def trash_prune(document: Document) -> View:
    """Confirm what was deleted from the trash."""
    if not document.get("removed"):
        return [TextLine("nothing in the trash is past its time", Style.ASIDE)]
    return [TextLine(f"{count_of(document['removed'], 'old version')} deleted, {size_words(document['bytes'])} freed")]


@_for_any_release
def hub_backup(document: Document) -> View:
    """Confirm a backup of the hub."""
    secret = "" if document["with_secret"] else ", without the secret that signs tokens"
    return [
        TextLine(
            f"backup written: {short_home(document['file'])} ({size_words(document['bytes'])}{secret})", Style.GOOD
        )
    ]


def _serve_words(document: Document) -> str:
    if document.get("embedded"):
        return "raven-agent up FOLDER, or raven-agent run"
    return f"raven-agent hub serve --data {typed_path(document['restored'])}"


@_for_any_release
def hub_restore(document: Document) -> View:
    """Confirm that a backup was put back."""
    return [
        TextLine(f"{short_home(document['file'])} is restored into {short_home(document['restored'])}", Style.GOOD),
        # A signed token is valid whether the list has it or not.
        TextLine("  its list of tokens is that of the backup: revoke again what was revoked since then", Style.CARE),
        TextLine(f"next: {_serve_words(document)}", Style.ASIDE),
    ]


@_for_any_release
def hub_migrate(document: Document) -> View:
    """Confirm the schema of the hub's database."""
    if not document["changed"]:
        return [TextLine(f"the database has the schema of this release already ({document['schema']})")]
    return [TextLine(f"the database was brought from schema {document['before']} to {document['schema']}", Style.GOOD)]


@_for_any_release
def hub_limit(document: Document) -> View:
    """Confirm the limits of a workspace."""
    quota = "no quota" if document["quota"] is None else f"a quota of {size_words(document['quota'])}"
    kept = []
    if document["keep_versions"]:
        kept.append(f"the newest {count_of(document['keep_versions'], 'version')} of each file")
    if document["keep_days"]:
        kept.append(f"versions for {count_of(document['keep_days'], 'day')} after they ended")
    words = ", of those only ".join(kept) or "every version"
    return [TextLine(f"workspace {document['id']} has {quota} and keeps {words}", Style.GOOD)]


@_for_any_release
def hub_revoke(document: Document) -> View:
    """Confirm a revoked token."""
    whose = document.get("machine") or document["user"]
    return [
        TextLine(
            f"{document['id']} of {whose} is refused by every hub within 5 s; its machine may take 30 s to notice",
            Style.GOOD,
        )
    ]


@_for_any_release
def draft_save(document: Document) -> View:
    """Confirm a kept merge."""
    if document["conflict"] is None:
        return [TextLine(f"your merge of {document['id']} is kept; that conflict is over", Style.CARE)]
    return [
        TextLine(f"your merge of {document['id']} is kept", Style.GOOD),
        TextLine(f"next: raven-agent resolve {document['id'].split('.')[0]} manual_merge --edit", Style.ASIDE),
    ]
