-- Reasons have codes, for programs. Rows from before have none. (Settled deliveries: sqlite/segments.rs.)
ALTER TABLE dead ADD COLUMN reason_code TEXT;
ALTER TABLE cancellations ADD COLUMN reason_code TEXT;
ALTER TABLE channels ADD COLUMN pause_code TEXT;

-- That a channel's breaker is open, so that a start goes on with it.
ALTER TABLE channels ADD COLUMN tripped_at INTEGER;
ALTER TABLE channels ADD COLUMN trip_code TEXT;
ALTER TABLE channels ADD COLUMN trip_reason TEXT;
CREATE INDEX channels_tripped ON channels (id) WHERE tripped_at IS NOT NULL;
