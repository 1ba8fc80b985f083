-- What was answered before is found without the lock. A request that had its answer from the record
-- ends its transaction a moment after the answer is read, and the next one with that key was told
-- that somebody works on it.
CREATE OR REPLACE FUNCTION claim_key(
    company uuid, wanted_scope text, wanted_key text, lock_number bigint,
    OUT taken boolean, OUT fingerprint bytea, OUT status smallint, OUT content_type text,
    OUT response bytea
)
    LANGUAGE plpgsql VOLATILE
    AS $$
BEGIN
    -- Twice: it may have been answered between the first look and the lock.
    FOR look IN 1..2 LOOP
        SELECT i.fingerprint, i.status, i.content_type, i.response
        INTO fingerprint, status, content_type, response
        FROM idempotency i
        WHERE i.company_id = company AND i.scope = wanted_scope AND i.key = wanted_key;
        IF FOUND THEN
            taken := true;
            RETURN;
        END IF;
        IF look = 1 THEN
            taken := pg_try_advisory_xact_lock(lock_number);
            IF NOT taken THEN
                RETURN;
            END IF;
        END IF;
    END LOOP;
END
$$;

SELECT protect_tenant_tables();
