-- What came of each attempt of a delivery, for the log that its company sees.

ALTER TABLE webhook_delivery
    ADD tries jsonb NOT NULL DEFAULT '[]'; -- at_ms, took_ms, status, error; the first first, 40 kept

SELECT protect_tenant_tables();
