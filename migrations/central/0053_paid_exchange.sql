-- Exchanges whose difference the passenger pays by themselves.

-- A payment that is for an exchange, not for its booking.
CREATE TABLE offer_payment (
    company_id uuid NOT NULL REFERENCES company,
    payment_id uuid NOT NULL,
    offer_id uuid NOT NULL,
    PRIMARY KEY (company_id, payment_id),
    FOREIGN KEY (company_id, offer_id) REFERENCES aftersale_offer (company_id, offer_id)
);

-- Seats that an exchange waits for, while its payment is under way.
ALTER TABLE claim
    ADD offer_id uuid;                     -- of a hold without a booking
CREATE INDEX claim_by_offer ON claim (company_id, offer_id) WHERE offer_id IS NOT NULL;

SELECT protect_tenant_tables();
