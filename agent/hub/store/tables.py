"""The hub's tables, for SQLite and PostgreSQL.

Rows of a source are numbered by counters in the source's own row. The transaction that holds the lock on that row
assigns the cursors, so they are in commit order. Hashes are stored as 32 bytes, times as milliseconds since the epoch.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from agent.hub.domain.model import EventType, ItemStatus

SCHEMA_VERSION = 8
"""Number of the newest file in `migrations`, which create exactly these tables."""

# Paths sort by their UTF-8 bytes in both databases. PostgreSQL would otherwise use the locale's collation.
PathText = Text().with_variant(Text(collation="C"), "postgresql")

metadata = MetaData()

schema_info = Table(
    "schema_info",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
)

workspaces = Table(
    "workspaces",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("quota_bytes", BigInteger),  # NULL: none
    Column("keep_versions", Integer),  # NULL: all
    Column("keep_days", Integer),  # NULL: for ever
    Column("pruned_at", BigInteger),  # when retention was applied last; NULL: never
)

connectors = Table(
    "connectors",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("version", Text),
    Column("heartbeat_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

# No foreign keys: a check would lock the source's row, and polls would wait for pushes.
connector_positions = Table(
    "connector_positions",
    metadata,
    Column("connector", Text, primary_key=True),
    Column("source", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("reached_at", BigInteger, nullable=False),
)

sources = Table(
    "sources",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("workspace", Text, nullable=False, index=True),
    Column("created_by", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("connector", Text, ForeignKey("connectors.id"), nullable=False),
    Column("status", Text, nullable=False),
    Column("includes", Text, nullable=False),  # a JSON array
    Column("excludes", Text, nullable=False),  # a JSON array
    Column("last_cursor", BigInteger, nullable=False),
    Column("last_file", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("last_folder", BigInteger, nullable=False),
    Column("folders_cursor", BigInteger, nullable=False),
    Column("workspace_number", Integer, ForeignKey("workspaces.number"), nullable=False),
    Column("stored_bytes", BigInteger, nullable=False),
)

# Keyed by workspace, so that a workspace can be moved, measured and deleted without the others. No foreign key leads
# here: the bytes may be elsewhere one day.
contents = Table(
    "contents",
    metadata,
    Column("workspace", Integer, primary_key=True),  # its number
    Column("hash", LargeBinary, primary_key=True),
    Column("size", BigInteger, nullable=False),  # in bytes, before compression
    Column("encoding", SmallInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),  # of a blob: the owner of its pieces, or empty for a file
)

files = Table(
    "files",
    metadata,
    Column("source", Integer, ForeignKey("sources.number"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("path", PathText, nullable=False),
    Column("hash", LargeBinary),  # NULL: absent, with a history
    Column("content_type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("synced_at", BigInteger, nullable=False),
    Column("identity", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("hidden", SmallInteger, nullable=False),
    Index("files_by_path", "source", "path", unique=True),
    sqlite_with_rowid=False,
)

versions = Table(
    "versions",
    metadata,
    Column("source", Integer, primary_key=True),
    Column("file", BigInteger, primary_key=True),
    Column("cursor", BigInteger, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("origin", Text, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("identity", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("hidden", SmallInteger, nullable=False),
    ForeignKeyConstraint(["source", "file"], ["files.source", "files.number"]),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("source", Integer, ForeignKey("sources.number"), primary_key=True),
    Column("cursor", BigInteger, primary_key=True),
    Column("type", SmallInteger, nullable=False),
    Column("file", BigInteger),
    Column("hash", LargeBinary),
    Column("operation", Text),
    Column("extra", Text),  # a JSON object; NULL for none
    Column("created_at", BigInteger, nullable=False),
    Column("identity", BigInteger),
    Column("detail", Text),  # a JSON object; NULL for none
    sqlite_with_rowid=False,
)

operations = Table(
    "operations",
    metadata,
    Column("source", Integer, ForeignKey("sources.number"), primary_key=True),
    Column("operation", Text, primary_key=True),
    Column("status", SmallInteger, nullable=False),
    Column("hash", LargeBinary),
    Column("conflict", Text),
    Column("reason", Text),
    sqlite_with_rowid=False,
)

conflicts = Table(
    "conflicts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Integer, nullable=False),
    Column("file", BigInteger, nullable=False),
    Column("connector", Text),
    Column("kind", Text, nullable=False),
    Column("base", Text),  # verbatim: a client may send anything of up to 64 characters
    Column("local_hash", LargeBinary, nullable=False),
    Column("remote_hash", LargeBinary),
    Column("created_at", BigInteger, nullable=False),
    Column("resolution", Text),  # NULL: open
    Column("resolved_at", BigInteger),
    ForeignKeyConstraint(["source", "file"], ["files.source", "files.number"]),
    Index("conflicts_by_file", "source", "file"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),  # of the token, see auth.token_id; the token itself is not stored
    Column("workspace", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),  # NULL: valid
    Column("machine", Text),  # that joined with an invite; NULL for a token of `hub token`
    Column("connector", Text),  # that was last seen with it; NULL for none yet
    Index("tokens_revoked", "revoked_at"),
)

invites = Table(
    "invites",
    metadata,
    Column("digest", Text, primary_key=True),  # sha256 of the one-time code in hexadecimal; the code is not stored
    Column("workspace", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("token_days", Integer, nullable=False),  # lifetime of the token that is given for it
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),  # NULL: not used
)

# Places that a moved file has been at since it was created, oldest first. A file that never moved has no row.
places = Table(
    "places",
    metadata,
    Column("source", Integer, primary_key=True),
    Column("identity", BigInteger, primary_key=True),
    Column("cursor", BigInteger, primary_key=True),
    Column("file", BigInteger, nullable=False),
    ForeignKeyConstraint(["source", "file"], ["files.source", "files.number"]),
    sqlite_with_rowid=False,
)

folders = Table(
    "folders",
    metadata,
    Column("source", Integer, ForeignKey("sources.number"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("parent", BigInteger, nullable=False),  # 0: the root
    Column("path", PathText, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("modified_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),  # NULL: present
    Index(
        # PostgreSQL has the same condition. Naming it here would import that dialect for every hub.
        "folders_by_path", "source", "path", unique=True, sqlite_where=text("deleted_at IS NULL"),
    ),
    Index("folders_by_parent", "source", "parent"),
    sqlite_with_rowid=False,
)  # fmt: skip

devices = Table(
    "devices",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("workspace", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("id", Text, nullable=False),  # made by the client, so it is unique for one user only
    Column("name", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("version", Text),
    Column("is_active", SmallInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("os_info", Text),
    Column("token", LargeBinary),  # sha256 of its token; NULL: a device of ScaiDrive's API
    UniqueConstraint("workspace", "user_id", "id"),
)

device_cursors = Table(
    "device_cursors",
    metadata,
    Column("device", Integer, ForeignKey("devices.number"), primary_key=True),
    Column("source", Integer, ForeignKey("sources.number"), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("last_sync_at", BigInteger),  # NULL: never advanced
    sqlite_with_rowid=False,
)

preferences = Table(
    "preferences",
    metadata,
    Column("device", Integer, ForeignKey("devices.number"), primary_key=True),
    Column("source", Integer, ForeignKey("sources.number"), primary_key=True),
    Column("sync_enabled", SmallInteger, nullable=False),
    Column("selected", Text),  # a JSON array of folder ids; NULL: no selection
    Column("excluded", Text),  # a JSON array of folder ids; NULL: nothing is excluded
    sqlite_with_rowid=False,
)

# Conflicts of the drive face. They name versions, not texts, and belong to a device.
device_conflicts = Table(
    "device_conflicts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source", Integer, ForeignKey("sources.number"), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("is_folder", SmallInteger, nullable=False),
    Column("resource", BigInteger, nullable=False),  # a file's identity or a folder's number
    Column("change", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("new_path", Text),
    Column("base", BigInteger),
    Column("client", Text),  # the upload of the refused content; NULL: none was sent
    Column("server", BigInteger),
    Column("metadata", Text),  # what the client said about its content, a JSON object
    Column("created_at", BigInteger, nullable=False),
    Column("resolution", Text),  # NULL: open
    Column("resolved_at", BigInteger),
    Index("device_conflicts_by_source", "source", "resource"),
)

upload_sessions = Table(
    "upload_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("source", Integer, ForeignKey("sources.number"), nullable=False),
    Column("folder", BigInteger, nullable=False),  # 0: the root
    Column("name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("chunk_size", Integer, nullable=False),
    Column("mime_type", Text),
    Column("hash", LargeBinary),  # what the client promised; NULL: nothing
    Column("replaces", BigInteger),  # a file's identity; NULL: a new file
    Column("created_at", BigInteger, nullable=False),
    Column("touched_at", BigInteger, nullable=False),
    Column("result", Text),  # the answer of its completion, a JSON object; NULL: open
    Column("target", Text),  # path of the file; NULL: an upload of ScaiDrive's API
    Column("base", LargeBinary),  # hash that the file must have; NULL: it must not exist
    Column("device", Text),
    Index("upload_sessions_touched", "touched_at"),
)

upload_chunks = Table(
    "upload_chunks",
    metadata,
    Column("session", Text, ForeignKey("upload_sessions.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    sqlite_with_rowid=False,
)

# Bytes of uploads and of large contents where no folder holds them: on PostgreSQL, and in copies of SQLite. The owner
# is an upload's id, which `contents.data` names once the upload is complete; in a copy of SQLite it is the hash.
pieces = Table(
    "pieces",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

# The source that Pinakes' API shows of a workspace. It is chosen once.
accounts = Table(
    "accounts",
    metadata,
    Column("workspace", Text, primary_key=True),
    Column("source", Integer, ForeignKey("sources.number")),  # NULL only inside the transaction that chooses it
)

login_sessions = Table(
    "login_sessions",
    metadata,
    Column("id", LargeBinary, primary_key=True),  # sha256 of the session's token
    Column("workspace", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("hub_token", Text, nullable=False),  # public id of the token that opened it
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),  # of the hub's token, so no extension passes it
    Index("login_sessions_expire", "expires_at"),
)

# The blake3 hash of a content, once an API that shows blake3 hashes has needed it. It is the same in every workspace.
blake3_hashes = Table(
    "blake3_hashes",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("blake3", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

HIDDEN_CODE = 16
"""Added to the code of an event that Raven's face does not show."""

EVENT_CODES: dict[EventType, int] = {
    EventType.UPSERT: 1,
    EventType.DELETE: 2,
    EventType.OPENED: 3,
    EventType.RESOLVED: 4,
    EventType.PAUSED: 5,
    EventType.RESUMED: 6,
    EventType.FOLDER: 7,
}
EVENT_TYPES = {code: kind for kind, code in EVENT_CODES.items()}

STATUS_CODES: dict[ItemStatus, int] = {ItemStatus.APPLIED: 1, ItemStatus.CONFLICT: 2, ItemStatus.REJECTED: 3}
STATUSES = {code: status for status, code in STATUS_CODES.items()}
