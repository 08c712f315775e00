"""Methods of the control API, by name, with the types of their requests and answers.

The daemon's socket and a session in a command's own process call the same handlers; begin with ``call``. One module a
group of methods, as in ``agent.api.schema``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from agent.api.context import ApiContext
from agent.api.methods import (
    accounts,
    bundle,
    compare,
    conflict_lists,
    conflicts,
    dashboard,
    devices,
    doctor,
    drafts,
    events,
    explain,
    files,
    folder_names,
    history,
    invites,
    join,
    links,
    resolve,
    rewind,
    rules,
    settings,
    source_changes,
    status,
    sync,
    traffic,
    trash,
)
from agent.api.schema.accounts import HubParams, JoinParams, LoginParams, LogoutParams
from agent.api.schema.common import FolderParams, NoParams, PathParams, TimedListParams
from agent.api.schema.conflicts import ConflictsParams, DiffParams, DraftParams, DraftSaveParams, ResolveParams
from agent.api.schema.dashboard import DashboardParams
from agent.api.schema.devices import DeviceChangeParams, DevicesParams
from agent.api.schema.doctor import DrillParams
from agent.api.schema.explain import ExplainParams
from agent.api.schema.history import CompareParams, RestoreParams, RewindParams, ShowParams
from agent.api.schema.invites import InviteParams
from agent.api.schema.links import (
    CompleteFolderParams,
    LinkParams,
    MoveParams,
    RulesParams,
    SourceChangeParams,
    SourcesParams,
    UnlinkParams,
)
from agent.api.schema.settings import ChangeSettingParams, LogTailParams
from agent.api.schema.status import (
    ActivityCountsParams,
    ActivityParams,
    EventsParams,
    FilesParams,
    StatusParams,
    TreeParams,
)
from agent.api.schema.sync import PauseParams, ResumeParams, RetryParams, SyncParams
from agent.api.schema.traffic import TrafficParams
from agent.core.errors import UsageError

Handler = Callable[[Any, Any], Any]

METHODS: Final[dict[str, tuple[Handler, type[Struct]]]] = {
    "progress": (status.progress, FolderParams),
    "servers": (status.servers, NoParams),
    "files": (files.files, FilesParams),
    "tree": (files.tree, TreeParams),
    "explain": (explain.explain, ExplainParams),
    "activity": (files.activity, ActivityParams),
    "activity_counts": (files.activity_counts, ActivityCountsParams),
    "traffic": (traffic.traffic, TrafficParams),
    "login": (accounts.login, LoginParams),
    "join": (join.join, JoinParams),
    "logout": (accounts.logout, LogoutParams),
    "ensure_local_hub": (accounts.ensure_local_hub, HubParams),
    "sources": (links.sources, SourcesParams),
    "link": (links.link, LinkParams),
    "complete_folder": (folder_names.complete_folder, CompleteFolderParams),
    "change_source": (source_changes.change_source, SourceChangeParams),
    "devices": (devices.devices, DevicesParams),
    "change_device": (devices.change_device, DeviceChangeParams),
    "unlink": (links.unlink, UnlinkParams),
    "move": (links.move, MoveParams),
    "rules": (rules.rules, RulesParams),
    "sync": (sync.sync, SyncParams),
    "retry": (sync.retry, RetryParams),
    "pause": (sync.pause, PauseParams),
    "resume": (sync.resume, ResumeParams),
    "conflicts": (conflict_lists.conflicts, ConflictsParams),
    "conflict_counts": (conflict_lists.conflict_counts, ConflictsParams),
    "diff": (conflicts.diff, DiffParams),
    "resolve": (resolve.resolve, ResolveParams),
    "drafts": (drafts.drafts, FolderParams),
    "draft": (drafts.draft, DraftParams),
    "draft_save": (drafts.draft_save, DraftSaveParams),
    "history": (history.history, PathParams),
    "compare": (compare.compare, CompareParams),
    "show": (history.show, ShowParams),
    "restore": (history.restore, RestoreParams),
    "rewind": (rewind.rewind, RewindParams),
    "trash": (trash.trash, TimedListParams),
    "drill": (doctor.drill, DrillParams),
    "trash_prune": (trash.trash_prune, NoParams),
}
"""Handlers that take the agent, and the type of their request. Each answers with structs."""

CONTEXT_METHODS: Final[dict[str, tuple[Handler, type[Struct]]]] = {
    "status": (status.status, StatusParams),
    "events": (events.events, EventsParams),
    "doctor": (doctor.doctor, NoParams),
    "bundle": (bundle.bundle, NoParams),
    "metrics": (bundle.metrics, NoParams),
    "reload": (settings.reload, NoParams),
    "settings": (settings.settings, NoParams),
    "change_setting": (settings.change_setting, ChangeSettingParams),
    "log_tail": (settings.log_tail, LogTailParams),
    "ui": (dashboard.ui, DashboardParams),
    "invite": (invites.invite, InviteParams),
}
"""Handlers that also need the provisioner or the dashboard, so they take the whole context."""

CHANGES_LINKS: Final = frozenset({"link", "change_source", "unlink", "move", "rules", "login", "join", "logout"})
"""Methods that make or change accounts and links: one at a time."""


def call(context: ApiContext, method: str, params: Mapping[str, Any]) -> Any:
    """Answer one method with a document that JSON can hold.

    Raises:
        AgentError: the request was refused; the message gives the reason.
    """
    entry = CONTEXT_METHODS.get(method) or METHODS.get(method)
    if entry is None:
        raise UsageError(
            f"this agent knows no method {method!r}", "the command and the running agent differ in version"
        )
    handler, expected = entry
    try:
        request = msgspec.convert(params, expected)
    except msgspec.ValidationError as error:
        raise UsageError(f"{method}: {error}") from error
    if method in CONTEXT_METHODS:
        return msgspec.to_builtins(handler(context, request))
    with context.agent.links_lock if method in CHANGES_LINKS else contextlib.nullcontext():
        return msgspec.to_builtins(handler(context.agent, request))
