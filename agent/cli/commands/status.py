"""status, files, explain, activity, events: nothing is changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import click

from agent.cli import render
from agent.cli.command import (
    App,
    after_option,
    command,
    folder_option,
    limit_option,
    match_option,
    order_option,
    without_none,
)
from agent.cli.commands.sync import folder_params
from agent.cli.exit_codes import ExitCode, for_status, worst
from agent.cli.humanize import file_path, moment_before, parse_duration, parse_time, path_params
from agent.cli.output import OutputFormat, View
from agent.core.errors import UsageError


@command("status")
@folder_option
@click.option("--watch", is_flag=True, help="Go on until interrupted.")
@click.option("--machines", is_flag=True, help="Also show how far every machine has come.")
@click.option("--check", is_flag=True, help="Exit as sync would; with 7 if changes wait and no agent runs.")
@click.option("--max-age", metavar="D", help="With --check: exit 1 if a source was last synced longer ago.")
def status_command(
    app: App, *, folder: str | None, watch: bool, machines: bool, check: bool, max_age: str | None
) -> ExitCode:
    """Show the state of each source, one line each."""
    if max_age and not check:
        raise UsageError("--max-age goes with --check")
    if watch and check:
        raise UsageError("--watch and --check exclude each other")
    if watch and machines:
        raise UsageError("--watch and --machines exclude each other", "raven-agent status --machines shows them once")
    oldest = None if max_age is None else parse_duration(max_age)
    params = folder_params(folder)
    if watch:
        from agent.cli.live import watch_status

        watch_status(app, params)
        return ExitCode.DONE
    document = app.call("status", {**params, **({"machines": True} if machines else {})})
    app.output.data(document, render.status)
    if not check:
        return ExitCode.DONE
    return worst((for_status(document), ExitCode.FAILED if too_old(document, oldest) else ExitCode.DONE))


def too_old(document: Mapping[str, Any], oldest: float | None) -> bool:
    """Return True if a source was last in sync more than ``oldest`` seconds before the status, or never."""
    if oldest is None:
        return False
    now = parse_time(document["checked_at"]) or dt.datetime.now(dt.UTC)
    stamps = (parse_time(source.get("last_sync_at")) for source in document["sources"])
    return any(then is None or (now - then).total_seconds() > oldest for then in stamps)


@command("files")
@folder_option
@click.option(
    "--state",
    type=click.Choice(["ok", "pending_push", "pending_pull", "conflict", "skipped"]),
    help="Only files in this state.",
)
@match_option
@limit_option
@after_option
def files_command(
    app: App, folder: str | None, state: str | None, match: str | None, limit: int | None, after: str | None
) -> ExitCode:
    """List files and their states."""
    params = {**folder_params(folder), **without_none(state=state, match=match, limit=limit, after=after)}
    app.output.data(app.call("files", params), render.files)
    return ExitCode.DONE


@command("explain")
@click.argument("path")
def explain_command(app: App, path: str) -> ExitCode:
    """Show why PATH is or is not synced.

    Of a file also who changed it, where its old texts are and why it is in conflict. Of a linked folder also whether it
    is up to date here and elsewhere, whether the lid can be closed, its space, and what an unlink would do.
    """
    app.output.data(app.call("explain", {**path_params("path", file_path(path)), "facts": True}), render.explain)
    return ExitCode.DONE


@command("activity")
@folder_option
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted.")
@limit_option
@after_option
@click.option("--since", metavar="D", help="Only the last part, for example 2h or 3d.")
@click.option("--by", type=click.Choice(["hour", "day"]), help="Count the changes of each hour or day.")
@click.option("--bytes", "sizes", is_flag=True, help="With --by: the bytes sent and received, and those in the folder.")
@click.option("--kind", metavar="KIND", help="Only entries of this kind, for example pushed or conflict.")
@match_option
@order_option
def activity_command(
    app: App,
    *,
    folder: str | None,
    follow: bool,
    limit: int | None,
    after: str | None,
    since: str | None,
    by: str | None,
    sizes: bool,
    kind: str | None,
    match: str | None,
    order: str | None,
) -> ExitCode:
    """Show what happened to files."""
    rows = without_none(limit=limit, after=after, kind=kind, match=match, order=order)
    if by is not None:
        if follow or rows:
            raise UsageError("--by takes FOLDER and --since only")
        counted = {**folder_params(folder), "by": by}
        if since is not None:
            counted["since"] = moment_before(since).isoformat()
        if sizes:
            app.output.data(app.call("traffic", counted), render.traffic)
        else:
            app.output.data(app.call("activity_counts", counted), render.activity_counts)
        return ExitCode.DONE
    if sizes:
        raise UsageError("--bytes goes with --by")
    params = {**folder_params(folder), **rows}
    if since is not None:
        params["since"] = moment_before(since).isoformat()
    if follow and order is not None:
        raise UsageError("--follow shows the newest entry last, and takes no --order")
    if not follow:
        app.output.data(app.call("activity", params), render.activity)
        return ExitCode.DONE
    _follow(app, "activity_follow", params, render.activity)
    return ExitCode.DONE


@command("events")
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted.")
@click.option("--after", metavar="ID", help="Begin behind this event.")
def events_command(app: App, follow: bool, after: str | None) -> ExitCode:
    """Show changes of status, conflicts and activity as one stream.

    For programs: each event has an id, and --after continues there, also after a restart.
    """
    params = without_none(after=after)
    if follow:
        _follow(app, "events_follow", params, render.events)
    else:
        app.output.data(app.call("events", params), render.events)
    return ExitCode.DONE


def _follow(app: App, method: str, params: Mapping[str, Any], view: Callable[[Any], View]) -> None:
    """Show documents until interrupted. Raises NotRunning if no agent runs, or once it has ended."""
    from agent.cli.client import daemon_of
    from agent.core.errors import NotRunning

    daemon = daemon_of(app.home)
    if daemon is None:
        raise NotRunning("no agent runs, so there is nothing to follow", "raven-agent run, or raven-agent up FOLDER")
    for document in daemon.follow(method, params):
        if app.output.form is OutputFormat.JSON or document:
            app.output.each(document, view)
    raise NotRunning("the agent has ended, so nothing more happens", "raven-agent run, or raven-agent up FOLDER")
