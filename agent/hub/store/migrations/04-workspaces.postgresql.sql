-- Workspaces with limits of their own. Contents are keyed by workspace and hash.

CREATE TABLE workspaces (
    number SERIAL NOT NULL,
    id TEXT NOT NULL,
    quota_bytes BIGINT,
    keep_versions INTEGER,
    keep_days INTEGER,
    pruned_at BIGINT,
    PRIMARY KEY (number),
    UNIQUE (id)
);

INSERT INTO workspaces (id) SELECT DISTINCT workspace FROM sources ORDER BY workspace;

ALTER TABLE sources ADD COLUMN workspace_number INTEGER REFERENCES workspaces (number);

ALTER TABLE sources ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0;

UPDATE sources SET workspace_number = workspaces.number FROM workspaces WHERE workspaces.id = sources.workspace;

ALTER TABLE sources ALTER COLUMN workspace_number SET NOT NULL;

ALTER TABLE files DROP CONSTRAINT files_hash_fkey;

ALTER TABLE versions DROP CONSTRAINT versions_hash_fkey;

ALTER TABLE contents RENAME TO contents_before;

ALTER TABLE contents_before RENAME CONSTRAINT contents_pkey TO contents_before_pkey;

CREATE TABLE contents (
    workspace INTEGER NOT NULL,
    hash BYTEA NOT NULL,
    size BIGINT NOT NULL,
    encoding SMALLINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (workspace, hash)
);

-- Each content goes to every workspace that names it, and is counted for the first source there that names it.

CREATE TEMPORARY TABLE named ON COMMIT DROP AS
SELECT sources.workspace_number AS workspace, names.hash AS hash, MIN(names.source) AS source
FROM (
    SELECT source, hash FROM versions
    UNION SELECT source, hash FROM files WHERE hash IS NOT NULL
    UNION SELECT source, hash FROM events WHERE hash IS NOT NULL
    UNION SELECT source, local_hash FROM conflicts
    UNION SELECT source, remote_hash FROM conflicts WHERE remote_hash IS NOT NULL
    UNION SELECT source, decode(result::json ->> 'checksum_sha256', 'hex') FROM upload_sessions WHERE result IS NOT NULL
    UNION SELECT source, decode(metadata::json ->> 'checksum_sha256', 'hex') FROM device_conflicts
        WHERE metadata::json ->> 'checksum_sha256' ~ '^[0-9a-f]{64}$'
) AS names
JOIN sources ON sources.number = names.source
GROUP BY sources.workspace_number, names.hash;

INSERT INTO contents
SELECT named.workspace, named.hash, contents_before.size, contents_before.encoding, contents_before.data
FROM named JOIN contents_before ON contents_before.hash = named.hash;

UPDATE sources SET stored_bytes = counted.bytes
FROM (
    SELECT named.source, SUM(contents_before.size) AS bytes
    FROM named JOIN contents_before ON contents_before.hash = named.hash GROUP BY named.source
) AS counted
WHERE counted.source = sources.number;

DROP TABLE contents_before;
