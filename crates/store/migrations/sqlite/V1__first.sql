-- The first schema, complete: what later work needs has its column already.
--
-- Times are milliseconds since 1970-01-01 UTC; ids are below 2^53. History (events, settled deliveries, attempts)
-- lives in segments: tables that the writer makes as it goes (see sqlite/segments.rs), so that old history is dropped
-- and never deleted row by row.

-- One row: what the writer hands out next, and this database's own name on the wire.
CREATE TABLE sequences (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    instance        TEXT    NOT NULL,
    config_version  INTEGER NOT NULL,
    tenant          INTEGER NOT NULL,
    api_key         INTEGER NOT NULL,
    channel         INTEGER NOT NULL,
    subscription    INTEGER NOT NULL,
    event           INTEGER NOT NULL,
    delivery        INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    digest          INTEGER NOT NULL,
    -- The last day (since 1970) whose table of idempotency keys was begun.
    idempotency_day INTEGER NOT NULL
) STRICT;
INSERT INTO sequences VALUES (1, lower(hex(randomblob(5))), 1, 1, 1, 1, 1, 1, 1, 1, 1, 0);

-- Configuration.

CREATE TABLE tenants (
    id            INTEGER PRIMARY KEY,
    slug          TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    email         TEXT,
    -- JSON: allow-list of providers, retention, quotas.
    settings      TEXT    NOT NULL DEFAULT '{}',
    suspended_at  INTEGER,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER,
    deleted_at    INTEGER
) STRICT;
CREATE UNIQUE INDEX tenants_by_slug ON tenants (slug) WHERE deleted_at IS NULL;

CREATE TABLE api_keys (
    id          INTEGER PRIMARY KEY,
    -- NULL: a platform key.
    tenant_id   INTEGER REFERENCES tenants (id),
    name        TEXT    NOT NULL,
    -- SHA-256 of the secret.
    hash        BLOB    NOT NULL UNIQUE,
    prefix      TEXT    NOT NULL,
    username    TEXT,
    -- JSON list.
    scopes      TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    revoked_at  INTEGER
) STRICT;
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, id);

CREATE TABLE channels (
    id                INTEGER PRIMARY KEY,
    tenant_id         INTEGER NOT NULL REFERENCES tenants (id),
    name              TEXT    NOT NULL,
    provider          TEXT    NOT NULL,
    -- Sealed (see vault.rs): the SPEC's fields as JSON.
    config            BLOB    NOT NULL,
    -- Sealed: a dialect's verbatim object, dropped when another face edits the config.
    wire_config       BLOB,
    dialect           TEXT,
    -- Made and steered by a dialect's own settings; hidden from the others.
    is_managed        INTEGER NOT NULL DEFAULT 0,
    is_active         INTEGER NOT NULL,
    pause_reason      TEXT,
    paused_at         INTEGER,
    subject_template  TEXT,
    body_template     TEXT,
    -- JSON, each NULL when the provider's default holds.
    rate_limit        TEXT,
    digest            TEXT,
    breaker           TEXT,
    -- JSON list of waits in milliseconds.
    retry             TEXT,
    time_to_live_ms   INTEGER,
    concurrency       INTEGER NOT NULL,
    is_fifo           INTEGER NOT NULL DEFAULT 0,
    on_unknown        TEXT    NOT NULL DEFAULT 'retry',
    -- Which owner dispatches it, 0 to 255.
    shard             INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER,
    deleted_at        INTEGER
) STRICT;
CREATE INDEX channels_by_tenant ON channels (tenant_id, id);

-- Never edited but for valid_to: a change ends one and begins another. Versions are sequences.config_version.
CREATE TABLE subscriptions (
    id          INTEGER PRIMARY KEY,
    tenant_id   INTEGER NOT NULL REFERENCES tenants (id),
    channel_id  INTEGER NOT NULL REFERENCES channels (id),
    pattern     TEXT    NOT NULL,
    filter      TEXT,
    valid_from  INTEGER NOT NULL,
    valid_to    INTEGER
) STRICT;
CREATE INDEX subscriptions_by_channel ON subscriptions (channel_id, valid_from);
CREATE INDEX subscriptions_valid ON subscriptions (channel_id, id) WHERE valid_to IS NULL;

CREATE TABLE event_types (
    tenant_id    INTEGER NOT NULL REFERENCES tenants (id),
    type         TEXT    NOT NULL,
    label        TEXT    NOT NULL,
    description  TEXT    NOT NULL,
    -- JSON: groups of variables with key, description, type and example.
    groups       TEXT    NOT NULL DEFAULT '[]',
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER,
    PRIMARY KEY (tenant_id, type)
) STRICT, WITHOUT ROWID;

-- Live and small.

-- What waits: pending (tries = 0) and retrying. Held follows from the channel. The key is the order that lanes take
-- from; the index finds one delivery and lists a tenant's newest.
CREATE TABLE queue (
    channel_id   INTEGER NOT NULL,
    delivery_id  INTEGER NOT NULL,
    tenant_id    INTEGER NOT NULL,
    event_id     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    -- 0: at once.
    due_at       INTEGER NOT NULL,
    -- Attempts that count against the schedule.
    attempts     INTEGER NOT NULL,
    -- Every try, also those that burned no attempt; fences a settlement that comes twice.
    tries        INTEGER NOT NULL,
    -- Overrides the schedule; a test has 1.
    attempts_max INTEGER,
    steps_done   INTEGER NOT NULL DEFAULT 0,
    -- Raised when another owner takes the channel's shard.
    epoch        INTEGER NOT NULL DEFAULT 0,
    digest_id    INTEGER,
    note         TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (channel_id, delivery_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX queue_by_tenant ON queue (tenant_id, delivery_id);

-- Gave up and waits for a person. Never dropped with history.
CREATE TABLE dead (
    delivery_id  INTEGER PRIMARY KEY,
    channel_id   INTEGER NOT NULL,
    tenant_id    INTEGER NOT NULL,
    event_id     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    tries        INTEGER NOT NULL,
    steps_done   INTEGER NOT NULL DEFAULT 0,
    digest_id    INTEGER,
    code         INTEGER,
    note         TEXT    NOT NULL,
    died_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_by_tenant ON dead (tenant_id, delivery_id);
CREATE INDEX dead_by_channel ON dead (channel_id, delivery_id);

CREATE TABLE digests (
    id          INTEGER PRIMARY KEY,
    tenant_id   INTEGER NOT NULL,
    channel_id  INTEGER NOT NULL,
    group_key   TEXT    NOT NULL,
    opened_at   INTEGER NOT NULL,
    closes_at   INTEGER NOT NULL,
    -- Set when it is sealed: what is sent is these bytes, however often.
    sealed_at   INTEGER,
    members     BLOB,
    body        BLOB
) STRICT;
CREATE INDEX digests_by_channel ON digests (channel_id, id);

-- How much waits and how much is dead, kept with every move so that nobody has to count.
CREATE TABLE waiting (
    channel_id  INTEGER PRIMARY KEY,
    tenant_id   INTEGER NOT NULL,
    pending     INTEGER NOT NULL,
    retrying    INTEGER NOT NULL,
    dead        INTEGER NOT NULL
) STRICT;
CREATE INDEX waiting_by_tenant ON waiting (tenant_id, channel_id);

-- What is left of a fan-out that was too large for one transaction: encoded channels with their expiry.
CREATE TABLE expand (
    event_id   INTEGER PRIMARY KEY,
    tenant_id  INTEGER NOT NULL,
    rest       BLOB    NOT NULL
) STRICT;

-- The slices that were expanded: which deliveries of an event lie beyond those of its own row.
CREATE TABLE expanded (
    event_id        INTEGER NOT NULL,
    first_delivery  INTEGER NOT NULL,
    channels        BLOB    NOT NULL,
    PRIMARY KEY (event_id, first_delivery)
) STRICT, WITHOUT ROWID;

-- Everything of a channel at or below a delivery is to be cancelled; done in slices, so it survives a restart.
CREATE TABLE cancellations (
    channel_id   INTEGER PRIMARY KEY,
    tenant_id    INTEGER NOT NULL,
    up_to        INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    asked_at     INTEGER NOT NULL
) STRICT;

-- Idempotency keys of the last 24 hours, in two tables that take turns by day: the older one is emptied whole, so no
-- index on time is needed.
CREATE TABLE idempotency_even (
    tenant_id   INTEGER NOT NULL,
    key_hash    BLOB    NOT NULL,
    body_hash   BLOB    NOT NULL,
    event_id    INTEGER NOT NULL,
    events      INTEGER NOT NULL,
    kept_at     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key_hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE idempotency_odd (
    tenant_id   INTEGER NOT NULL,
    key_hash    BLOB    NOT NULL,
    body_hash   BLOB    NOT NULL,
    event_id    INTEGER NOT NULL,
    events      INTEGER NOT NULL,
    kept_at     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key_hash)
) STRICT, WITHOUT ROWID;

-- Sums: what happened in each quarter of an hour. Channel 0 counts events.
CREATE TABLE counters (
    tenant_id   INTEGER NOT NULL,
    bucket      INTEGER NOT NULL,
    channel_id  INTEGER NOT NULL,
    event_type  TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, bucket, channel_id, event_type, status)
) STRICT, WITHOUT ROWID;

-- History: which segment tables there are. The newest of a kind is open; a closed one gets its indexes later.
CREATE TABLE segments (
    kind         TEXT    NOT NULL,
    number       INTEGER NOT NULL,
    first_id     INTEGER NOT NULL,
    -- 2^53 - 1, the largest id: open.
    last_id      INTEGER NOT NULL,
    rows         INTEGER NOT NULL DEFAULT 0,
    indexes      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX segments_by_last_id ON segments (kind, last_id);

-- The in-app inbox.
CREATE TABLE inbox (
    tenant_id    INTEGER NOT NULL,
    id           INTEGER NOT NULL,
    channel_id   INTEGER NOT NULL,
    event_id     INTEGER NOT NULL,
    recipient    TEXT    NOT NULL,
    content      TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    read_at      INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX inbox_once ON inbox (tenant_id, event_id, channel_id, recipient);
