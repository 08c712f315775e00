-- Workspaces with limits of their own. Contents are keyed by workspace and hash.
-- SQLite cannot drop a foreign key, so the tables that led to the old key are copied, those that lead to them too.

CREATE TABLE workspaces (
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    quota_bytes BIGINT,
    keep_versions INTEGER,
    keep_days INTEGER,
    pruned_at BIGINT,
    PRIMARY KEY (number),
    UNIQUE (id)
);

INSERT INTO workspaces (id) SELECT DISTINCT workspace FROM sources ORDER BY workspace;

ALTER TABLE sources ADD COLUMN workspace_number INTEGER NOT NULL DEFAULT 0;

ALTER TABLE sources ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0;

UPDATE sources SET workspace_number = (SELECT number FROM workspaces WHERE workspaces.id = sources.workspace);

CREATE TABLE new_files (
    source INTEGER NOT NULL,
    number BIGINT NOT NULL,
    path TEXT NOT NULL,
    hash BLOB,
    content_type TEXT NOT NULL,
    state TEXT NOT NULL,
    synced_at BIGINT NOT NULL,
    identity BIGINT NOT NULL,
    version INTEGER NOT NULL,
    revision BIGINT NOT NULL,
    hidden SMALLINT NOT NULL,
    PRIMARY KEY (source, number),
    FOREIGN KEY(source) REFERENCES sources (number)
) WITHOUT ROWID;

INSERT INTO new_files
SELECT source, number, path, hash, content_type, state, synced_at, identity, version, revision, hidden FROM files;

CREATE TABLE new_versions (
    source INTEGER NOT NULL,
    file BIGINT NOT NULL,
    cursor BIGINT NOT NULL,
    hash BLOB NOT NULL,
    origin TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    identity BIGINT NOT NULL,
    number INTEGER NOT NULL,
    hidden SMALLINT NOT NULL,
    PRIMARY KEY (source, file, cursor),
    FOREIGN KEY(source, file) REFERENCES new_files (source, number)
) WITHOUT ROWID;

INSERT INTO new_versions
SELECT source, file, cursor, hash, origin, recorded_at, identity, number, hidden FROM versions;

DROP TABLE versions;

CREATE TABLE new_conflicts (
    id TEXT NOT NULL,
    source INTEGER NOT NULL,
    file BIGINT NOT NULL,
    connector TEXT,
    kind TEXT NOT NULL,
    base TEXT,
    local_hash BLOB NOT NULL,
    remote_hash BLOB,
    created_at BIGINT NOT NULL,
    resolution TEXT,
    resolved_at BIGINT,
    PRIMARY KEY (id),
    FOREIGN KEY(source, file) REFERENCES new_files (source, number)
);

INSERT INTO new_conflicts
SELECT id, source, file, connector, kind, base, local_hash, remote_hash, created_at, resolution, resolved_at
FROM conflicts;

DROP TABLE conflicts;

CREATE TABLE new_places (
    source INTEGER NOT NULL,
    identity BIGINT NOT NULL,
    cursor BIGINT NOT NULL,
    file BIGINT NOT NULL,
    PRIMARY KEY (source, identity, cursor),
    FOREIGN KEY(source, file) REFERENCES new_files (source, number)
) WITHOUT ROWID;

INSERT INTO new_places SELECT source, identity, cursor, file FROM places;

DROP TABLE places;

DROP TABLE files;

ALTER TABLE new_files RENAME TO files;

ALTER TABLE new_versions RENAME TO versions;

ALTER TABLE new_conflicts RENAME TO conflicts;

ALTER TABLE new_places RENAME TO places;

CREATE UNIQUE INDEX files_by_path ON files (source, path);

CREATE INDEX conflicts_by_file ON conflicts (source, file);

-- Each content goes to every workspace that names it, and is counted for the first source there that names it.

CREATE TABLE named (workspace INTEGER NOT NULL, hash BLOB NOT NULL, source INTEGER NOT NULL);

INSERT INTO named
SELECT sources.workspace_number, names.hash, MIN(names.source)
FROM (
    SELECT source, hash FROM versions
    UNION SELECT source, hash FROM files WHERE hash IS NOT NULL
    UNION SELECT source, hash FROM events WHERE hash IS NOT NULL
    UNION SELECT source, local_hash FROM conflicts
    UNION SELECT source, remote_hash FROM conflicts WHERE remote_hash IS NOT NULL
) AS names
JOIN sources ON sources.number = names.source
GROUP BY sources.workspace_number, names.hash;

CREATE TABLE new_contents (
    workspace INTEGER NOT NULL,
    hash BLOB NOT NULL,
    size BIGINT NOT NULL,
    encoding SMALLINT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (workspace, hash)
);

INSERT INTO new_contents
SELECT named.workspace, named.hash, contents.size, contents.encoding, contents.data
FROM named JOIN contents ON contents.hash = named.hash;

UPDATE sources SET stored_bytes = coalesce(
    (
        SELECT SUM(contents.size) FROM named JOIN contents ON contents.hash = named.hash
        WHERE named.source = sources.number
    ), 0
);

DROP TABLE named;

-- Contents that only an upload names have no hash in a column, and are found by their text form.

INSERT INTO new_contents
SELECT DISTINCT sources.workspace_number, contents.hash, contents.size, contents.encoding, contents.data
FROM (
    SELECT source, json_extract(result, '$.checksum_sha256') AS hash FROM upload_sessions WHERE result IS NOT NULL
    UNION SELECT source, json_extract(metadata, '$.checksum_sha256') FROM device_conflicts WHERE metadata IS NOT NULL
) AS names
JOIN sources ON sources.number = names.source
JOIN contents ON lower(hex(contents.hash)) = names.hash
WHERE NOT EXISTS (
    SELECT 1 FROM new_contents WHERE workspace = sources.workspace_number AND new_contents.hash = contents.hash
);

DROP TABLE contents;

ALTER TABLE new_contents RENAME TO contents;
