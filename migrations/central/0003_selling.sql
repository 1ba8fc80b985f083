-- A booking from the first hold to its tickets, and the money that pays for it.

-- held: seats without a name. awaiting_payment: with one. confirmed: paid, tickets issued.
-- expired: nobody paid in time. cancelled: taken back before or after payment.
ALTER TABLE booking
    ALTER contact_name DROP NOT NULL,
    ALTER contact_phone DROP NOT NULL,
    ADD state text NOT NULL DEFAULT 'confirmed'
        CHECK (state IN ('held', 'awaiting_payment', 'confirmed', 'expired', 'cancelled')),
    ADD secret_hash bytea CHECK (length(secret_hash) = 32), -- of a held one's token
    ADD expires_at_ms bigint,              -- while unpaid: when its seats go back
    ADD expires_last_ms bigint,            -- no extension reaches beyond
    ADD person_id uuid,                    -- the account that booked
    ADD seller_kind text NOT NULL DEFAULT 'anonymous', -- as audit_log.actor_kind
    ADD seller_id uuid,
    ADD contact_sealed bytea,              -- AEAD of name, phone, e-mail
    ADD phone_blind bytea,                 -- keyed hash, to find it by
    ADD name_blind bytea,
    ADD paid_minor bigint NOT NULL DEFAULT 0,
    ADD version integer NOT NULL DEFAULT 1;
CREATE INDEX booking_by_phone ON booking (company_id, phone_blind);
CREATE INDEX booking_by_person ON booking (person_id) WHERE person_id IS NOT NULL;
CREATE INDEX booking_to_expire ON booking (company_id, expires_at_ms)
    WHERE state IN ('held', 'awaiting_payment');

-- One seat of a booking: what was wished and at what price, and its ticket once paid.
CREATE TABLE coupon (
    company_id uuid NOT NULL,
    booking_id uuid NOT NULL,
    coupon_no smallint NOT NULL,           -- from 1, in the order of the wish
    trip_id bigint NOT NULL,
    seat integer NOT NULL,
    legs int4range NOT NULL,
    class smallint NOT NULL,
    fare_minor bigint NOT NULL,            -- what the fare table says
    discount_minor bigint NOT NULL DEFAULT 0, -- off that
    passenger_sealed bytea,                -- AEAD of name and document
    ticket_id uuid,                        -- once issued
    state text NOT NULL DEFAULT 'held'
        CHECK (state IN ('held', 'issued', 'released', 'void', 'exchanged', 'no_show')),
    PRIMARY KEY (company_id, booking_id, coupon_no),
    FOREIGN KEY (company_id, booking_id) REFERENCES booking (company_id, booking_id)
);
CREATE INDEX coupon_by_trip ON coupon (company_id, trip_id);
CREATE INDEX coupon_by_ticket ON coupon (company_id, ticket_id) WHERE ticket_id IS NOT NULL;

ALTER TABLE claim ADD booking_id uuid;     -- of a hold
CREATE INDEX claim_by_booking ON claim (company_id, booking_id) WHERE booking_id IS NOT NULL;

SELECT protect_tenant_tables();
