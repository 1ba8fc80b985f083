//! A network that goes out as a feed and comes back is the same network.

mod drawn;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use domain::codec::from_cbor;
use domain::ids::{CompanyId, TripId};
use domain::trip::Trip;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::*;
use crate::audit::Actor;
use crate::company::records;
use crate::csvio;
use crate::gtfs::export::{files, zipped};

/// Everything that a passenger or a seller can see of a network, in a fixed order.
const LISTS: [&str; 6] = [
    "SELECT coalesce(jsonb_agg(to_jsonb(t) - 'company_id' - 'version' ORDER BY t.stop_code), '[]')
     FROM stop t WHERE company_id = $1",
    "SELECT coalesce(jsonb_agg(to_jsonb(t) - 'company_id' - 'version' ORDER BY t.route_code), '[]')
     FROM route t WHERE company_id = $1",
    "SELECT coalesce(jsonb_agg(to_jsonb(t) - 'company_id' ORDER BY t.route_code, t.stop_no), '[]')
     FROM route_stop t WHERE company_id = $1",
    "SELECT coalesce(jsonb_agg(to_jsonb(t) - 'company_id' ORDER BY t.layout_id), '[]')
     FROM (SELECT DISTINCT ON (layout_id) * FROM seat_layout WHERE company_id = $1
           ORDER BY layout_id, version DESC) t",
    "SELECT coalesce(jsonb_agg(jsonb_build_array(t.fare_table_id, t.currency, t.body)
                               ORDER BY t.fare_table_id), '[]')
     FROM fare_table t WHERE company_id = $1",
    "SELECT coalesce(jsonb_agg(to_jsonb(t) - 'company_id' - 'version' ORDER BY t.pattern_key), '[]')
     FROM pattern_shape t WHERE company_id = $1",
];

struct Feed {
    folder: PathBuf,
    zone: &'static str,
    from: &'static str,
    days: u16,
}

impl Feed {
    fn options(&self) -> Options {
        Options {
            days: self.days,
            include_route_types: [4].into(),
            ..Options::starting(self.from.parse().unwrap())
        }
    }

    fn zambia() -> Self {
        Self {
            folder: fixture(),
            zone: "Africa/Lusaka",
            from: "2034-05-02",
            days: 3,
        }
    }
}

struct Hub {
    db: TestDb,
    keys: HubKeys,
}

impl Hub {
    async fn new() -> Self {
        Self {
            db: TestDb::new().await.unwrap(),
            keys: HubKeys::from_bytes(&[7; 32], [8; 32]),
        }
    }

    async fn company(&self, name: &str, zone: &str) -> CompanyId {
        let wanted = NewCompany {
            name: name.to_owned(),
            zone: zone.parse().unwrap(),
            currency: "ZMW".parse().unwrap(),
        };
        create(&self.db.db, &self.keys, &wanted, NOW).await.unwrap()
    }

    async fn export(&self, company: CompanyId, feed: &Feed) -> Vec<u8> {
        let mut tx = self.db.db.tenant(company).await.unwrap();
        let from = feed.from.parse().unwrap();
        let network = network(&mut tx, from, feed.days).await.unwrap();
        zipped(&files(&network)).unwrap()
    }

    /// Every list, then every trip as it is but for its number.
    async fn shown(&self, company: CompanyId) -> (Vec<Value>, Vec<String>) {
        let mut owner = self.db.owner().await.unwrap();
        let mut lists = vec![];
        for sql in LISTS {
            let list: Value = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(company.0)
                .fetch_one(&mut owner)
                .await
                .unwrap();
            lists.push(list);
        }
        type Row = (String, String, String, Vec<i64>, Vec<u8>);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT pattern_key, run, route_code, boarding_closes_ms, body FROM trip
             WHERE company_id = $1 ORDER BY pattern_key, service_date, run",
        )
        .bind(company.0)
        .fetch_all(&mut owner)
        .await
        .unwrap();
        let trips = rows.into_iter().map(|(pattern, run, route, closes, body)| {
            let trip: Trip = from_cbor(&body).unwrap();
            let trip = Trip {
                id: TripId(0),
                ..trip
            };
            format!("{pattern} {run} {route} {closes:?} {trip:?}")
        });
        (lists, trips.collect())
    }

    async fn last_change(&self) -> i64 {
        let sql = "SELECT sum(last_change)::bigint FROM bucket";
        self.db.number(sql).await.unwrap()
    }

    /// Exports the first company, imports that into a second one and into the first again.
    async fn round_trip(&self, first: CompanyId, feed: &Feed) -> Vec<u8> {
        let zip = self.export(first, feed).await;
        let file = tempfile::NamedTempFile::with_suffix(".zip").unwrap();
        std::fs::write(file.path(), &zip).unwrap();
        let options = Options {
            include_route_types: [].into(),
            ..feed.options()
        };
        let (plan, report) = gtfs::import(file.path(), &options).unwrap();
        let refused = report.trips.iter().filter(|t| !t.notes.is_empty());
        assert_eq!(refused.count(), 0, "{:?}", report.trips);
        let unclean: Vec<_> = report
            .lines
            .iter()
            .filter(|l| l.note.code != "bad_position")
            .collect();
        assert!(unclean.is_empty(), "{unclean:?}");

        let second = self.company("Second", feed.zone).await;
        apply(&self.db.db, second, &plan).await.unwrap();
        let (of_first, of_second) = (self.shown(first).await, self.shown(second).await);
        for ((one, other), sql) in of_first.0.iter().zip(&of_second.0).zip(LISTS) {
            let rows = |list: &Value| list.as_array().cloned().unwrap_or_default();
            let (one, other) = (rows(one), rows(other));
            let differs = one.iter().zip(&other).find(|(a, b)| a != b);
            assert_eq!((differs, one.len()), (None, other.len()), "{sql}");
        }
        let differs = of_first.1.iter().zip(&of_second.1).find(|(a, b)| a != b);
        assert_eq!((differs, of_first.1.len()), (None, of_second.1.len()));
        assert!(!of_first.1.is_empty());

        let changes = self.last_change().await;
        let again = apply(&self.db.db, first, &plan).await.unwrap();
        for counts in [
            again.stops,
            again.layouts,
            again.fare_tables,
            again.routes,
            again.shapes,
        ] {
            assert_eq!((counts.created, counts.updated), (0, 0), "{again:?}");
        }
        let unchanged = TripChanges {
            unchanged: of_first.1.len(),
            ..TripChanges::default()
        };
        assert_eq!(again.trips, unchanged);
        assert_eq!(self.last_change().await, changes);
        assert!(self.shown(first).await == of_first, "nothing has changed");
        assert_eq!(
            self.export(first, feed).await,
            zip,
            "the same network, the same bytes"
        );
        zip
    }
}

async fn imported(hub: &Hub, feed: &Feed) -> CompanyId {
    let first = hub.company("First", feed.zone).await;
    let (plan, _) = gtfs::import(&feed.folder, &feed.options()).unwrap();
    apply(&hub.db.db, first, &plan).await.unwrap();
    first
}

fn text_of(zip: &[u8], name: &str) -> String {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zip)).unwrap();
    let mut text = String::new();
    let mut entry = archive.by_name(name).unwrap();
    entry.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_zambian_network_comes_back_the_same() {
    let hub = Hub::new().await;
    let feed = Feed::zambia();
    let first = imported(&hub, &feed).await;
    let zip = hub.round_trip(first, &feed).await;
    assert_eq!(
        text_of(&zip, "calendar.txt").lines().nth(1),
        Some("S1,0,1,1,1,0,0,0,20340502,20340504")
    );
    assert_eq!(text_of(&zip, "calendar.txt").lines().count(), 2);
    assert_eq!(text_of(&zip, "calendar_dates.txt").lines().count(), 1);
    let times = text_of(&zip, "stop_times.txt");
    assert!(times.contains(",24:") || times.contains(",25:") || times.contains(",26:"));
    let rules = text_of(&zip, "fare_rules.txt");
    assert!(rules.contains("ZMW"), "{rules}");
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_of_strangers_come_back_the_same() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let feeds = [
        Feed {
            folder: here.join("../tests/fixtures/faulty-gtfs"),
            zone: "Africa/Lusaka",
            from: "2026-11-23",
            days: 14,
        },
        // A feed of Laotian coaches in another zone than its company, with headways and a ferry;
        // it lies beside some checkouts and is not ours to copy.
        Feed {
            folder: here.join("../../shared/data/laos-coaches-gtfs"),
            zone: "Asia/Vientiane",
            from: "2026-11-23",
            days: 10,
        },
    ];
    for feed in feeds.iter().filter(|f| f.folder.exists()) {
        let hub = Hub::new().await;
        let first = imported(&hub, feed).await;
        hub.round_trip(first, feed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roads_come_back_as_they_are_and_a_second_import_changes_none() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let zambia = Feed::zambia();
    let laos = Feed {
        folder: here.join("../../shared/data/laos-coaches-gtfs"),
        zone: "Asia/Vientiane",
        from: "2026-11-23",
        days: 10,
    };
    for feed in [zambia, laos].iter().filter(|f| f.folder.exists()) {
        let hub = Hub::new().await;
        let drawn = drawn::with_roads(&feed.folder);
        let feed = Feed {
            folder: drawn.path().to_owned(),
            ..*feed
        };
        let first = hub.company("First", feed.zone).await;
        let (plan, report) = gtfs::import(&feed.folder, &feed.options()).unwrap();
        let refused = report.lines.iter().filter(|l| l.file == "shapes.txt");
        assert_eq!(refused.count(), 0);
        assert_eq!(
            plan.shapes.len(),
            plan.patterns.len(),
            "every road is known"
        );
        let applied = apply(&hub.db.db, first, &plan).await.unwrap();
        assert_eq!(applied.shapes.created, plan.shapes.len());
        let again = apply(&hub.db.db, first, &plan).await.unwrap();
        assert_eq!(again.shapes.unchanged, plan.shapes.len());
        let zip = hub.round_trip(first, &feed).await;
        let shapes = text_of(&zip, "shapes.txt");
        assert!(shapes.lines().count() > 10 * plan.shapes.len());
        // Moved by hand, and put right by the next import.
        let sql = "UPDATE pattern_shape SET stop_along_m[1] = 7";
        let mut owner = hub.db.owner().await.unwrap();
        sqlx::query(sql).execute(&mut owner).await.unwrap();
        let mended = apply(&hub.db.db, first, &plan).await.unwrap();
        assert_eq!(mended.shapes.updated, plan.shapes.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gtfs_cannot_say_comes_back_too() {
    let hub = Hub::new().await;
    let feed = Feed::zambia();
    let first = hub.company("First", feed.zone).await;
    let (mut plan, _) = gtfs::import(&feed.folder, &feed.options()).unwrap();
    // One run leaves ten minutes later on its last day, and not at all on its second.
    let mut later = plan.runs[0].clone();
    later.dates = vec![*plan.runs[0].dates.last().unwrap()];
    plan.runs[0].dates.truncate(1);
    for call in &mut later.calls {
        call.arrives_s += 600;
        call.departs_s += 600;
    }
    plan.runs.push(later);
    apply(&hub.db.db, first, &plan).await.unwrap();
    // A route that nothing runs on yet, with a double-decker, standing places and no fares.
    let mut tx = hub.db.db.tenant(first).await.unwrap();
    let files = [
        (
            "layouts",
            "layout,deck,row,seats\nDD,1,1,1A+w _ 1B\nDD,1,2,S1+=s S2+=s S3+=s\nDD,2,3,U1 U2 _\n",
        ),
        (
            "routes",
            "code,name,short_name,layout,colour,gtfs_type\nNEW,To be,N,DD,0b7a75,200\n",
        ),
        (
            "route_stops",
            "route,no,stop,arrives,departs,board\nNEW,1,LUN,0:00,0:00,yes\nNEW,2,KAF,1:00,1:05:30,no\nNEW,3,MAZ,30:00,,no\n",
        ),
    ];
    for (name, file) in files {
        let list = csv::list_named(name).unwrap();
        let tally = csvio::import(list, &mut tx, file.as_bytes(), Actor::System, NOW)
            .await
            .unwrap();
        assert!(tally.is_clean(), "{tally:?}");
    }
    let (_, moved): (i32, Stop) = records::locked(&mut tx, "LUN").await.unwrap();
    assert_eq!(moved.code, "LUN");
    tx.commit().await.unwrap();
    let zip = hub.round_trip(first, &feed).await;
    assert_eq!(text_of(&zip, "mwimule_trips.txt").lines().count(), 2);
    assert!(text_of(&zip, "calendar_dates.txt").lines().count() <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_trip_is_not_in_the_feed() {
    let hub = Hub::new().await;
    let feed = Feed::zambia();
    let first = imported(&hub, &feed).await;
    let before = hub.export(first, &feed).await;
    let mut tx = hub.db.db.tenant(first).await.unwrap();
    sqlx::query(
        "UPDATE trip SET state = 'cancelled' WHERE trip_id = (SELECT min(trip_id) FROM trip)",
    )
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let after = hub.export(first, &feed).await;
    let services = |zip: &[u8]| text_of(zip, "calendar.txt").lines().count();
    assert_eq!(services(&after), services(&before) + 1);
}
