-- Schema 1, as released with 0.1.0.

CREATE TABLE connectors (
    id TEXT NOT NULL,
    workspace TEXT NOT NULL,
    created_by TEXT NOT NULL,
    name TEXT NOT NULL,
    platform TEXT NOT NULL,
    version TEXT,
    heartbeat_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE contents (
    hash BYTEA NOT NULL,
    size INTEGER NOT NULL,
    encoding SMALLINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (hash)
);

CREATE TABLE schema_info (
    id SERIAL NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE sources (
    number SERIAL NOT NULL,
    id TEXT NOT NULL,
    workspace TEXT NOT NULL,
    created_by TEXT NOT NULL,
    name TEXT NOT NULL,
    mode TEXT NOT NULL,
    connector TEXT NOT NULL,
    status TEXT NOT NULL,
    includes TEXT NOT NULL,
    excludes TEXT NOT NULL,
    last_cursor BIGINT NOT NULL,
    last_file BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (number),
    UNIQUE (id),
    FOREIGN KEY(connector) REFERENCES connectors (id)
);

CREATE INDEX ix_sources_workspace ON sources (workspace);

CREATE TABLE events (
    source INTEGER NOT NULL,
    cursor BIGINT NOT NULL,
    type SMALLINT NOT NULL,
    file BIGINT,
    hash BYTEA,
    operation TEXT,
    extra TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (source, cursor),
    FOREIGN KEY(source) REFERENCES sources (number)
);

CREATE TABLE files (
    source INTEGER NOT NULL,
    number BIGINT NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    hash BYTEA,
    content_type TEXT NOT NULL,
    state TEXT NOT NULL,
    synced_at BIGINT NOT NULL,
    PRIMARY KEY (source, number),
    FOREIGN KEY(source) REFERENCES sources (number),
    FOREIGN KEY(hash) REFERENCES contents (hash)
);

CREATE UNIQUE INDEX files_by_path ON files (source, path);

CREATE TABLE operations (
    source INTEGER NOT NULL,
    operation TEXT NOT NULL,
    status SMALLINT NOT NULL,
    hash BYTEA,
    conflict TEXT,
    reason TEXT,
    PRIMARY KEY (source, operation),
    FOREIGN KEY(source) REFERENCES sources (number)
);

CREATE TABLE conflicts (
    id TEXT NOT NULL,
    source INTEGER NOT NULL,
    file BIGINT NOT NULL,
    connector TEXT,
    kind TEXT NOT NULL,
    base TEXT,
    local_hash BYTEA NOT NULL,
    remote_hash BYTEA,
    created_at BIGINT NOT NULL,
    resolution TEXT,
    resolved_at BIGINT,
    PRIMARY KEY (id),
    FOREIGN KEY(source, file) REFERENCES files (source, number)
);

CREATE INDEX conflicts_by_file ON conflicts (source, file);

CREATE TABLE versions (
    source INTEGER NOT NULL,
    file BIGINT NOT NULL,
    cursor BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    origin TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (source, file, cursor),
    FOREIGN KEY(source, file) REFERENCES files (source, number),
    FOREIGN KEY(hash) REFERENCES contents (hash)
);
