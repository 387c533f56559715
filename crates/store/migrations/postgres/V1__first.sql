-- The first schema, complete: what later work needs has its column already.
--
-- Times are milliseconds since 1970-01-01 UTC; ids are below 2^53. Whole numbers are BIGINT throughout, so that whatever
-- the domain holds fits. Texts that are compared have the collation "C": bytes, as in the domain. History (events,
-- settled deliveries, attempts) is partitioned by ranges of ids; the writer makes partitions ahead (see
-- postgres/segments.rs), so that old history is dropped and never deleted row by row.

-- One row: what the writer hands out next, and this database's own name on the wire. Changed by every transaction of the
-- writer, so there is room for its next versions beside it.
CREATE TABLE sequences (
    one             BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
    instance        TEXT    NOT NULL,
    config_version  BIGINT  NOT NULL,
    tenant          BIGINT  NOT NULL,
    api_key         BIGINT  NOT NULL,
    channel         BIGINT  NOT NULL,
    subscription    BIGINT  NOT NULL,
    event           BIGINT  NOT NULL,
    delivery        BIGINT  NOT NULL,
    attempt         BIGINT  NOT NULL,
    digest          BIGINT  NOT NULL,
    -- The last day (since 1970) whose table of idempotency keys was begun.
    idempotency_day BIGINT  NOT NULL,
    -- The writer's last transaction: whether a commit took place whose answer was lost.
    batch           BIGINT  NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
INSERT INTO sequences
VALUES (TRUE, left(replace(gen_random_uuid()::text, '-', ''), 10), 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0);

-- Configuration.

CREATE TABLE tenants (
    id            BIGINT  PRIMARY KEY,
    slug          TEXT    NOT NULL COLLATE "C",
    name          TEXT    NOT NULL,
    email         TEXT,
    -- JSON: allow-list of providers, retention, quotas.
    settings      TEXT    NOT NULL DEFAULT '{}',
    suspended_at  BIGINT,
    created_at    BIGINT  NOT NULL,
    updated_at    BIGINT,
    deleted_at    BIGINT
);
CREATE UNIQUE INDEX tenants_by_slug ON tenants (slug) WHERE deleted_at IS NULL;

CREATE TABLE api_keys (
    id          BIGINT  PRIMARY KEY,
    -- NULL: a platform key.
    tenant_id   BIGINT  REFERENCES tenants (id),
    name        TEXT    NOT NULL,
    -- SHA-256 of the secret.
    hash        BYTEA   NOT NULL UNIQUE,
    prefix      TEXT    NOT NULL,
    username    TEXT,
    -- JSON list.
    scopes      TEXT    NOT NULL,
    created_at  BIGINT  NOT NULL,
    expires_at  BIGINT,
    revoked_at  BIGINT
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, id);

CREATE TABLE channels (
    id                BIGINT  PRIMARY KEY,
    tenant_id         BIGINT  NOT NULL REFERENCES tenants (id),
    name              TEXT    NOT NULL,
    provider          TEXT    NOT NULL,
    -- Sealed (see vault.rs): the SPEC's fields as JSON.
    config            BYTEA   NOT NULL,
    -- Sealed: a dialect's verbatim object, dropped when another face edits the config.
    wire_config       BYTEA,
    dialect           TEXT,
    -- Made and steered by a dialect's own settings; hidden from the others.
    is_managed        BOOLEAN NOT NULL DEFAULT FALSE,
    is_active         BOOLEAN NOT NULL,
    pause_reason      TEXT,
    paused_at         BIGINT,
    subject_template  TEXT,
    body_template     TEXT,
    -- JSON, each NULL when the provider's default holds.
    rate_limit        TEXT,
    digest            TEXT,
    breaker           TEXT,
    -- JSON list of waits in milliseconds.
    retry             TEXT,
    time_to_live_ms   BIGINT,
    concurrency       BIGINT  NOT NULL,
    is_fifo           BOOLEAN NOT NULL DEFAULT FALSE,
    on_unknown        TEXT    NOT NULL DEFAULT 'retry',
    -- Which owner dispatches it, 0 to 255.
    shard             BIGINT  NOT NULL,
    created_at        BIGINT  NOT NULL,
    updated_at        BIGINT,
    deleted_at        BIGINT
);
CREATE INDEX channels_by_tenant ON channels (tenant_id, id);

-- Never edited but for valid_to: a change ends one and begins another. Versions are sequences.config_version.
CREATE TABLE subscriptions (
    id          BIGINT  PRIMARY KEY,
    tenant_id   BIGINT  NOT NULL REFERENCES tenants (id),
    channel_id  BIGINT  NOT NULL REFERENCES channels (id),
    pattern     TEXT    NOT NULL,
    filter      TEXT,
    valid_from  BIGINT  NOT NULL,
    valid_to    BIGINT
);
CREATE INDEX subscriptions_by_channel ON subscriptions (channel_id, valid_from);
CREATE INDEX subscriptions_valid ON subscriptions (channel_id, id) WHERE valid_to IS NULL;

CREATE TABLE event_types (
    tenant_id    BIGINT  NOT NULL REFERENCES tenants (id),
    type         TEXT    NOT NULL COLLATE "C",
    label        TEXT    NOT NULL,
    description  TEXT    NOT NULL,
    -- JSON: groups of variables with key, description, type and example.
    groups       TEXT    NOT NULL DEFAULT '[]',
    created_at   BIGINT  NOT NULL,
    updated_at   BIGINT,
    PRIMARY KEY (tenant_id, type)
);

-- Live and small. Rows come and go all the time: what is dead is swept at a fixed number of rows, without a break.

-- What waits: pending (tries = 0) and retrying. Held follows from the channel. The key is the order that lanes take
-- from; the index finds one delivery and lists a tenant's newest. No index has a column that a retry changes.
CREATE TABLE queue (
    channel_id   BIGINT  NOT NULL,
    delivery_id  BIGINT  NOT NULL,
    tenant_id    BIGINT  NOT NULL,
    event_id     BIGINT  NOT NULL,
    created_at   BIGINT  NOT NULL,
    expires_at   BIGINT  NOT NULL,
    -- 0: at once.
    due_at       BIGINT  NOT NULL,
    -- Attempts that count against the schedule.
    attempts     BIGINT  NOT NULL,
    -- Every try, also those that burned no attempt; fences a settlement that comes twice.
    tries        BIGINT  NOT NULL,
    -- Overrides the schedule; a test has 1.
    attempts_max BIGINT,
    steps_done   BIGINT  NOT NULL DEFAULT 0,
    -- Raised when another owner takes the channel's shard.
    epoch        BIGINT  NOT NULL DEFAULT 0,
    digest_id    BIGINT,
    note         TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (channel_id, delivery_id)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queue_by_tenant ON queue (tenant_id, delivery_id);

-- Gave up and waits for a person. Never dropped with history.
CREATE TABLE dead (
    delivery_id  BIGINT  PRIMARY KEY,
    channel_id   BIGINT  NOT NULL,
    tenant_id    BIGINT  NOT NULL,
    event_id     BIGINT  NOT NULL,
    created_at   BIGINT  NOT NULL,
    expires_at   BIGINT  NOT NULL,
    attempts     BIGINT  NOT NULL,
    tries        BIGINT  NOT NULL,
    steps_done   BIGINT  NOT NULL DEFAULT 0,
    digest_id    BIGINT,
    code         BIGINT,
    note         TEXT    NOT NULL,
    died_at      BIGINT  NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX dead_by_tenant ON dead (tenant_id, delivery_id);
CREATE INDEX dead_by_channel ON dead (channel_id, delivery_id);

CREATE TABLE digests (
    id          BIGINT  PRIMARY KEY,
    tenant_id   BIGINT  NOT NULL,
    channel_id  BIGINT  NOT NULL,
    group_key   TEXT    NOT NULL,
    opened_at   BIGINT  NOT NULL,
    closes_at   BIGINT  NOT NULL,
    -- Set when it is sealed: what is sent is these bytes, however often.
    sealed_at   BIGINT,
    members     BYTEA,
    body        BYTEA
);
CREATE INDEX digests_by_channel ON digests (channel_id, id);

-- How much waits and how much is dead, kept with every move so that nobody has to count.
CREATE TABLE waiting (
    channel_id  BIGINT  PRIMARY KEY,
    tenant_id   BIGINT  NOT NULL,
    pending     BIGINT  NOT NULL,
    retrying    BIGINT  NOT NULL,
    dead        BIGINT  NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX waiting_by_tenant ON waiting (tenant_id, channel_id);

-- What is left of a fan-out that was too large for one transaction: encoded channels with their expiry.
CREATE TABLE expand (
    event_id   BIGINT  PRIMARY KEY,
    tenant_id  BIGINT  NOT NULL,
    rest       BYTEA   NOT NULL
);

-- The slices that were expanded: which deliveries of an event lie beyond those of its own row.
CREATE TABLE expanded (
    event_id        BIGINT  NOT NULL,
    first_delivery  BIGINT  NOT NULL,
    channels        BYTEA   NOT NULL,
    PRIMARY KEY (event_id, first_delivery)
);

-- Everything of a channel at or below a delivery is to be cancelled; done in slices, so it survives a restart.
CREATE TABLE cancellations (
    channel_id   BIGINT  PRIMARY KEY,
    tenant_id    BIGINT  NOT NULL,
    up_to        BIGINT  NOT NULL,
    reason       TEXT    NOT NULL,
    asked_at     BIGINT  NOT NULL
);

-- Idempotency keys of the last 24 hours, in two tables that take turns by day: the older one is emptied whole, so no
-- index on time is needed.
CREATE TABLE idempotency_even (
    tenant_id   BIGINT  NOT NULL,
    key_hash    BYTEA   NOT NULL,
    body_hash   BYTEA   NOT NULL,
    event_id    BIGINT  NOT NULL,
    events      BIGINT  NOT NULL,
    kept_at     BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, key_hash)
);
CREATE TABLE idempotency_odd (
    tenant_id   BIGINT  NOT NULL,
    key_hash    BYTEA   NOT NULL,
    body_hash   BYTEA   NOT NULL,
    event_id    BIGINT  NOT NULL,
    events      BIGINT  NOT NULL,
    kept_at     BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, key_hash)
);

-- Sums: what happened in each quarter of an hour. Channel 0 counts events.
CREATE TABLE counters (
    tenant_id   BIGINT  NOT NULL,
    bucket      BIGINT  NOT NULL,
    channel_id  BIGINT  NOT NULL,
    event_type  TEXT    NOT NULL COLLATE "C",
    status      TEXT    NOT NULL COLLATE "C",
    count       BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, bucket, channel_id, event_type, status)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0);

-- History, partitioned by id. The logical key is (tenant, id).

CREATE TABLE events (
    id             BIGINT  NOT NULL,
    tenant_id      BIGINT  NOT NULL,
    type           TEXT    NOT NULL,
    -- As it came: JSON in a type of its own would be another text.
    data           TEXT    NOT NULL,
    occurred_at    BIGINT  NOT NULL,
    severity       TEXT,
    accepted_at    BIGINT  NOT NULL,
    explicit       BYTEA,
    config_version BIGINT  NOT NULL,
    first_delivery BIGINT  NOT NULL,
    channels       BYTEA   NOT NULL,
    skipped        BYTEA   NOT NULL,
    skipped_more   BIGINT  NOT NULL,
    trace          BYTEA,
    PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);

CREATE TABLE settled (
    id           BIGINT  NOT NULL,
    tenant_id    BIGINT  NOT NULL,
    channel_id   BIGINT  NOT NULL,
    event_id     BIGINT  NOT NULL,
    event_type   TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    attempts     BIGINT  NOT NULL,
    created_at   BIGINT  NOT NULL,
    expires_at   BIGINT  NOT NULL,
    settled_at   BIGINT  NOT NULL,
    note         TEXT    NOT NULL,
    digest_id    BIGINT,
    PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);
CREATE INDEX settled_by_channel ON settled (channel_id, id);

CREATE TABLE attempts (
    id           BIGINT  NOT NULL,
    delivery_id  BIGINT  NOT NULL,
    tenant_id    BIGINT  NOT NULL,
    channel_id   BIGINT  NOT NULL,
    event_id     BIGINT  NOT NULL,
    provider     TEXT    NOT NULL,
    event_type   TEXT    NOT NULL,
    number       BIGINT  NOT NULL,
    step         BIGINT  NOT NULL,
    class        TEXT    NOT NULL,
    scope        TEXT    NOT NULL,
    code         BIGINT,
    hint_ms      BIGINT,
    reference    TEXT,
    note         TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    started_at   BIGINT  NOT NULL,
    duration_ms  BIGINT  NOT NULL,
    digest_id    BIGINT,
    -- Whether the delivery was given up with it.
    gave_up      BOOLEAN NOT NULL,
    PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);
CREATE INDEX attempts_by_delivery ON attempts (delivery_id, id);
CREATE INDEX attempts_by_channel ON attempts (channel_id, id);

-- Which partitions of history there are. Those of a kind follow one another without a gap.
CREATE TABLE segments (
    kind         TEXT    NOT NULL,
    number       BIGINT  NOT NULL,
    first_id     BIGINT  NOT NULL,
    last_id      BIGINT  NOT NULL,
    PRIMARY KEY (kind, number)
);

-- The in-app inbox.
CREATE TABLE inbox (
    tenant_id    BIGINT  NOT NULL,
    id           BIGINT  NOT NULL,
    channel_id   BIGINT  NOT NULL,
    event_id     BIGINT  NOT NULL,
    recipient    TEXT    NOT NULL COLLATE "C",
    content      TEXT    NOT NULL,
    created_at   BIGINT  NOT NULL,
    read_at      BIGINT,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX inbox_once ON inbox (tenant_id, event_id, channel_id, recipient);
