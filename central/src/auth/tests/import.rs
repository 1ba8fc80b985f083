//! People of an older system.

use super::client::{PASSWORD, count, sign_in};
use crate::auth::admin::import;
use crate::clock;
use crate::csvio::Tally;
use crate::http::tests::site::Site;

async fn run(site: &Site, text: &str, how: (Option<domain::ids::CompanyId>, bool)) -> Tally {
    let api = &site.api;
    let done = import(&api.db, &api.vault, text.as_bytes(), how, clock::now()).await;
    done.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_an_older_system_sign_in_with_the_passwords_they_have() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    let hash = bcrypt::hash(PASSWORD, 5).unwrap();
    let file = format!(
        "name,email,phone,password_hash,roles\n\
         Mutale,mutale@example.com,,{hash},clerk\n\
         Chanda,,+260 97 0000002,,\n"
    );
    let dry = run(&site, &file, (Some(company), true)).await;
    assert_eq!((dry.created, dry.faults.len()), (2, 0), "{dry:?}");
    assert_eq!(count(&site, "SELECT count(*) FROM person").await, 0);
    let done = run(&site, &file, (Some(company), false)).await;
    assert_eq!((done.created, done.unchanged), (2, 0));
    let again = run(&site, &file, (Some(company), false)).await;
    assert_eq!((again.created, again.unchanged), (0, 2));
    let begun = sign_in(&site, "mutale@example.com", PASSWORD).await;
    assert_eq!(begun.json["company"], company.to_string());
    assert_eq!(sign_in(&site, "+260970000002", PASSWORD).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_wrong_row_is_taken_over_in_no_part() {
    let site = Site::new().await;
    let file = "name,email,phone,password_hash,roles,verified\n\
        Right,right@example.com,,,,\n\
        ,empty@example.com,,,,\n\
        Nobody,,,,,\n\
        Wrong,not an address,,,,\n\
        Local,,0970000001,,,\n\
        Plain,plain@example.com,,hunter22,,\n\
        Costly,costly@example.com,,$2b$31$abcdefghijklmnopqrstuuO6w0vqJk1p1hNLBLBBsgj0yq5rYw1Fi,,\n\
        King,king@example.com,,,king,\n\
        Clerk,clerk@example.com,,,clerk,\n\
        Maybe,maybe@example.com,,,,perhaps\n\
        Twice,RIGHT@example.com,,,,\n";
    let done = run(&site, file, (None, false)).await;
    let rows: Vec<usize> = done.faults.iter().map(|f| f.row).collect();
    assert_eq!(rows, (3..=12).collect::<Vec<_>>(), "{done:?}");
    assert_eq!(count(&site, "SELECT count(*) FROM person").await, 0);
}
