-- Orders to try many deliveries again, and how far each is carried out.
ALTER TABLE sequences ADD COLUMN redrive BIGINT NOT NULL DEFAULT 1;
CREATE TABLE redrives (
    id          BIGINT  NOT NULL,
    tenant_id   BIGINT  NOT NULL,
    -- 'dead' or 'history'.
    source      TEXT    NOT NULL,
    -- JSON: which deliveries or events.
    wanted      TEXT    NOT NULL,
    -- Deliveries a second.
    pace        BIGINT  NOT NULL,
    progress    TEXT    NOT NULL COLLATE "C",
    note        TEXT    NOT NULL DEFAULT '',
    -- The last row that was looked at: a delivery's id, or from history an event's.
    reached     BIGINT  NOT NULL DEFAULT 0,
    up_to       BIGINT  NOT NULL,
    examined    BIGINT  NOT NULL DEFAULT 0,
    redriven    BIGINT  NOT NULL DEFAULT 0,
    skipped     BIGINT  NOT NULL DEFAULT 0,
    created_at  BIGINT  NOT NULL,
    ended_at    BIGINT,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX redrives_running ON redrives (id) WHERE progress = 'running';
CREATE INDEX redrives_open ON redrives (tenant_id) WHERE ended_at IS NULL;
