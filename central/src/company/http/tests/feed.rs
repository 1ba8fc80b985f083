use super::desk::Desk;

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_is_for_those_who_may_see_the_network() {
    let desk = Desk::new().await;
    desk.company.trip("one", 2, 4).await.unwrap();
    let path = "/gtfs.zip?from=2096-10-01&days=3";
    let feed = desk.get_as(&desk.reader, path).await;
    assert_eq!((feed.status, feed.kind.as_str()), (200, "application/zip"));
    assert!(feed.bytes.starts_with(b"PK"));
    let other = desk.get_as(&desk.foreign, path).await;
    assert_eq!(other.status, 200);
    assert_ne!(
        other.bytes, feed.bytes,
        "another company's feed has no trip of ours"
    );
    assert_eq!(desk.get("/gtfs.zip").await.status, 200);
    assert_eq!(desk.get_as("mwt_00", path).await.problem().0, 401);
    for bad in ["from=tomorrow", "days=0", "days=401", "days=x", "day=1"] {
        let refused = desk.get(&format!("/gtfs.zip?{bad}")).await;
        assert_eq!(refused.problem().0, 400, "{bad}");
    }
}
