-- How inboxes are read: by recipient, and what is unread, newest first.
CREATE INDEX inbox_by_recipient ON inbox (tenant_id, recipient, id);
CREATE INDEX inbox_unread ON inbox (tenant_id, id) WHERE read_at IS NULL;
CREATE INDEX inbox_unread_by_recipient ON inbox (tenant_id, recipient, id) WHERE read_at IS NULL;
