-- The new path of a file that was renamed: its delete is none. NULL for every other delete.
ALTER TABLE removals ADD COLUMN renamed_to TEXT;

-- Deletes that a person undid, until their file is back: this path, with this text.
CREATE TABLE undone_deletes (
    source INTEGER NOT NULL,
    path   TEXT    NOT NULL,
    hash   TEXT    NOT NULL,
    PRIMARY KEY (source, path)
) STRICT, WITHOUT ROWID;
