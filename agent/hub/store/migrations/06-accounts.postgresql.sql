-- Pinakes' API: the account of a workspace, sessions, devices with tokens, uploads to a path, blake3 hashes.

ALTER TABLE devices ADD COLUMN os_info TEXT;

ALTER TABLE devices ADD COLUMN token BYTEA;

ALTER TABLE upload_sessions ADD COLUMN target TEXT;

ALTER TABLE upload_sessions ADD COLUMN base BYTEA;

ALTER TABLE upload_sessions ADD COLUMN device TEXT;

CREATE TABLE accounts (
    workspace TEXT NOT NULL,
    source INTEGER,
    PRIMARY KEY (workspace),
    FOREIGN KEY(source) REFERENCES sources (number)
);

CREATE TABLE login_sessions (
    id BYTEA NOT NULL,
    workspace TEXT NOT NULL,
    user_id TEXT NOT NULL,
    hub_token TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX login_sessions_expire ON login_sessions (expires_at);

CREATE TABLE blake3_hashes (
    hash BYTEA NOT NULL,
    blake3 BYTEA NOT NULL,
    PRIMARY KEY (hash)
);
