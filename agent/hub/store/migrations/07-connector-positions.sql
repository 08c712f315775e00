-- Position of each connector in the feed of each source that it reads.

CREATE TABLE connector_positions (
    connector TEXT NOT NULL,
    source INTEGER NOT NULL,
    position BIGINT NOT NULL,
    reached_at BIGINT NOT NULL,
    PRIMARY KEY (connector, source)
);
