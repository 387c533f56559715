-- When the newest row of a partition that is full was written; known once somebody has looked.
ALTER TABLE segments ADD COLUMN newest_at BIGINT;

-- Deliveries settle in any order.
CREATE INDEX settled_by_time ON settled (settled_at);

-- Events whose partition is gone and that something still waits for: dead letters, deliveries that are tried for long.
CREATE TABLE kept_events (LIKE events INCLUDING ALL);
CREATE INDEX kept_events_by_id ON kept_events (id);

-- Every event there is, wherever it stands; twice while its partition is about to go.
CREATE VIEW known_events AS
SELECT id, tenant_id, type, data, occurred_at, severity, accepted_at, explicit, config_version, first_delivery, channels,
       skipped, skipped_more, trace
FROM events
UNION ALL
SELECT id, tenant_id, type, data, occurred_at, severity, accepted_at, explicit, config_version, first_delivery, channels,
       skipped, skipped_more, trace
FROM kept_events;

-- Its time is over: it is dropped as soon as nobody reads it.
ALTER TABLE segments ADD COLUMN is_ending BOOLEAN NOT NULL DEFAULT FALSE;
-- It was emptied, and is there for deliveries of its range that are not over yet.
ALTER TABLE segments ADD COLUMN is_emptied BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX segments_ending ON segments (kind, number) WHERE is_ending;
CREATE INDEX channels_deleted ON channels (deleted_at) WHERE deleted_at IS NOT NULL;
