-- What a tenant has set in a dialect whose settings steer channels: sealed JSON in the dialect's own words.
CREATE TABLE dialect_settings (
    tenant_id   BIGINT  NOT NULL REFERENCES tenants (id),
    dialect     TEXT    NOT NULL COLLATE "C",
    settings    BYTEA   NOT NULL,
    updated_at  BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, dialect)
);
