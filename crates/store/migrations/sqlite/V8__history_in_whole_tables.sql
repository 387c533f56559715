-- History in one table for each kind. A segment is a stretch of it and no longer a table of its own: thousands of tables
-- made a schema that readers took longer to read than any list. Tables of segments that are there already are emptied into
-- these at the start (see sqlite/segments/former.rs).

CREATE TABLE events (
    id             INTEGER PRIMARY KEY,
    tenant_id      INTEGER NOT NULL,
    type           TEXT    NOT NULL,
    data           TEXT    NOT NULL,
    occurred_at    INTEGER NOT NULL,
    severity       TEXT,
    accepted_at    INTEGER NOT NULL,
    explicit       BLOB,
    config_version INTEGER NOT NULL,
    first_delivery INTEGER NOT NULL,
    channels       BLOB    NOT NULL,
    skipped        BLOB    NOT NULL,
    skipped_more   INTEGER NOT NULL,
    trace          BLOB
) STRICT;

-- Deliveries settle in any order: the segment keeps those together that settled together.
CREATE TABLE settled (
    segment      INTEGER NOT NULL,
    id           INTEGER NOT NULL,
    tenant_id    INTEGER NOT NULL,
    channel_id   INTEGER NOT NULL,
    event_id     INTEGER NOT NULL,
    event_type   TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    settled_at   INTEGER NOT NULL,
    note         TEXT    NOT NULL,
    digest_id    INTEGER,
    reason_code  TEXT,
    PRIMARY KEY (segment, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    id           INTEGER PRIMARY KEY,
    delivery_id  INTEGER NOT NULL,
    tenant_id    INTEGER NOT NULL,
    channel_id   INTEGER NOT NULL,
    event_id     INTEGER NOT NULL,
    provider     TEXT    NOT NULL,
    event_type   TEXT    NOT NULL,
    number       INTEGER NOT NULL,
    step         INTEGER NOT NULL,
    class        TEXT    NOT NULL,
    scope        TEXT    NOT NULL,
    code         INTEGER,
    hint_ms      INTEGER,
    reference    TEXT,
    note         TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    started_at   INTEGER NOT NULL,
    duration_ms  INTEGER NOT NULL,
    digest_id    INTEGER,
    gave_up      INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Look-ups: which rows of a closed segment have a value, in order. They are written a segment at a time, each at the end of
-- its table, and go the same way.
CREATE TABLE events_by_tenant (
    segment INTEGER NOT NULL, sought INTEGER NOT NULL, found INTEGER NOT NULL, PRIMARY KEY (segment, sought, found)
) STRICT, WITHOUT ROWID;
CREATE TABLE settled_by_tenant (
    segment INTEGER NOT NULL, sought INTEGER NOT NULL, found INTEGER NOT NULL, PRIMARY KEY (segment, sought, found)
) STRICT, WITHOUT ROWID;
CREATE TABLE settled_by_channel (
    segment INTEGER NOT NULL, sought INTEGER NOT NULL, found INTEGER NOT NULL, PRIMARY KEY (segment, sought, found)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts_by_delivery (
    segment INTEGER NOT NULL, sought INTEGER NOT NULL, found INTEGER NOT NULL, PRIMARY KEY (segment, sought, found)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts_by_channel (
    segment INTEGER NOT NULL, sought INTEGER NOT NULL, found INTEGER NOT NULL, PRIMARY KEY (segment, sought, found)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts_by_tenant (
    segment INTEGER NOT NULL, sought INTEGER NOT NULL, found INTEGER NOT NULL, PRIMARY KEY (segment, sought, found)
) STRICT, WITHOUT ROWID;

-- From now on segments.form says only this: 0 where the rows are in these tables, and otherwise the form of the table that a
-- segment was. segments.indexes counts the look-ups that are written.
CREATE INDEX segments_closed ON segments (kind, indexes) WHERE last_id < 9007199254740991;
