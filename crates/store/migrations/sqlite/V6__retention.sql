-- When the newest row of a closed segment was written; known once somebody has looked.
ALTER TABLE segments ADD COLUMN newest_at INTEGER;

-- Events whose segment is gone and that something still waits for: dead letters, deliveries that are tried for long.
CREATE TABLE kept_events (
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
CREATE INDEX kept_events_by_tenant ON kept_events (tenant_id, id);

-- Its time is over: nobody reads it any more, and its rows go in slices.
ALTER TABLE segments ADD COLUMN is_ending INTEGER NOT NULL DEFAULT 0;
CREATE INDEX segments_ending ON segments (kind, number) WHERE is_ending = 1;
CREATE INDEX channels_deleted ON channels (deleted_at) WHERE deleted_at IS NOT NULL;
