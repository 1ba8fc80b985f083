-- What is taken of a trip is read with every search and every sale: from one index in one pass,
-- not row by row through the exclusion's. Functions in PL/pgSQL keep their plans; in SQL they are
-- planned with every call.

DROP INDEX ticket_by_change;
CREATE INDEX ticket_by_change ON ticket (company_id, trip_id, change_no)
    INCLUDE (seat, legs, state);

-- Claims and what awaits search come and go: what is gone must not be read past for long.
ALTER TABLE claim SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE search_dirty
    SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

CREATE OR REPLACE FUNCTION seats_taken(
    companies uuid[], trips bigint[], first_legs integer[], end_legs integer[]
)
    RETURNS TABLE (place bigint, taken bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public
    AS $$
BEGIN
    RETURN QUERY
    SELECT w.place, (
        SELECT count(DISTINCT x.seat) FROM (
            SELECT c.seat FROM claim c
            WHERE c.company_id = w.company AND c.trip_id = w.trip
                AND c.legs && int4range(w.a, w.b)
            UNION ALL
            SELECT k.seat FROM ticket k
            WHERE k.company_id = w.company AND k.trip_id = w.trip AND k.state = 0
                AND NOT isempty(k.legs * int4range(w.a, w.b))
        ) x)
    FROM UNNEST(companies, trips, first_legs, end_legs) WITH ORDINALITY
        AS w(company, trip, a, b, place);
END
$$;

CREATE OR REPLACE FUNCTION operators(wanted uuid[])
    RETURNS TABLE (operator_id uuid, name text, zone text, price_version bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public
    AS $$
BEGIN
    RETURN QUERY
    SELECT c.company_id, c.name, c.zone, COALESCE(p.version, 0)
    FROM company c LEFT JOIN price_version p USING (company_id)
    WHERE c.company_id = ANY(wanted);
END
$$;

CREATE OR REPLACE FUNCTION caller_of_token(hash bytea, now_ms bigint)
    RETURNS TABLE (company_id uuid, token_id uuid, scopes text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public
    AS $$
BEGIN
    RETURN QUERY
    SELECT t.company_id, t.token_id, t.scopes FROM api_token t
    WHERE t.token_hash = hash AND t.revoked_at_ms IS NULL
        AND (t.expires_at_ms IS NULL OR t.expires_at_ms > now_ms);
END
$$;

CREATE OR REPLACE FUNCTION bookings_of_reference(wanted text)
    RETURNS TABLE (company_id uuid, booking_id uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public
    AS $$
BEGIN
    RETURN QUERY SELECT b.company_id, b.booking_id FROM booking b WHERE b.reference = wanted;
END
$$;

SELECT protect_tenant_tables();
