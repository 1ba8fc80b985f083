-- Payments, refunds, what providers were asked, and webhooks to companies.

-- intent: stored, the provider may not have heard of it. pending: it has. expired: nobody paid in
-- time; the provider is still asked now and then, for money that comes late is sent back.
CREATE TABLE payment (
    company_id uuid NOT NULL REFERENCES company,
    payment_id uuid NOT NULL UNIQUE,
    booking_id uuid NOT NULL,
    provider text NOT NULL CHECK (provider IN ('momo', 'card', 'cash')),
    provider_ref uuid NOT NULL,            -- ours, told to the provider; committed before the first call
    provider_id text,                      -- theirs, once they said it
    state text NOT NULL CHECK (state IN ('intent', 'pending', 'captured', 'failed', 'expired')),
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0), -- 0: a voucher paid for all of it
    currency text NOT NULL,
    payer_sealed bytea,                    -- AEAD of the phone number or card token
    payer_hint text,                       -- its last digits, for people
    action_url text,                       -- where the payer has to go first
    reason text,                           -- why it failed, a word of the provider
    outcome text CHECK (outcome IN ('issued', 'seats_gone', 'already_paid')), -- of a captured one
    refunded_minor bigint NOT NULL DEFAULT 0, -- asked back, done or not
    asked integer NOT NULL DEFAULT 0,      -- how often the provider was called
    next_poll_at_ms bigint,                -- null: never again
    deadline_ms bigint NOT NULL,           -- expires then, after a last question
    actor_kind text NOT NULL,              -- as audit_log.actor_kind
    actor_id uuid,
    created_at_ms bigint NOT NULL,
    captured_at_ms bigint,
    ended_at_ms bigint,                    -- captured, failed or expired
    PRIMARY KEY (company_id, payment_id),
    FOREIGN KEY (company_id, booking_id) REFERENCES booking (company_id, booking_id),
    CONSTRAINT payment_not_refunded_beyond
        CHECK (refunded_minor BETWEEN 0 AND CASE WHEN state = 'captured' THEN amount_minor ELSE 0 END)
);
-- One payment of a booking is under way at a time.
CREATE UNIQUE INDEX payment_one_live
    ON payment (company_id, booking_id) WHERE state IN ('intent', 'pending');
CREATE INDEX payment_by_booking ON payment (company_id, booking_id);
CREATE INDEX payment_to_poll ON payment (next_poll_at_ms) WHERE next_poll_at_ms IS NOT NULL;

-- Money on its way back. failed waits for a person: retried, or paid by hand with a note.
CREATE TABLE refund (
    company_id uuid NOT NULL REFERENCES company,
    refund_id uuid NOT NULL UNIQUE,
    booking_id uuid NOT NULL,
    payment_id uuid,                       -- null: paid without a payment of this hub's
    provider text NOT NULL CHECK (provider IN ('momo', 'card', 'cash', 'by_hand')),
    provider_ref uuid NOT NULL,            -- ours; another one after a certain no
    provider_id text,
    state text NOT NULL CHECK (state IN ('requested', 'pending', 'done', 'failed')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    why text NOT NULL,                     -- the reason it was asked for
    failure text,                          -- the provider's last word
    note text,                             -- of the person who paid by hand
    asked integer NOT NULL DEFAULT 0,
    next_try_at_ms bigint,                 -- null: waits for a person, or is done
    actor_kind text NOT NULL,
    actor_id uuid,
    created_at_ms bigint NOT NULL,
    done_at_ms bigint,
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (company_id, refund_id),
    FOREIGN KEY (company_id, booking_id) REFERENCES booking (company_id, booking_id),
    FOREIGN KEY (company_id, payment_id) REFERENCES payment (company_id, payment_id)
);
CREATE INDEX refund_by_booking ON refund (company_id, booking_id);
CREATE INDEX refund_to_try ON refund (next_try_at_ms) WHERE next_try_at_ms IS NOT NULL;

-- Every call of a provider and what came of it. Append only; no personal data.
CREATE TABLE provider_call (
    company_id uuid NOT NULL REFERENCES company,
    call_no bigint GENERATED ALWAYS AS IDENTITY,
    payment_id uuid,
    refund_id uuid,
    operation text NOT NULL CHECK (operation IN ('start', 'ask', 'cancel', 'refund', 'ask_refund')),
    answer text NOT NULL CHECK (answer IN ('yes', 'no', 'unknown')),
    detail text NOT NULL,
    at_ms bigint NOT NULL,
    took_ms integer NOT NULL,
    PRIMARY KEY (company_id, call_no)
);
CREATE INDEX provider_call_by_payment ON provider_call (company_id, payment_id);
CREATE INDEX provider_call_by_refund ON provider_call (company_id, refund_id);

-- Callbacks and jobs come before the company is known.
CREATE FUNCTION company_of_payment(id uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id FROM payment WHERE payment_id = id $$;
CREATE FUNCTION company_of_refund(id uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id FROM refund WHERE refund_id = id $$;
CREATE FUNCTION due_payments(now_ms bigint, most integer)
    RETURNS TABLE (company_id uuid, payment_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id, payment_id FROM payment
          WHERE next_poll_at_ms <= now_ms ORDER BY next_poll_at_ms LIMIT most $$;
CREATE FUNCTION due_refunds(now_ms bigint, most integer)
    RETURNS TABLE (company_id uuid, refund_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id, refund_id FROM refund
          WHERE next_try_at_ms <= now_ms ORDER BY next_try_at_ms LIMIT most $$;

SELECT protect_tenant_tables();
REVOKE UPDATE, DELETE, TRUNCATE ON provider_call FROM mwimule_app;

DO $$
DECLARE
    looked_up text;
BEGIN
    FOREACH looked_up IN ARRAY ARRAY['payment', 'refund'] LOOP
        EXECUTE format(
            'CREATE POLICY owner_look_up ON %I FOR SELECT TO %I USING (true)', looked_up, current_user
        );
    END LOOP;
END
$$;
