-- The server's revisions and file ids of everything that names a content, and the tables for moves and large files.
-- A revision is opaque and never read by the agent. NULL beside a hash: the revision is not known. '=': it is the hash.

ALTER TABLE files ADD COLUMN base_id TEXT;

ALTER TABLE files ADD COLUMN remote_size INTEGER;

-- The revision of `base`; NULL beside a base: not known, and never "the file must not exist".
ALTER TABLE operations ADD COLUMN base_rev TEXT;

-- The server's id of the file that is changed. Of a new file it is known with the outcome.
ALTER TABLE operations ADD COLUMN remote_id TEXT;

-- The revision that the operation made, if it is not its hash; NULL until it is known.
ALTER TABLE operations ADD COLUMN rev TEXT;

-- The path that a move leaves.
ALTER TABLE operations ADD COLUMN old_path TEXT;

-- The adapter's own state of an upload that can be resumed; JSON, opaque.
ALTER TABLE operations ADD COLUMN resume TEXT;

ALTER TABLE conflicts ADD COLUMN base_rev TEXT;

ALTER TABLE conflicts ADD COLUMN local_rev TEXT;

ALTER TABLE conflicts ADD COLUMN remote_rev TEXT;

-- The path from which the file is renamed; NULL unless the change is a move.
ALTER TABLE intents ADD COLUMN origin TEXT;

-- Revision and file id of `new`.
ALTER TABLE intents ADD COLUMN rev TEXT;

ALTER TABLE intents ADD COLUMN remote_id TEXT;

-- Downloads of large files: written before the first byte is requested.
CREATE TABLE transfers (
    id        TEXT    PRIMARY KEY,     -- names the file ID.down in the staging folder
    source    INTEGER NOT NULL,
    path      TEXT    NOT NULL,
    remote_id TEXT,
    rev       TEXT,
    hash      TEXT    NOT NULL,
    size      INTEGER NOT NULL
) STRICT;

-- The server's folders, where a server names files by folder.
CREATE TABLE folders (
    source INTEGER NOT NULL,
    id     TEXT    NOT NULL,
    path   TEXT    NOT NULL,           -- relative path; empty for the root
    parent TEXT,                       -- id of the folder above; NULL for the root
    PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX folders_path ON folders (source, path);

-- The server's listing while a verification compares it; empty otherwise.
DROP TABLE listing;

CREATE TABLE listing (
    source    INTEGER NOT NULL,
    path      TEXT    NOT NULL,
    hash      TEXT,                    -- NULL: the server lists no hash, and `mark` says if the file changed
    rev       TEXT,
    remote_id TEXT,
    size      INTEGER,
    mark      TEXT,                    -- changes whenever the file changes; opaque
    PRIMARY KEY (source, path)
) STRICT, WITHOUT ROWID;

-- The mark that a file without a listed hash had when its head was last asked for.
CREATE TABLE marks (
    source INTEGER NOT NULL,
    path   TEXT    NOT NULL,
    mark   TEXT    NOT NULL,
    PRIMARY KEY (source, path)
) STRICT, WITHOUT ROWID;
