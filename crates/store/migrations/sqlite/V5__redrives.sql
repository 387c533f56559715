-- Orders to try many deliveries again, and how far each is carried out.
CREATE TABLE redrives (
    id          INTEGER PRIMARY KEY,
    tenant_id   INTEGER NOT NULL,
    -- 'dead' or 'history'.
    source      TEXT    NOT NULL,
    -- JSON: which deliveries or events.
    wanted      TEXT    NOT NULL,
    -- Deliveries a second.
    pace        INTEGER NOT NULL,
    progress    TEXT    NOT NULL,
    note        TEXT    NOT NULL DEFAULT '',
    -- The last row that was looked at: a delivery's id, or from history an event's.
    reached     INTEGER NOT NULL DEFAULT 0,
    up_to       INTEGER NOT NULL,
    examined    INTEGER NOT NULL DEFAULT 0,
    redriven    INTEGER NOT NULL DEFAULT 0,
    skipped     INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    ended_at    INTEGER
) STRICT;
CREATE INDEX redrives_by_tenant ON redrives (tenant_id, id);
CREATE INDEX redrives_running ON redrives (id) WHERE progress = 'running';
CREATE INDEX redrives_open ON redrives (tenant_id) WHERE ended_at IS NULL;
