"""Accounts on servers: login, logout, servers."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from agent.cli import confirmations, render
from agent.cli.command import App, command, without_none
from agent.cli.completions import ACCOUNT
from agent.cli.exit_codes import ExitCode
from agent.cli.file_param import FILE
from agent.cli.output import may_ask
from agent.core.errors import UsageError

DIALECTS = ("raven", "scaidrive", "pinakes", "auto")
"""The protocols that an account can have; the first one is the default, and the last one asks the server."""
TOKEN_LIMIT = 65_536
"""Characters read for a token at most; more than any header takes."""


@command("login")
@click.argument("url")
@click.option("--workspace", metavar="ID", help="Workspace to work in; by default the one the token names.")
@click.option(
    "--name", metavar="NAME", help="Name of the account; the same name replaces the token and keeps the links."
)
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
@click.option("--token-file", type=FILE, metavar="FILE", help="Read the token from a file only you can read.")
@click.option("--insecure-http", is_flag=True, help="Allow plain http to another machine.")
@click.option(
    "--dialect", type=click.Choice(DIALECTS), default=DIALECTS[0], show_default=True, help="Protocol of the server."
)
@click.option("--refresh-token-stdin", is_flag=True, help="Read a refresh token from standard input; ScaiDrive only.")
def login_command(
    app: App,
    *,
    url: str,
    workspace: str | None,
    name: str | None,
    token_stdin: bool,
    token_file: Path | None,
    insecure_http: bool,
    dialect: str,
    refresh_token_stdin: bool,
) -> ExitCode:
    """Check and store an account on a server.

    A refresh token can be used once: after the login only the agent has a valid one.
    """
    from agent.settings.credentials import check_token, claims
    from agent.settings.server_url import clean_url

    address = clean_url(url, insecure_http=insecure_http)
    if token_stdin and refresh_token_stdin:
        raise UsageError("--token-stdin and --refresh-token-stdin exclude each other")
    refresh = sys.stdin.read(TOKEN_LIMIT).strip() if refresh_token_stdin else ""
    token = "" if refresh and not token_file else _token(token_stdin, token_file)
    if token or not refresh:
        check_token(token)
    said = claims(token).get("workspaceId")
    chosen = workspace or app.settings().workspace or (said if isinstance(said, str) else None)
    params = without_none(
        url=address,
        workspace=chosen,
        name=name,
        token=token,
        insecure_http=insecure_http,
        dialect=dialect,
        refresh_token=refresh or None,
    )
    app.output.done(app.call("login", params), confirmations.login)
    return ExitCode.DONE


def _token(from_stdin: bool, file: Path | None) -> str:
    if from_stdin and file:
        raise UsageError("--token-stdin and --token-file exclude each other")
    if from_stdin:
        found = sys.stdin.read(TOKEN_LIMIT).strip()
        if not found:
            raise UsageError(
                "standard input holds no token", "for example: cat FILE | raven-agent login URL --token-stdin"
            )
        return found
    if file:
        from agent.settings.credentials import read_token_file

        return read_token_file(file)
    if not may_ask():
        raise UsageError("a token is needed", "give it with --token-stdin or --token-file")
    answer: str = click.prompt("Token", hide_input=True, err=True)
    return answer.strip()


@command("logout")
@click.argument("name", type=ACCOUNT, required=False)
def logout_command(app: App, name: str | None) -> ExitCode:
    """Forget an account and its token.

    Its links stay, and wait for the next login of that name. That of the hub on this machine, local, is forgotten only
    when no folder is linked with it, and the hub's data stays.
    """
    app.output.done(app.call("logout", without_none(name=name)), confirmations.logout)
    return ExitCode.DONE


@command("servers")
def servers_command(app: App) -> ExitCode:
    """List the accounts.

    With the state of each, and when its token ends.
    """
    app.output.data(app.call("servers", {}), render.servers)
    return ExitCode.DONE
