-- Messages to people about what happened, and what became of them.

-- One message to one person about one event, whatever is redelivered.
CREATE TABLE notice (
    company_id uuid NOT NULL REFERENCES company,
    notice_id uuid NOT NULL UNIQUE,
    notice_no bigint GENERATED ALWAYS AS IDENTITY,
    event_id uuid NOT NULL,                -- of the outbox
    recipient_blind bytea NOT NULL,        -- keyed hash of the account, or of phone or e-mail
    person_id uuid,                        -- the account, in whose inbox it is
    kind text NOT NULL,                    -- its template, like ticket_sold
    subject text NOT NULL,                 -- the event's, like booking:7F3K-22QX
    language text NOT NULL,                -- en, fr, sw or bem
    text_sealed bytea NOT NULL,            -- AEAD of its title, short and long text
    created_at_ms bigint NOT NULL,
    read_at_ms bigint,                     -- in the inbox
    PRIMARY KEY (company_id, notice_id),
    UNIQUE (company_id, event_id, recipient_blind)
);
CREATE UNIQUE INDEX notice_by_number ON notice (company_id, notice_no);
CREATE INDEX notice_by_subject ON notice (company_id, subject);
CREATE INDEX notice_by_person ON notice (person_id, notice_no) WHERE person_id IS NOT NULL;

-- Its way over one channel. waiting: its time comes. sending: committed before the gateway is
-- called; found later, nobody knows whether it went out, and it goes again under the same key.
-- sent: the gateway has it. delivered: the gateway said that it arrived. failed: given up.
-- off: the person does not want this channel or kind.
CREATE TABLE notice_delivery (
    company_id uuid NOT NULL,
    notice_id uuid NOT NULL,
    channel text NOT NULL CHECK (channel IN ('sms', 'email')),
    address_sealed bytea NOT NULL,         -- AEAD of the number or address
    state text NOT NULL
        CHECK (state IN ('waiting', 'sending', 'sent', 'delivered', 'failed', 'off')),
    tries integer NOT NULL DEFAULT 0,      -- begun, ended or not
    next_try_at_ms bigint,                 -- null: not by itself
    gateway_id text,                       -- what the gateway calls it
    last_error text,
    sent_at_ms bigint,
    ended_at_ms bigint,                    -- delivered or failed
    PRIMARY KEY (company_id, notice_id, channel),
    FOREIGN KEY (company_id, notice_id) REFERENCES notice (company_id, notice_id) ON DELETE CASCADE
);
CREATE INDEX notice_delivery_due ON notice_delivery (next_try_at_ms)
    WHERE next_try_at_ms IS NOT NULL;
CREATE INDEX notice_delivery_by_gateway ON notice_delivery (gateway_id)
    WHERE gateway_id IS NOT NULL;

-- What a person wants to be told, how and when; the hub's own, for it goes for every company.
CREATE TABLE notice_preference (
    person_id uuid PRIMARY KEY REFERENCES person,
    language text,                         -- null: the company's
    sms boolean NOT NULL,
    email boolean NOT NULL,
    quiet_from_min smallint,               -- minutes after local midnight; null: no quiet hours
    quiet_to_min smallint,
    muted text[] NOT NULL,                 -- kinds that only the inbox gets
    version integer NOT NULL DEFAULT 1,
    CHECK ((quiet_from_min IS NULL) = (quiet_to_min IS NULL)),
    CHECK (quiet_from_min BETWEEN 0 AND 1439 AND quiet_to_min BETWEEN 0 AND 1439)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON notice_preference TO mwimule_app;

-- Look-ups before the company is known.
CREATE FUNCTION due_notices(now_ms bigint, most integer)
    RETURNS TABLE (company_id uuid, notice_id uuid, channel text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id, notice_id, channel FROM notice_delivery
          WHERE next_try_at_ms <= now_ms ORDER BY next_try_at_ms LIMIT most $$;
CREATE FUNCTION notice_of_gateway(wanted text)
    RETURNS TABLE (company_id uuid, notice_id uuid, channel text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id, notice_id, channel FROM notice_delivery WHERE gateway_id = wanted $$;
CREATE FUNCTION inbox_of_person(wanted uuid, before_no bigint, unread boolean, most bigint)
    RETURNS TABLE (company_id uuid, notice_id uuid, notice_no bigint, event_id uuid, kind text,
        subject text, language text, text_sealed bytea, created_at_ms bigint, read_at_ms bigint,
        company text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT n.company_id, n.notice_id, n.notice_no, n.event_id, n.kind, n.subject,
              n.language, n.text_sealed, n.created_at_ms, n.read_at_ms, c.name
          FROM notice n JOIN company c ON c.company_id = n.company_id
          WHERE n.person_id = wanted AND n.notice_no < before_no
              AND (NOT unread OR n.read_at_ms IS NULL)
          ORDER BY n.notice_no DESC LIMIT most $$;
CREATE FUNCTION company_of_notice(wanted uuid, reader uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
    AS $$ SELECT company_id FROM notice WHERE notice_id = wanted AND person_id = reader $$;

SELECT protect_tenant_tables();

DO $$
DECLARE
    looked_up text;
BEGIN
    FOREACH looked_up IN ARRAY ARRAY['notice', 'notice_delivery'] LOOP
        EXECUTE format(
            'CREATE POLICY owner_look_up ON %I FOR SELECT TO %I USING (true)', looked_up, current_user
        );
    END LOOP;
END
$$;
