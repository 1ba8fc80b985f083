-- Bookings with several trips and passengers, and finding them again.

ALTER TABLE booking
    ADD group_name text;                   -- of a party that travels as one
CREATE INDEX booking_by_name ON booking (company_id, name_blind) WHERE name_blind IS NOT NULL;
CREATE INDEX booking_by_age ON booking (company_id, created_at_ms, booking_id);
CREATE INDEX booking_by_reference ON booking (reference);
CREATE INDEX booking_to_seal ON booking (company_id) WHERE contact_phone IS NOT NULL;

-- Look-ups before the company is known. Each gives away company and number only.
CREATE FUNCTION bookings_of_reference(wanted text)
    RETURNS TABLE (company_id uuid, booking_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id, booking_id FROM booking WHERE reference = wanted $$;
CREATE FUNCTION bookings_of_person(wanted uuid, before_ms bigint, before_id uuid, most bigint)
    RETURNS TABLE (company_id uuid, booking_id uuid, created_at_ms bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id, booking_id, created_at_ms FROM booking
          WHERE person_id = wanted AND (created_at_ms, booking_id) < (before_ms, before_id)
          ORDER BY created_at_ms DESC, booking_id DESC LIMIT most $$;

DO $$
BEGIN
    EXECUTE format(
        'CREATE POLICY owner_look_up ON booking FOR SELECT TO %I USING (true)', current_user
    );
END
$$;

-- Counts every change of what tickets cost, so that prices can be remembered.
CREATE TABLE price_version (
    company_id uuid PRIMARY KEY REFERENCES company,
    version bigint NOT NULL
);
CREATE FUNCTION count_price_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF current_company() IS NULL AND row_security_active('price_version') THEN
        RETURN NULL;
    END IF;
    INSERT INTO price_version AS p (company_id, version)
    SELECT company_id, 1 FROM company WHERE company_id = COALESCE(current_company(), company_id)
    ON CONFLICT (company_id) DO UPDATE SET version = p.version + 1;
    RETURN NULL;
END
$$;
DO $$
DECLARE
    changed text;
BEGIN
    FOREACH changed IN ARRAY ARRAY['fare_table', 'fare', 'discount'] LOOP
        EXECUTE format(
            'CREATE TRIGGER count_price_change AFTER INSERT OR UPDATE OR DELETE ON %I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION count_price_change()', changed
        );
    END LOOP;
END
$$;

-- A trip's row, locked where asked for, and then what of its seats is taken: seat * 65536 +
-- first leg * 256 + the leg after the last. The second statement of a volatile function sees
-- what was committed while the first one waited for the lock.
CREATE FUNCTION trip_for_sale(
    company uuid, wanted bigint, take_lock boolean,
    OUT row_version bigint, OUT trip_state text, OUT zone text, OUT price_version bigint,
    OUT taken integer[]
)
    LANGUAGE plpgsql VOLATILE
    AS $$
BEGIN
    IF take_lock THEN
        SELECT t.xmin::text::bigint, t.state INTO row_version, trip_state FROM trip t
        WHERE t.company_id = company AND t.trip_id = wanted FOR UPDATE;
    ELSE
        SELECT t.xmin::text::bigint, t.state INTO row_version, trip_state FROM trip t
        WHERE t.company_id = company AND t.trip_id = wanted;
    END IF;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT c.zone, p.version INTO zone, price_version
    FROM company c LEFT JOIN price_version p ON p.company_id = c.company_id
    WHERE c.company_id = company;
    SELECT COALESCE(array_agg(w.seat * 65536 + lower(w.legs) * 256 + upper(w.legs)), '{}')
    INTO taken
    FROM (
        SELECT c.seat, c.legs FROM claim c WHERE c.company_id = company AND c.trip_id = wanted
        UNION ALL
        SELECT k.seat, k.legs FROM ticket k
        WHERE k.company_id = company AND k.trip_id = wanted AND k.state = 0
    ) w;
END
$$;

-- Claims a request's key until the end of the transaction: its stored answer where it has one.
-- The look comes after the lock, in a statement of its own.
CREATE FUNCTION claim_key(
    company uuid, wanted_scope text, wanted_key text, lock_number bigint,
    OUT taken boolean, OUT fingerprint bytea, OUT status smallint, OUT content_type text,
    OUT response bytea
)
    LANGUAGE plpgsql VOLATILE
    AS $$
BEGIN
    taken := pg_try_advisory_xact_lock(lock_number);
    IF taken THEN
        SELECT i.fingerprint, i.status, i.content_type, i.response
        INTO fingerprint, status, content_type, response
        FROM idempotency i
        WHERE i.company_id = company AND i.scope = wanted_scope AND i.key = wanted_key;
    END IF;
END
$$;

SELECT protect_tenant_tables();
