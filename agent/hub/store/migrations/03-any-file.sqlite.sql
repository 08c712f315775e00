-- Files of any content: identities that travel with a moved file, folders, devices, uploads and blobs.

ALTER TABLE sources ADD COLUMN last_folder BIGINT NOT NULL DEFAULT 0;

ALTER TABLE sources ADD COLUMN folders_cursor BIGINT NOT NULL DEFAULT 0;

ALTER TABLE files ADD COLUMN identity BIGINT NOT NULL DEFAULT 0;

ALTER TABLE files ADD COLUMN version INTEGER NOT NULL DEFAULT 0;

ALTER TABLE files ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;

ALTER TABLE files ADD COLUMN hidden SMALLINT NOT NULL DEFAULT 0;

ALTER TABLE versions ADD COLUMN identity BIGINT NOT NULL DEFAULT 0;

ALTER TABLE versions ADD COLUMN number INTEGER NOT NULL DEFAULT 0;

ALTER TABLE versions ADD COLUMN hidden SMALLINT NOT NULL DEFAULT 0;

ALTER TABLE events ADD COLUMN identity BIGINT;

ALTER TABLE events ADD COLUMN detail TEXT;

-- A path of an older schema is one file from its first event on.

UPDATE files SET identity = first.cursor
FROM (SELECT source, file, MIN(cursor) AS cursor FROM events WHERE file IS NOT NULL GROUP BY source, file) AS first
WHERE first.source = files.source AND first.file = files.number;

UPDATE versions SET identity = files.identity, number = placed.number
FROM files, (
    SELECT source, file, cursor, ROW_NUMBER() OVER (PARTITION BY source, file ORDER BY cursor) AS number FROM versions
) AS placed
WHERE placed.source = versions.source AND placed.file = versions.file AND placed.cursor = versions.cursor
    AND files.source = versions.source AND files.number = versions.file;

UPDATE files SET version = newest.number, revision = newest.cursor
FROM (SELECT source, file, MAX(number) AS number, MAX(cursor) AS cursor FROM versions GROUP BY source, file) AS newest
WHERE newest.source = files.source AND newest.file = files.number;

UPDATE events SET identity = files.identity
FROM files WHERE files.source = events.source AND files.number = events.file;

CREATE TABLE places (
    source INTEGER NOT NULL,
    identity BIGINT NOT NULL,
    cursor BIGINT NOT NULL,
    file BIGINT NOT NULL,
    PRIMARY KEY (source, identity, cursor),
    FOREIGN KEY(source, file) REFERENCES files (source, number)
) WITHOUT ROWID;

CREATE TABLE folders (
    source INTEGER NOT NULL,
    number BIGINT NOT NULL,
    parent BIGINT NOT NULL,
    path TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    deleted_at BIGINT,
    PRIMARY KEY (source, number),
    FOREIGN KEY(source) REFERENCES sources (number)
) WITHOUT ROWID;

CREATE UNIQUE INDEX folders_by_path ON folders (source, path) WHERE deleted_at IS NULL;

CREATE INDEX folders_by_parent ON folders (source, parent);

CREATE TABLE devices (
    number INTEGER NOT NULL,
    workspace TEXT NOT NULL,
    user_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    platform TEXT NOT NULL,
    version TEXT,
    is_active SMALLINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (number),
    UNIQUE (workspace, user_id, id)
);

CREATE TABLE device_cursors (
    device INTEGER NOT NULL,
    source INTEGER NOT NULL,
    position BIGINT NOT NULL,
    last_sync_at BIGINT,
    PRIMARY KEY (device, source),
    FOREIGN KEY(device) REFERENCES devices (number),
    FOREIGN KEY(source) REFERENCES sources (number)
) WITHOUT ROWID;

CREATE TABLE preferences (
    device INTEGER NOT NULL,
    source INTEGER NOT NULL,
    sync_enabled SMALLINT NOT NULL,
    selected TEXT,
    excluded TEXT,
    PRIMARY KEY (device, source),
    FOREIGN KEY(device) REFERENCES devices (number),
    FOREIGN KEY(source) REFERENCES sources (number)
) WITHOUT ROWID;

CREATE TABLE device_conflicts (
    id TEXT NOT NULL,
    source INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    device TEXT NOT NULL,
    is_folder SMALLINT NOT NULL,
    resource BIGINT NOT NULL,
    change TEXT NOT NULL,
    path TEXT NOT NULL,
    new_path TEXT,
    base BIGINT,
    client TEXT,
    server BIGINT,
    metadata TEXT,
    created_at BIGINT NOT NULL,
    resolution TEXT,
    resolved_at BIGINT,
    PRIMARY KEY (id),
    FOREIGN KEY(source) REFERENCES sources (number)
);

CREATE INDEX device_conflicts_by_source ON device_conflicts (source, resource);

CREATE TABLE upload_sessions (
    id TEXT NOT NULL,
    workspace TEXT NOT NULL,
    user_id TEXT NOT NULL,
    source INTEGER NOT NULL,
    folder BIGINT NOT NULL,
    name TEXT NOT NULL,
    size BIGINT NOT NULL,
    chunk_size INTEGER NOT NULL,
    mime_type TEXT,
    hash BLOB,
    replaces BIGINT,
    created_at BIGINT NOT NULL,
    touched_at BIGINT NOT NULL,
    result TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY(source) REFERENCES sources (number)
);

CREATE INDEX upload_sessions_touched ON upload_sessions (touched_at);

CREATE TABLE upload_chunks (
    session TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (session, number),
    FOREIGN KEY(session) REFERENCES upload_sessions (id)
) WITHOUT ROWID;

CREATE TABLE pieces (
    owner TEXT NOT NULL,
    start BIGINT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (owner, start)
);
