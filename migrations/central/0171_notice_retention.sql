-- How long a company keeps what it told: messages, events, deliveries of webhooks.

CREATE TABLE notice_settings (
    company_id uuid PRIMARY KEY REFERENCES company,
    keep_days integer NOT NULL DEFAULT 400 CHECK (keep_days BETWEEN 30 AND 3660),
    version integer NOT NULL DEFAULT 1
);

-- What is old is found by its age, without reading what is not.
CREATE INDEX notice_by_age ON notice (company_id, created_at_ms);
CREATE INDEX outbox_by_age ON outbox (company_id, at_ms);
CREATE INDEX webhook_delivery_by_age ON webhook_delivery (company_id, created_at_ms);
CREATE INDEX webhook_delivery_by_event ON webhook_delivery (company_id, event_no);

SELECT protect_tenant_tables();
