-- Invites given out by `hub invite`, by the hash of their one-time codes, and the machine that got a token for one.

CREATE TABLE invites (
    digest TEXT NOT NULL,
    workspace TEXT NOT NULL,
    user_id TEXT NOT NULL,
    token_days INTEGER NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (digest)
);

ALTER TABLE tokens ADD COLUMN machine TEXT;
