-- A seat-leg has one owner across claims and tickets together. Each table has an exclusion
-- constraint of its own and none spans both, so that without the row lock of the trip, which the
-- program takes, a hold could come to lie on a seat that is being sold. These triggers are the
-- backstop: like the constraints they should never fire.
--
-- The advisory lock of the trip makes two transactions that look into each other's table come one
-- after the other, and costs nobody a wait who holds the trip's row already. It is one for the
-- trip and not one for each seat, so that a grant of 500 seats takes one lock. It is taken before
-- the row: two that have both written a row of one seat would wait for each other in the exclusion
-- constraint until Postgres breaks the deadlock, a second later. The look comes after the row, and
-- a volatile function looks with a new snapshot: it sees what was committed while it waited.
--
-- Exempt, as nothing may be lost or refused that has happened: what nodes sold, which
-- domain::ingest judges and whose tickets lie on their own leases; and blocks, which follow a
-- ticket that is over.

CREATE FUNCTION await_turn_on_trip() RETURNS trigger
    LANGUAGE plpgsql VOLATILE
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1, hashint8(NEW.trip_id));
    RETURN NEW;
END
$$;
CREATE TRIGGER await_turn_on_trip BEFORE INSERT ON claim
    FOR EACH ROW WHEN (NEW.kind <> 'block') EXECUTE FUNCTION await_turn_on_trip();
CREATE TRIGGER await_turn_on_trip BEFORE INSERT ON ticket
    FOR EACH ROW WHEN (NEW.issuer_node IS NULL AND NEW.state = 0)
    EXECUTE FUNCTION await_turn_on_trip();

CREATE FUNCTION claim_lies_on_no_ticket() RETURNS trigger
    LANGUAGE plpgsql VOLATILE
    AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ticket t
        WHERE t.trip_id = NEW.trip_id AND t.seat = NEW.seat AND t.legs && NEW.legs AND t.state = 0
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'exclusion_violation', CONSTRAINT = 'seat_owned_once', TABLE = TG_TABLE_NAME,
            MESSAGE = format('seat %s of trip %s is sold', NEW.seat, NEW.trip_id);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER seat_owned_once AFTER INSERT ON claim
    FOR EACH ROW WHEN (NEW.kind <> 'block') EXECUTE FUNCTION claim_lies_on_no_ticket();

-- A booking's tickets replace its own hold in the same transaction. A ticket that a decision makes
-- live again stands against holds alone: rights and blocks keep its seat from everybody else.
CREATE FUNCTION ticket_lies_on_no_claim() RETURNS trigger
    LANGUAGE plpgsql VOLATILE
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1, hashint8(NEW.trip_id));
    IF EXISTS (
        SELECT FROM claim c
        WHERE c.trip_id = NEW.trip_id AND c.seat = NEW.seat AND c.legs && NEW.legs
            AND (TG_OP = 'INSERT' OR c.kind = 'hold')
            AND (c.kind = 'hold' AND c.booking_id = NEW.booking_id) IS NOT TRUE
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'exclusion_violation', CONSTRAINT = 'seat_owned_once', TABLE = TG_TABLE_NAME,
            MESSAGE = format('seat %s of trip %s is claimed', NEW.seat, NEW.trip_id);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER seat_owned_once AFTER INSERT ON ticket
    FOR EACH ROW WHEN (NEW.issuer_node IS NULL AND NEW.state = 0)
    EXECUTE FUNCTION ticket_lies_on_no_claim();
CREATE TRIGGER seat_owned_again AFTER UPDATE OF state ON ticket
    FOR EACH ROW WHEN (NEW.state = 0 AND OLD.state <> 0)
    EXECUTE FUNCTION ticket_lies_on_no_claim();

SELECT protect_tenant_tables();
