//! The middleware over a real booking is tried from another language in `tests/system`; here is
//! what it refuses.

use axum::http::StatusCode;

use super::super::tests::site::{Site, booking};

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_body_that_is_none_is_a_problem_that_anybody_can_read() {
    let site = Site::new().await;
    for wrong in ["", "{}", "a.b.c.d.e", "eyJhbGciOiJub25lIn0....", "\u{e9}"] {
        let headers = [
            ("content-type", "application/jose"),
            ("idempotency-key", "k"),
        ];
        let answer = site.post("/bookings", &headers, wrong).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST.as_u16(), "{wrong}");
        assert_eq!(answer.problem(), "bad-jose", "{wrong}");
    }
    let large = "a".repeat(super::REQUEST_BYTES_MAX + 1);
    let headers = [("content-type", "application/jose")];
    let answer = site.post("/bookings", &headers, &large).await;
    assert_eq!(answer.problem(), "too-large");
    // Where bodies are never encrypted the type is simply another one.
    let body = booking(1, 1).to_string();
    let plain = [("content-type", "text/plain"), ("idempotency-key", "k")];
    let answer = site.post("/bookings", &plain, &body).await;
    assert_eq!(answer.problem(), "unsupported-media-type");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_to_encrypt_to_is_published_beside_those_of_tokens() {
    let site = Site::new().await;
    let set = site.get("/.well-known/jwks.json").await.json();
    let keys = set["keys"].as_array().unwrap();
    let of_use = |what: &str| keys.iter().filter(|k| k["use"] == what).count();
    assert!(of_use("sig") >= 1, "{set}");
    assert_eq!(of_use("enc"), 1, "{set}");
    let key = keys.iter().find(|k| k["use"] == "enc").unwrap();
    assert_eq!(
        (&key["crv"], &key["alg"]),
        (&"X25519".into(), &"ECDH-ES".into())
    );
}
