-- A row of a look-up stands for hundreds of its entries: the first is its key, the others follow encoded (see
-- sqlite/segments/leaves.rs). Look-ups that are there already are made anew, beside the writer; until then their segments are
-- read through.

DROP TABLE events_by_tenant;
DROP TABLE settled_by_tenant;
DROP TABLE settled_by_channel;
DROP TABLE attempts_by_delivery;
DROP TABLE attempts_by_channel;
DROP TABLE attempts_by_tenant;

CREATE TABLE events_by_tenant (
    segment INTEGER NOT NULL, sought INTEGER NOT NULL, found INTEGER NOT NULL, rest BLOB NOT NULL,
    PRIMARY KEY (segment, sought, found)
) STRICT, WITHOUT ROWID;
CREATE TABLE settled_by_tenant (
    segment INTEGER NOT NULL, sought INTEGER NOT NULL, found INTEGER NOT NULL, rest BLOB NOT NULL,
    PRIMARY KEY (segment, sought, found)
) STRICT, WITHOUT ROWID;
CREATE TABLE settled_by_channel (
    segment INTEGER NOT NULL, sought INTEGER NOT NULL, found INTEGER NOT NULL, rest BLOB NOT NULL,
    PRIMARY KEY (segment, sought, found)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts_by_delivery (
    segment INTEGER NOT NULL, sought INTEGER NOT NULL, found INTEGER NOT NULL, rest BLOB NOT NULL,
    PRIMARY KEY (segment, sought, found)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts_by_channel (
    segment INTEGER NOT NULL, sought INTEGER NOT NULL, found INTEGER NOT NULL, rest BLOB NOT NULL,
    PRIMARY KEY (segment, sought, found)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts_by_tenant (
    segment INTEGER NOT NULL, sought INTEGER NOT NULL, found INTEGER NOT NULL, rest BLOB NOT NULL,
    PRIMARY KEY (segment, sought, found)
) STRICT, WITHOUT ROWID;

UPDATE segments SET indexes = 0;
