//! The ledger over HTTP.

use super::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn an_accountant_reads_corrects_and_exports_the_ledger() {
    let site = Site::new().await;
    let (_, token) = site.company("A").await;
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", "adjust-1"),
    ];
    let body = r#"{"currency":"ZMW","reason":"Deposit slip 4711","lines":[
        {"kind":"bank","amount_minor":45000},{"kind":"office_cash","amount_minor":-45000}]}"#;
    let made = site.post("/ledger/adjustments", &headers, body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let again = site.post("/ledger/adjustments", &headers, body).await;
    assert_eq!(again.text, made.text);
    let accounts = site
        .get_as(&token, "/ledger/accounts?kind=bank")
        .await
        .json();
    assert_eq!(accounts["items"][0]["balance_minor"], 45_000);
    let number = accounts["items"][0]["account"].as_i64().unwrap();
    let lines = format!("/ledger/accounts/{number}/postings?limit=1");
    let lines = site.get_as(&token, &lines).await.json();
    assert_eq!(lines["items"][0]["reason"], "Deposit slip 4711");
    let span = format!("/ledger/accounts/{number}/statement?from=2020-01-01&to=2090-01-01");
    let statement = site.get_as(&token, &span).await.json();
    assert_eq!(statement["closing_minor"], 45_000);
    let csv = site
        .get_as(&token, "/ledger/trial-balance?format=csv")
        .await;
    assert_eq!(csv.content_type, "text/csv; charset=utf-8");
    assert!(
        csv.text.starts_with("currency,kind,debit_minor"),
        "{}",
        csv.text
    );
    assert!(
        csv.text.contains("ZMW,office_cash,0,45000,-45000"),
        "{}",
        csv.text
    );
    for (path, status) in [
        ("/ledger/trial-balance?format=pdf", 400),
        ("/ledger/trial-balance?on=soon", 400),
        ("/ledger/accounts/999999/postings", 404),
        ("/ledger/accounts/1/postings?after=x_1", 400),
        ("/ledger/parties?after=x", 400),
    ] {
        assert_eq!(site.get_as(&token, path).await.status, status, "{path}");
    }
    let future = r#"{"from":"2090-01-01","to":"2090-01-31","reason":"too early"}"#;
    let refused = site.post("/ledger/periods", &headers, future).await;
    assert_eq!(refused.problem(), "unprocessable");
}
