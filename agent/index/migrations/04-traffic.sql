-- The series of the charts, by quarter of an hour: no time zone begins its hours within one. Kept as long as the
-- activity log, 90 days, so at most 8,640 rows a source.
CREATE TABLE traffic (
    source   INTEGER NOT NULL,
    quarter  INTEGER NOT NULL,         -- quarters of an hour since the epoch
    changes  INTEGER NOT NULL,         -- entries of the activity log about files
    sent     INTEGER NOT NULL,         -- bytes
    received INTEGER NOT NULL,         -- bytes
    files    INTEGER,                  -- local files after the last change; NULL: not counted
    size     INTEGER,                  -- and their bytes
    PRIMARY KEY (source, quarter)
) STRICT, WITHOUT ROWID;

INSERT INTO traffic
SELECT source, CAST(at / 900 AS INTEGER), count(*), 0, 0, NULL, NULL
FROM activity WHERE path <> '' GROUP BY 1, 2;
