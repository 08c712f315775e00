-- Tokens given out by `hub token`, by their public ids, so that they can be listed and revoked.

CREATE TABLE tokens (
    id TEXT NOT NULL,
    workspace TEXT NOT NULL,
    user_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    PRIMARY KEY (id)
);

CREATE INDEX tokens_revoked ON tokens (revoked_at);
