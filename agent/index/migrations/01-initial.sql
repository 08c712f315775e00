-- The index of one agent home. Hashes are lower-case hexadecimal sha256, sizes are bytes, times are seconds since the
-- epoch (UTC) unless a name ends in _ns. `source` is the key of a linked folder in the registry.

-- The three trees: one row a path. A side that holds nothing is NULL. A row with three empty sides is deleted.
CREATE TABLE files (
    source          INTEGER NOT NULL,
    path            TEXT    NOT NULL,
    base_hash       TEXT,               -- the text both sides last agreed on
    base_size       INTEGER,
    base_rev        TEXT,               -- the server's revision of the base, never read by the agent
    local_presence  INTEGER NOT NULL,   -- enum Presence: 0 ABSENT, 1 FILE, 2 UNKNOWN, 3 OUT_OF_SCOPE
    local_hash      TEXT,
    local_size      INTEGER,
    local_reason    TEXT,               -- a Reason (core/states.py): the file cannot be sent, or could not be read
    mtime_ns        INTEGER,            -- stat fields of the last scan, 64 bits
    ctime_ns        INTEGER,
    inode           INTEGER,            -- kept after a local delete until it is agreed, to recognise a rename
    xxh3            TEXT,               -- xxh3-128 of the bytes
    racy            INTEGER NOT NULL DEFAULT 0,  -- 1: the file was modified within 2 s of the scan
    remote_hash     TEXT,
    remote_rev      TEXT,
    remote_id       TEXT,               -- the server's own id of the file
    position        INTEGER NOT NULL DEFAULT 0,  -- newest event applied to the remote side
    kind            TEXT    NOT NULL DEFAULT 'file',
    -- The step derived from the three sides: a cache, never an input.
    -- enum Step: 0 NOTHING, 1 PUSH, 2 PUSH_DELETE, 3 PULL, 4 PULL_DELETE, 5 PARK, 6 SKIP, 7 UNKNOWN
    step            INTEGER NOT NULL,
    PRIMARY KEY (source, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX files_work ON files (source, step) WHERE step <> 0;

-- One row a source: its position in the server's feed, and its state as a whole.
CREATE TABLE sources (
    source         INTEGER PRIMARY KEY,
    feed_state     TEXT,               -- the position as the dialect wrote it; opaque
    cursor         TEXT,               -- the position as people see it
    remote_paused  INTEGER NOT NULL DEFAULT 0,
    max_bytes      INTEGER,            -- largest content the server takes, once learned
    looked_at      REAL,               -- end of the last whole scan
    verified_at    REAL,               -- end of the last verification
    synced_at      REAL,
    halted         TEXT,               -- one sentence: the reason of a stop that only a person lifts
    rejoin         INTEGER NOT NULL DEFAULT 0,  -- 1: lifting the stop merges both sides like a new link
    moved          INTEGER NOT NULL DEFAULT 0,  -- 1: the folder is another one; files missing in it were not deleted
    held_since     REAL,               -- begin of the running hold on deletes
    mounts         TEXT NOT NULL DEFAULT '[]'   -- JSON list: folders below the root that were mount points
) STRICT;

-- Deletes that a person approved: this path, while it held this text.
CREATE TABLE approved (
    source INTEGER NOT NULL,
    path   TEXT    NOT NULL,
    hash   TEXT    NOT NULL,
    PRIMARY KEY (source, path)
) STRICT, WITHOUT ROWID;

-- Number of starts of this index; see generation.py.
CREATE TABLE generation (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    number INTEGER NOT NULL
) STRICT;

-- Deletes carried out within the window of the delete guard without a person's approval.
CREATE TABLE removals (
    source INTEGER NOT NULL,
    path   TEXT    NOT NULL,
    step   INTEGER NOT NULL,           -- the direction: Step PUSH_DELETE or PULL_DELETE
    hash   TEXT    NOT NULL,
    at     REAL    NOT NULL,
    PRIMARY KEY (source, path, step)
) STRICT, WITHOUT ROWID;

-- Operations: stored before they are sent, and kept for 14 days to recognise late events and conflicts of ours.
CREATE TABLE operations (
    seq        INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    source     INTEGER NOT NULL,
    path       TEXT    NOT NULL,
    verb       TEXT    NOT NULL,       -- enum Verb: upsert, delete, move
    hash       TEXT,
    size       INTEGER NOT NULL,
    base       TEXT,                   -- hash the server must hold; NULL: the file must not exist
    purpose    TEXT    NOT NULL,       -- enum PushReason: push, park, resolve
    state      TEXT    NOT NULL,       -- enum OperationState: stored, unsettled, acked, done, echoed, abandoned
    created_at REAL    NOT NULL,
    after      INTEGER NOT NULL,       -- newest event known of the path when the operation was stored
    echoed     INTEGER,                -- position of its own event in the feed
    suspects   TEXT                    -- JSON list of [hash, position, revision]: foreign versions before our event
) STRICT;

CREATE INDEX operations_path ON operations (source, path);

CREATE INDEX operations_open ON operations (source, state) WHERE (state IN ('stored', 'unsettled', 'acked'));

-- Conflicts, ours and those of other machines.
CREATE TABLE conflicts (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    generation  INTEGER NOT NULL DEFAULT 1,  -- rises when either side moves
    source      INTEGER NOT NULL,
    path        TEXT    NOT NULL,
    kind        TEXT    NOT NULL,      -- enum ConflictKind: edit_edit, edit_delete, delete_edit, no_base
    origin      TEXT    NOT NULL,      -- a ConflictOrigin
    base_hash   TEXT,
    local_hash  TEXT,
    remote_hash TEXT,
    head_hash   TEXT,                  -- the server's head that was shown with the conflict
    server_ids  TEXT    NOT NULL DEFAULT '[]',  -- JSON list: the server's ids of the conflict
    opened_at   REAL    NOT NULL,
    state       TEXT    NOT NULL,      -- enum ConflictState: open, resolving, closed
    mine        INTEGER NOT NULL,      -- 1: it parks the path on this machine
    choice      TEXT,                  -- enum Resolution: keep_local, keep_raven, manual_merge
    wanted_hash TEXT,                  -- the text the person decided for
    note        TEXT,
    closed_at   REAL
) STRICT;

CREATE INDEX conflicts_path ON conflicts (source, path) WHERE state <> 'closed';

-- Texts that conflicts and pending trash writes refer to, so that a decision works offline.
CREATE TABLE texts (
    hash    TEXT PRIMARY KEY,
    content BLOB NOT NULL              -- zlib
) STRICT;

-- Texts that must still be written to the trash; their bytes are in `texts` until then.
CREATE TABLE stashes (
    id     TEXT    NOT NULL UNIQUE,
    source INTEGER NOT NULL,
    path   TEXT    NOT NULL,
    hash   TEXT    NOT NULL,
    reason TEXT    NOT NULL
) STRICT;

-- The journal: changes to the folder, written before they are made and deleted with their outcome.
CREATE TABLE intents (
    id         TEXT PRIMARY KEY,
    source     INTEGER NOT NULL,
    path       TEXT    NOT NULL,
    new        TEXT,                   -- hash after the change; NULL: the file is removed
    expected   TEXT,                   -- hash before the change; NULL: no file
    purpose    TEXT    NOT NULL,       -- enum Purpose: pull, resolve, restore
    created_at REAL    NOT NULL
) STRICT;

-- Paths that cannot be synced, with the reason. A scan or an answer that says otherwise deletes the row.
CREATE TABLE problems (
    source   INTEGER NOT NULL,
    path     TEXT    NOT NULL,         -- bytes that are not UTF-8 as U+FFFD
    raw      BLOB,                     -- the name's bytes where it is not UTF-8
    origin   TEXT    NOT NULL,         -- enum ProblemOrigin: look, push, pull, remote, undo
    reason   TEXT    NOT NULL,         -- a Reason (core/states.py)
    text     TEXT    NOT NULL,
    since    REAL    NOT NULL,
    met_at   REAL    NOT NULL,         -- last time it was met; a later scan that does not meet it deletes the row
    retry_at REAL,                     -- NULL: only when the file changes or a person asks
    PRIMARY KEY (source, path, origin)
) STRICT, WITHOUT ROWID;

-- The activity log. `what` is an ActivityKind.
CREATE TABLE activity (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    source       INTEGER NOT NULL,
    at           REAL    NOT NULL,
    path         TEXT    NOT NULL,     -- empty: the source as a whole
    what         TEXT    NOT NULL,
    detail       TEXT,
    operation_id TEXT
) STRICT;

-- The server's listing while a verification compares it; empty otherwise.
CREATE TABLE listing (
    source    INTEGER NOT NULL,
    path      TEXT    NOT NULL,
    hash      TEXT    NOT NULL,
    rev       TEXT,
    remote_id TEXT,
    PRIMARY KEY (source, path)
) STRICT, WITHOUT ROWID;
