-- What a tenant has set in a dialect whose settings steer channels: sealed JSON in the dialect's own words.
CREATE TABLE dialect_settings (
    tenant_id   INTEGER NOT NULL REFERENCES tenants (id),
    dialect     TEXT    NOT NULL,
    settings    BLOB    NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, dialect)
) STRICT, WITHOUT ROWID;
