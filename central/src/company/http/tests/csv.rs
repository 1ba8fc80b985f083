use axum::http::Method;
use serde_json::{Value, json};

use super::desk::Desk;
use crate::company::csv::LISTS;

const LAYOUTS: &str = "layout,deck,row,seats\nDD,1,1,1A+w _ 1B\nDD,2,2,U1 U2 U3+=s\n";
const STOPS: &str =
    "\u{feff}code;name;zone\nA;\"Alpha; Main\";Africa/Lusaka\nS1;Stop 1;Africa/Lusaka\n";
const STATIONS: &str = "code,name,stop,phone\nK1,=SUM(A1),A,'+260970000001\n";
const BUSES: &str = "registration,layout,year\nbae 1,DD,2019\n";
const ROUTES: &str = "code,name,layout\nR,North,DD\n";
const ROUTE_STOPS: &str =
    "route,no,stop,arrives,departs,board\nR,10,A,0:00,,yes\nR,20,S1,1:30,1:35:30,no\n";

const FARES: &str = "table,from,to,class,fare_minor,currency,valid_from,valid_until\n\
    R,A,S1,adult,35000,ZMW,,\nR,A,S1,adult,40000,ZMW,2026-12-15,2027-01-10\n";
const DISCOUNTS: &str = "code,name,percent_bp,classes,routes,weekdays,channels,days_ahead_min\n\
    EARLY,Early bird,1000,adult prm,R,2 3,online,14\n";
const VOUCHERS: &str = "code,name,amount_minor,currency,uses_max,min_spend_minor\n\
    sunny26,Sunny days,5000,ZMW,500,20000\n";
const COMMISSIONS: &str = "kind,seller,percent_bp,amount_minor,currency,valid_from\n\
    agent,Mutinta,500,,,2026-12-01\nstation,A,,150,ZMW,\ncompany,,300,,,\n";
const SCHEDULES: &str = "code,route,run,departs,weekdays,bus,exceptions\n\
    R-0600,R,0600,06:00,1 2 5,BAE 1,2026-12-25 removed; 2026-12-26 added 08:00\n";

/// One file of each list, in an order in which they can come in.
const FILES: [(&str, &str); 11] = [
    ("layouts", LAYOUTS),
    ("stops", STOPS),
    ("stations", STATIONS),
    ("buses", BUSES),
    ("routes", ROUTES),
    ("route_stops", ROUTE_STOPS),
    ("fares", FARES),
    ("discounts", DISCOUNTS),
    ("vouchers", VOUCHERS),
    ("commission_rates", COMMISSIONS),
    ("schedules", SCHEDULES),
];

fn counts(answer: &Value) -> (u64, u64, u64) {
    let count = |name: &str| answer[name].as_u64().unwrap_or_else(|| panic!("{answer}"));
    (count("created"), count("updated"), count("unchanged"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_comes_in_goes_out_and_comes_in_again_unchanged() {
    let desk = Desk::new().await;
    for (list, file) in FILES {
        let path = format!("/csv/{list}");
        let dry = desk
            .send_csv(&format!("{path}?dry_run=true"), file)
            .await
            .json();
        assert_eq!(dry["written"], false, "{list}");
        let done = desk.send_csv(&path, file).await;
        assert_eq!(done.status, 200, "{list}: {}", done.text());
        let done = done.json();
        assert_eq!(
            (&done["written"], counts(&done)),
            (&json!(true), counts(&dry)),
            "{list}"
        );
        assert_ne!(counts(&done), (0, 0, 0), "{list}");

        let out = desk.get(&path).await;
        assert_eq!(
            (out.status, out.kind.as_str()),
            (200, "text/csv; charset=utf-8")
        );
        let again = desk.send_csv(&path, &out.text()).await.json();
        let (created, updated, unchanged) = counts(&again);
        assert_eq!((created, updated), (0, 0), "{list}: {again}");
        assert!(unchanged > 0, "{list}");
        assert_eq!(desk.get(&path).await.text(), out.text(), "{list}");
    }
    let stations = desk.get("/csv/stations").await.text();
    assert!(
        stations.contains("'=SUM(A1)") && stations.contains("'+260970000001"),
        "{stations}"
    );
    let station = desk.get("/stations/K1").await.json();
    assert_eq!(
        (&station["name"], &station["phone"]),
        (&json!("=SUM(A1)"), &json!("+260970000001"))
    );
    assert_eq!(desk.get("/stops/A").await.json()["name"], "Alpha; Main");
    assert_eq!(
        desk.get("/routes/R").await.json()["stops"][1]["departs_s"],
        5_730
    );
    assert_eq!(
        desk.get("/layouts/DD").await.json()["decks"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let mut files: Vec<&str> = FILES.iter().map(|(list, _)| *list).collect();
    let mut lists: Vec<&str> = LISTS.iter().map(|list| list.name()).collect();
    files.sort_unstable();
    lists.sort_unstable();
    assert_eq!(files, lists);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_fault_changes_nothing_and_names_every_faulty_row() {
    let desk = Desk::new().await;
    let file = "code,name,zone,lat\nA,Alpha,Africa/Lusaka,\nB,,Africa/Lusaka,\nC,Charlie,Lusaka,\n\
                D,Delta,Africa/Lusaka,north\nA,Again,Africa/Lusaka,\n";
    let dry = desk.send_csv("/csv/stops?dry_run=true", file).await;
    assert_eq!(dry.status, 200);
    let refused = desk.send_csv("/csv/stops", file).await;
    assert_eq!(refused.problem(), (422, "csv-rows".into()));
    for answer in [dry.json(), refused.json()] {
        let faults = answer["faults"].as_array().unwrap();
        let found: Vec<_> = faults
            .iter()
            .map(|f| (f["row"].as_u64(), f["column"].as_str()))
            .collect();
        let wanted = [
            (Some(3), Some("name")),
            (Some(5), Some("lat")),
            (Some(4), Some("zone")),
            (Some(6), Some("")),
        ];
        assert_eq!(found, wanted, "{answer}");
        assert!(
            faults
                .iter()
                .all(|f| f["remedy"].as_str().is_some_and(|r| !r.is_empty()))
        );
    }
    assert_eq!(desk.get("/stops/A").await.status, 404);
    assert_eq!(desk.audited("stop.create").await, 0);
    for (list, file, column) in [
        ("stations", "code,name,stop\nK,K,none\n", "stop"),
        ("buses", "registration,layout\nB,none\n", "layout"),
        ("buses", "registration,layout,state\nB,none,lost\n", "state"),
        ("routes", "code,name,layout\nR,R,none\n", "layout"),
        (
            "route_stops",
            "route,no,stop,arrives\nnone,1,S1,0:00\n",
            "route",
        ),
        ("layouts", "layout,row,seats\nL,2,1A\n", "seats"),
        ("layouts", "layout,row,seats\nL,1,1A 1A\n", "seats"),
    ] {
        let refused = desk.send_csv(&format!("/csv/{list}"), file).await;
        assert_eq!(refused.problem(), (422, "csv-rows".into()), "{file}");
        assert_eq!(refused.json()["faults"][0]["column"], column, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_none_and_callers_who_may_not_are_refused() {
    let desk = Desk::new().await;
    for (file, kind) in [
        ("", "csv-file"),
        ("code\nA\n", "csv-file"),
        ("a,b\n", "csv-file"),
    ] {
        let refused = desk.send_csv("/csv/stops", file).await;
        assert_eq!(refused.problem(), (422, kind.into()), "{file}");
    }
    let large = format!("code,name,zone\n{}", "x".repeat(5 << 20));
    assert_eq!(desk.send_csv("/csv/stops", &large).await.problem().0, 413);
    let as_json = desk.post("/csv/stops", &json!({})).await;
    assert_eq!(as_json.problem().0, 415);
    assert_eq!(desk.send_csv("/csv/nothing", STOPS).await.problem().0, 404);
    assert_eq!(desk.get("/csv/nothing").await.problem().0, 404);
    let reader = format!("Bearer {}", desk.reader);
    let headers = [
        ("authorization", reader.as_str()),
        ("content-type", "text/csv"),
    ];
    let refused = desk.ask(Method::POST, "/csv/stops", &headers, STOPS).await;
    assert_eq!(refused.problem().0, 403);
    assert_eq!(desk.get_as(&desk.reader, "/csv/stops").await.status, 200);
    assert!(
        !desk
            .get_as(&desk.foreign, "/csv/stations")
            .await
            .text()
            .contains("K1")
    );
    let lists = desk.get("/csv").await.json();
    assert_eq!(lists.as_array().unwrap().len(), LISTS.len());
    assert_eq!(lists[0]["columns"][0]["name"], "code");
}
