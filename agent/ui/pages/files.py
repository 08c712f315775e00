"""Files of a folder: the tree, the search, and the page of one file."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from agent.ui.folders import address_of, all_sources, file_path, parents, shell_path, source_of
from agent.ui.page_route import PageRoute
from agent.ui.visit import Visit
from agent.ui.words import address, command, path_segment

ROWS: Final = 200
STATES: Final = ("ok", "pending_push", "pending_pull", "conflict", "skipped")


def choose(visit: Visit) -> Response:
    """List the folders; a single one is opened at once."""
    sources = all_sources(visit)
    if len(sources) == 1:
        return visit.go(f"/f/{path_segment(sources[0]['id'])}")
    return visit.page("folders.html", sources=sources)


def listing(visit: Visit) -> Response:
    """Show what is directly in a folder, or the files that a search or a state selects."""
    source = source_of(visit)
    state, match, under = visit.query.text("state"), visit.query.text("q"), visit.query.text("under").strip("/")
    after = visit.query.text("after")
    found = state in STATES or match
    here = f"/f/{path_segment(source['id'])}"
    if found:
        rows = visit.call(
            "files",
            folder=source["root"],
            state=state or None,
            match=match or None,
            limit=ROWS + 1,
            after=after or None,
        )
        following = address(here, state=state, q=match, after=rows[ROWS - 1]["path"]) if len(rows) > ROWS else ""
    else:
        rows = visit.call("tree", folder=source["root"], under=under, limit=ROWS + 1, after=after or None)
        following = address(here, under=under, after=_mark(rows[ROWS - 1])) if len(rows) > ROWS else ""
    return visit.page(
        "files.html",
        source=source,
        at=here,
        rows=rows[:ROWS],
        following=following,
        found=bool(found),
        state=state,
        match=match,
        under=under,
        crumbs=parents(f"{under}/") if under else [],
        states=STATES,
        address_of=address_of,
        line=command("files", source["root"], *_options(state, match)),
    )


def _options(state: str, match: str) -> list[str]:
    return [*(["--state", state] if state else []), *(["--match", match] if match else [])]


def _mark(row: dict[str, Any]) -> str:
    return f"{row['path']}/" if row["kind"] == "folder" else str(row["path"])


def one_file(visit: Visit) -> Response:
    """Show one file: its state, the rule that decided, and its three hashes."""
    source = source_of(visit)
    params, path = file_path(visit, source)
    found = visit.call("explain", **params)
    conflict = None
    if found["state"] == "conflict":
        # A name that is itself a pattern is looked for among all.
        match = None if any(sign in found["path"] for sign in "*?[") else found["path"]
        waiting = visit.call("conflicts", folder=source["root"], match=match)
        conflict = next((one for one in waiting if one["path"] == found["path"]), None)
    raw = visit.query.text("raw")
    return visit.page(
        "file.html",
        source=source,
        path=path,
        file=found,
        conflict=conflict,
        crumbs=parents(path),
        raw=raw,
        whole=shell_path(source["root"], path, raw),
        history_at=address(address_of("history", source["id"], path), raw=raw),
    )


def retry(visit: Visit) -> Response:
    """Try a skipped or failed file again now."""
    source = source_of(visit)
    params, path = file_path(visit, source)
    done = visit.call("retry", **params)
    back = address(address_of("file", source["id"], path), raw=visit.form.text("raw"))
    if done["errors"]:
        return visit.go(back, f"It still cannot be synced: {done['errors'][0]['message']}.")
    return visit.go(back, "Tried again: it is synced.")


ROUTES: Final = (
    PageRoute("/files", choose),
    PageRoute("/f/{source}", listing),
    PageRoute("/file/{source}/{path:path}", one_file),
    PageRoute("/retry/{source}/{path:path}", retry, "POST"),
)
