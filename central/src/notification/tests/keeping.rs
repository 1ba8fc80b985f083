//! What is kept, what goes, and what is too old to be told.

use domain::ids::CompanyId;
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use crate::broker::Message;
use crate::clock;
use crate::http::tests::site::Site;
use crate::notification::keep::{BATCH, prune};
use crate::notification::plan::{PlanError, plan};
use crate::worker::Progress;

const DAY_MS: i64 = 86_400_000;

/// Messages from `days` ago: with a delivered text, in the inbox only, and with mail that waits.
const NOTICES: &str = "WITH w AS (
        SELECT gen_random_uuid() AS id, gen_random_uuid() AS event, way
        FROM UNNEST(ARRAY['delivered', 'inbox', 'waiting']) AS way
    ), n AS (
        INSERT INTO notice (company_id, notice_id, event_id, recipient_blind, kind, subject,
            language, text_sealed, created_at_ms)
        SELECT $1, id, event, '', 'ticket_sold', way, 'en', '', $2 FROM w
    )
    INSERT INTO notice_delivery (company_id, notice_id, channel, address_sealed, state,
        next_try_at_ms)
    SELECT $1, id, 'sms', '', way, CASE way WHEN 'waiting' THEN $2 END
    FROM w WHERE way <> 'inbox'";

/// Events of that time, each with what becomes of it as its kind, and their deliveries.
const EVENTS: &str = "WITH o AS (
        INSERT INTO outbox (company_id, event_id, kind, subject, body, at_ms, published,
            webhooks_done)
        SELECT $1, gen_random_uuid(), kind, 's', '{}', $2, kind <> 'unpublished',
            kind <> 'unseen'
        FROM UNNEST(ARRAY['done', 'unpublished', 'unseen', 'delivered', 'waiting']) AS kind
        RETURNING event_no, event_id, kind
    )
    INSERT INTO webhook_delivery (company_id, endpoint_id, event_no, event_id, kind, state,
        next_try_at_ms, created_at_ms)
    SELECT $1, e.endpoint_id, o.event_no, o.event_id, o.kind, o.kind,
        CASE o.kind WHEN 'waiting' THEN 4000000000000 END, $2
    FROM o, webhook_endpoint e WHERE o.kind IN ('delivered', 'waiting')";

struct Scene {
    site: Site,
    company: CompanyId,
    office: String,
    now: Instant,
}

impl Scene {
    async fn new() -> Self {
        let site = Site::new().await;
        let (company, office) = site.company("A").await;
        let now = clock::now();
        let scene = Self {
            site,
            company,
            office,
            now,
        };
        let endpoint = "INSERT INTO webhook_endpoint (company_id, endpoint_id, url, description,
                secret_sealed, since_ms)
            VALUES ($1, gen_random_uuid(), 'https://example.com', '', '', $2)";
        scene.put(endpoint, 0).await;
        scene
    }

    /// Writes rows of so many days ago.
    async fn put(&self, sql: &'static str, days: i64) {
        let mut tx = self.site.db.db.tenant(self.company).await.unwrap();
        sqlx::query(sql)
            .bind(self.company.0)
            .bind(self.now.plus_ms(-days * DAY_MS).0)
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// What is left, like `done:2`.
    async fn left(&self, sql: &'static str) -> String {
        let mut owner = self.site.db.owner().await.unwrap();
        let left: Option<String> = sqlx::query_scalar(sql).fetch_one(&mut owner).await.unwrap();
        left.unwrap_or_default()
    }

    async fn prune(&self) -> Progress {
        prune(&self.site.db.db, self.now).await.unwrap()
    }

    async fn keep(&self, days: i32) -> u16 {
        let bearer = format!("Bearer {}", self.office);
        let headers = [("authorization", bearer.as_str()), ("if-match", "*")];
        let wanted = json!({ "keep_days": days });
        let path = "/notifications/settings";
        self.site.put(path, &headers, &wanted).await.status
    }
}

const NOTICES_LEFT: &str = "SELECT string_agg(t, ' ' ORDER BY t) FROM (
    SELECT subject || ':' || count(*) AS t FROM notice GROUP BY subject) x";
const EVENTS_LEFT: &str = "SELECT string_agg(t, ' ' ORDER BY t) FROM (
    SELECT kind || ':' || count(*) AS t FROM outbox WHERE subject = 's' GROUP BY kind) x";
const DELIVERIES_LEFT: &str = "SELECT string_agg(t, ' ' ORDER BY t) FROM (
    SELECT kind || ':' || count(*) AS t FROM webhook_delivery GROUP BY kind) x";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_company_keeps_no_longer_goes_and_what_is_under_way_stays() {
    let scene = Scene::new().await;
    for days in [29, 31] {
        scene.put(NOTICES, days).await;
        scene.put(EVENTS, days).await;
    }
    assert_eq!(scene.prune().await, Progress::Idle);
    assert_eq!(
        scene.left(NOTICES_LEFT).await,
        "delivered:2 inbox:2 waiting:2",
        "400 days unless somebody says otherwise"
    );
    assert_eq!(scene.keep(29).await, 422);
    assert_eq!(scene.keep(30).await, 200);
    assert_eq!(scene.prune().await, Progress::Idle);
    assert_eq!(
        scene.left(NOTICES_LEFT).await,
        "delivered:1 inbox:1 waiting:2"
    );
    let ways = "SELECT string_agg(state, ' ' ORDER BY state) FROM notice_delivery";
    assert_eq!(scene.left(ways).await, "delivered waiting waiting");
    assert_eq!(scene.left(DELIVERIES_LEFT).await, "delivered:1 waiting:2");
    assert_eq!(
        scene.left(EVENTS_LEFT).await,
        "delivered:1 done:1 unpublished:2 unseen:2 waiting:2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heap_of_old_messages_goes_in_bounded_batches() {
    let scene = Scene::new().await;
    let heap = "INSERT INTO notice (company_id, notice_id, event_id, recipient_blind, kind,
            subject, language, text_sealed, created_at_ms)
        SELECT $1, gen_random_uuid(), gen_random_uuid(), '', 'ticket_sold', 's', 'en', '', $2
        FROM generate_series(1, 1001)";
    scene.put(heap, 500).await;
    let count = "SELECT count(*)::text FROM notice";
    assert_eq!(scene.prune().await, Progress::More);
    assert_eq!(scene.left(count).await, (1_001 - BATCH).to_string());
    assert_eq!(scene.prune().await, Progress::Idle);
    assert_eq!(scene.left(count).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_older_than_what_is_kept_is_told_to_nobody() {
    let scene = Scene::new().await;
    let message = |days: i64| Message {
        event: Uuid::from_u128(7),
        company: scene.company,
        kind: "booking.confirmed".to_owned(),
        subject: "booking:7F3K-22QX".to_owned(),
        body: json!({}),
        at_ms: scene.now.0 - days * DAY_MS,
    };
    let api = &scene.site.api;
    let young = plan(api, &message(399), scene.now).await;
    assert!(matches!(young, Err(PlanError::Unreadable(_))), "{young:?}");
    plan(api, &message(401), scene.now).await.unwrap();
}
