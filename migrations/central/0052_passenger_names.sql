-- Correcting the name of who travels.

ALTER TABLE aftersale_rule
    ADD correction_max smallint NOT NULL DEFAULT 2
        CHECK (correction_max BETWEEN 0 AND 20), -- by the passengers themselves, per seat
    ADD correction_until_min integer NOT NULL DEFAULT 0
        CHECK (correction_until_min >= 0); -- minutes before departure, for them

-- A name that was corrected. It follows its passenger when the ticket is exchanged.
CREATE TABLE passenger_correction (
    company_id uuid NOT NULL REFERENCES company,
    correction_id uuid NOT NULL,
    booking_id uuid NOT NULL,
    coupon_no smallint NOT NULL,
    before_sealed bytea,                   -- AEAD of name and document as they were; null: none
    reason text NOT NULL CHECK (reason IN ('typo', 'incomplete', 'name_change', 'other_person')),
    actor_kind text NOT NULL,              -- as audit_log.actor_kind
    actor_id uuid,
    at_ms bigint NOT NULL,
    PRIMARY KEY (company_id, correction_id),
    FOREIGN KEY (company_id, booking_id, coupon_no) REFERENCES coupon
);
CREATE INDEX passenger_correction_by_coupon
    ON passenger_correction (company_id, booking_id, coupon_no);

SELECT protect_tenant_tables();
