//! Tokens that are malformed, ended, signed again, confused about their algorithm, or replayed.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::client::{PASSWORD, account, post, sign_in};
use crate::access::Role;
use crate::auth::keyring::thumbprint;
use crate::clock;
use crate::http::tests::site::Site;
use crate::testing::{TestPerson, person_with};

/// How many there have to be.
const AT_LEAST: usize = 40;

struct Forge {
    kid: String,
    key: SigningKey,
    header: Value,
    claims: Value,
    good: String,
}

fn encoded(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

fn signed(key: &SigningKey, header: &str, claims: &str) -> String {
    let message = format!("{header}.{claims}");
    let signature = key.sign(message.as_bytes()).to_bytes();
    format!("{message}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn maced(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(message.as_bytes());
    let tag = mac.finalize().into_bytes();
    format!("{message}.{}", BASE64URL_NOPAD.encode(&tag))
}

fn with(value: &Value, member: &str, changed: Value) -> Value {
    let mut value = value.clone();
    value[member] = changed;
    value
}

fn without(value: &Value, member: &str) -> Value {
    let mut value = value.clone();
    value.as_object_mut().unwrap().remove(member).unwrap();
    value
}

impl Forge {
    async fn new(site: &Site, person: &TestPerson) -> Self {
        let api = &site.api;
        let ring = api
            .auth
            .keyring(&api.db, &api.vault, clock::now())
            .await
            .unwrap();
        let key = ring.signer(clock::now()).unwrap();
        let part = |n: usize| {
            let part = person.token.split('.').nth(n).unwrap();
            let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).unwrap();
            serde_json::from_slice::<Value>(&bytes).unwrap()
        };
        Self {
            kid: key.kid.clone(),
            key: key.secret.clone(),
            header: part(0),
            claims: part(1),
            good: person.token.clone(),
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        signed(&self.key, &encoded(header), &encoded(claims))
    }

    fn headed(&self, member: &str, value: Value) -> String {
        self.sign(&with(&self.header, member, value), &self.claims)
    }

    fn claiming(&self, member: &str, value: Value) -> String {
        self.sign(&self.header, &with(&self.claims, member, value))
    }

    fn malformed(&self) -> Vec<(&'static str, String)> {
        let parts: Vec<&str> = self.good.split('.').collect();
        let (header, claims, tag) = (parts[0], parts[1], parts[2]);
        let mut flipped = BASE64URL_NOPAD.decode(tag.as_bytes()).unwrap();
        flipped[7] ^= 1;
        let latin = BASE64URL_NOPAD.encode(b"{\"sub\": \"\xff\"}");
        vec![
            ("nothing", String::new()),
            ("one part", "abc".to_owned()),
            ("two parts", format!("{header}.{claims}")),
            ("three dots", "...".to_owned()),
            ("no signature", format!("{header}.{claims}.")),
            ("four parts", format!("{}.{tag}", self.good)),
            ("five parts, as a JWE", format!("{}.{tag}.{tag}", self.good)),
            ("a dot before", format!(".{}", self.good)),
            (
                "a flipped bit",
                format!("{header}.{claims}.{}", BASE64URL_NOPAD.encode(&flipped)),
            ),
            (
                "half a signature",
                format!("{header}.{claims}.{}", &tag[..40]),
            ),
            ("padding", format!("{header}.{claims}.{tag}==")),
            (
                "another alphabet",
                format!("{header}.{claims}.{}", BASE64.encode(&flipped)),
            ),
            (
                "hexadecimal",
                format!("{header}.{claims}.{}", HEXLOWER.encode(&flipped)),
            ),
            ("a blank inside", format!("{header}.{claims}. {tag}")),
            ("too long", format!("{header}.{}.{tag}", "A".repeat(6000))),
            (
                "claims of another kind",
                signed(&self.key, header, &encoded(&json!([1, 2]))),
            ),
            (
                "claims that are no JSON",
                signed(&self.key, header, "bm90IGpzb24"),
            ),
            (
                "claims that are no UTF-8",
                signed(&self.key, header, &latin),
            ),
            ("no claims", signed(&self.key, header, &encoded(&json!({})))),
            (
                "a header that is no JSON",
                signed(&self.key, "bm90IGpzb24", claims),
            ),
            ("an API key", format!("mwt_{}", "00".repeat(32))),
        ]
    }

    fn confused(&self) -> Vec<(&'static str, String)> {
        let public = self.key.verifying_key();
        let x = BASE64URL_NOPAD.encode(public.as_bytes());
        let der = [
            &b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"[..],
            public.as_bytes(),
        ];
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            BASE64.encode(&der.concat())
        );
        let alg = |word: &str| with(&self.header, "alg", json!(word));
        let unsigned = format!("{}.{}.", encoded(&alg("none")), encoded(&self.claims));
        let twice = format!(
            r#"{{"typ":"at+jwt","alg":"none","alg":"EdDSA","kid":"{}"}}"#,
            self.kid
        );
        let twice = BASE64URL_NOPAD.encode(twice.as_bytes());
        vec![
            ("alg none, unsigned", unsigned),
            ("alg none, signed", self.sign(&alg("none"), &self.claims)),
            ("alg None", self.sign(&alg("None"), &self.claims)),
            ("alg NONE", self.sign(&alg("NONE"), &self.claims)),
            (
                "HS256 by the key",
                maced(public.as_bytes(), &alg("HS256"), &self.claims),
            ),
            (
                "HS256 by its text",
                maced(x.as_bytes(), &alg("HS256"), &self.claims),
            ),
            (
                "HS256 by its PEM",
                maced(pem.as_bytes(), &alg("HS256"), &self.claims),
            ),
            (
                "EdDSA by HMAC",
                maced(public.as_bytes(), &self.header, &self.claims),
            ),
            ("alg HS512", self.sign(&alg("HS512"), &self.claims)),
            ("alg RS256", self.sign(&alg("RS256"), &self.claims)),
            ("alg ES256", self.sign(&alg("ES256"), &self.claims)),
            ("alg PS256", self.sign(&alg("PS256"), &self.claims)),
            ("alg eddsa", self.sign(&alg("eddsa"), &self.claims)),
            ("alg a number", self.headed("alg", json!(-8))),
            (
                "no alg",
                self.sign(&without(&self.header, "alg"), &self.claims),
            ),
            (
                "two algs",
                signed(&self.key, &twice, &encoded(&self.claims)),
            ),
        ]
    }

    fn of_another_key(&self) -> Vec<(&'static str, String)> {
        let thief = SigningKey::from_bytes(&[66; 32]);
        let own = thumbprint(&thief.verifying_key());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519",
            "x": BASE64URL_NOPAD.encode(thief.verifying_key().as_bytes()) });
        let by_thief = |header: &Value| signed(&thief, &encoded(header), &encoded(&self.claims));
        let named = with(&self.header, "kid", json!(own));
        vec![
            ("signed again", by_thief(&self.header)),
            ("its own kid", by_thief(&named)),
            (
                "no kid",
                self.sign(&without(&self.header, "kid"), &self.claims),
            ),
            ("a kid of nobody", self.headed("kid", json!("nobody"))),
            (
                "a kid that is a path",
                self.headed("kid", json!("../../../dev/null")),
            ),
            (
                "a kid that is SQL",
                self.headed("kid", json!("x' OR '1'='1")),
            ),
            (
                "its own jwk",
                by_thief(&with(&self.header, "jwk", jwk.clone())),
            ),
            ("its own jwk and kid", by_thief(&with(&named, "jwk", jwk))),
            (
                "a jku",
                by_thief(&with(&self.header, "jku", json!("https://x.example/jwks"))),
            ),
            (
                "a jku, signed well",
                self.headed("jku", json!("https://x.example/jwks")),
            ),
            (
                "an x5u",
                self.headed("x5u", json!("https://x.example/cert")),
            ),
            ("an x5c", self.headed("x5c", json!(["MIIB"]))),
            ("a crit", self.headed("crit", json!(["exp"]))),
            ("an empty crit", self.headed("crit", json!([]))),
            ("a b64", self.headed("b64", json!(false))),
            ("a zip", self.headed("zip", json!("DEF"))),
            ("a cty", self.headed("cty", json!("JWT"))),
        ]
    }

    fn misclaimed(&self) -> Vec<(&'static str, String)> {
        let now = clock::now().as_secs();
        let typ = |word: &str| self.headed("typ", json!(word));
        let lacking = |member: &str| self.sign(&self.header, &without(&self.claims, member));
        let nobody = "00000000-0000-4000-8000-000000000000";
        vec![
            ("typ JWT", typ("JWT")),
            ("typ of another use", typ("logout+jwt")),
            (
                "no typ",
                self.sign(&without(&self.header, "typ"), &self.claims),
            ),
            ("another iss", self.claiming("iss", json!("urn:other:hub"))),
            (
                "iss as a list",
                self.claiming("iss", json!(["urn:mwimule:hub", "urn:other"])),
            ),
            ("no iss", lacking("iss")),
            ("another aud", self.claiming("aud", json!("urn:other:api"))),
            (
                "aud as a list",
                self.claiming("aud", json!(["urn:mwimule:api", "urn:other"])),
            ),
            ("no aud", lacking("aud")),
            ("ended", self.claiming("exp", json!(now - 60))),
            ("ended a second ago", self.claiming("exp", json!(now - 1))),
            ("exp as text", self.claiming("exp", json!("9999999999"))),
            ("exp beyond numbers", self.claiming("exp", json!(1e300))),
            ("exp negative", self.claiming("exp", json!(-1))),
            ("no exp", lacking("exp")),
            ("not yet", self.claiming("nbf", json!(now + 3600))),
            ("no nbf", lacking("nbf")),
            ("another person", self.claiming("sub", json!(nobody))),
            ("a person who is text", self.claiming("sub", json!("admin"))),
            ("no sub", lacking("sub")),
            ("another session", self.claiming("sid", json!(nobody))),
            ("no sid", lacking("sid")),
            ("rights of yesterday", self.claiming("authority", json!(0))),
            ("no authority", lacking("authority")),
            (
                "a company that is text",
                self.claiming("company", json!("all")),
            ),
            (
                "roles that are text",
                self.claiming("roles", json!("super_admin")),
            ),
            ("no roles", lacking("roles")),
        ]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_token_that_this_hub_did_not_make_is_refused() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    let clerk = person_with(&site.api, company, Role::Clerk).await.unwrap();
    let forge = Forge::new(&site, &clerk).await;
    // What the forgeries differ from does count, made by the same hand.
    let same = forge.sign(&forge.header, &forge.claims);
    assert_eq!(site.get_as(&same, "/nodes").await.status, 200);
    let mut cases = forge.malformed();
    cases.extend(forge.confused());
    cases.extend(forge.of_another_key());
    cases.extend(forge.misclaimed());
    let mut refused = 0;
    for (name, token) in &cases {
        let answer = site.get_as(token, "/nodes").await;
        assert_eq!(answer.status, 401, "{name}: {token}: {answer:?}");
        assert_eq!(answer.problem(), "unauthorized", "{name}");
        refused += 1;
    }
    refused += replayed(&site, &forge).await;
    assert!(refused >= AT_LEAST, "{refused}");
    // None of it has harmed the one that counts.
    assert_eq!(site.get_as(&clerk.token, "/nodes").await.status, 200);
}

/// Tokens that were good once, or are good for something else.
async fn replayed(site: &Site, forge: &Forge) -> usize {
    account(site, "customer@example.com", Role::Customer, None).await;
    let begun = sign_in(site, "customer@example.com", PASSWORD).await;
    let (access, refresh) = (begun.text("access_token"), begun.text("refresh_token"));
    // A refresh token opens no route, an access token refreshes nothing.
    assert_eq!(site.get_as(&refresh, "/auth/session").await.status, 401);
    for wrong in [access.as_str(), &forge.good, "mwr_", "mwr_AAAA", "\u{0}"] {
        let body = json!({ "refresh_token": wrong });
        let refused = post(site, "/auth/refresh", body).await;
        // What is too long to be one is not looked up.
        let wanted = if wrong.len() > 200 {
            (422, "unprocessable")
        } else {
            (401, "refresh-refused")
        };
        assert_eq!(refused.problem(), wanted, "{wrong}");
    }
    // Signed out, both are nothing.
    let bearer = site.get_as(&access, "/auth/session").await;
    assert_eq!(bearer.status, 200);
    let out = super::client::send_as(site, &access, ("DELETE", "/auth/session"), None).await;
    assert_eq!(out.status, 204);
    assert_eq!(site.get_as(&access, "/auth/session").await.status, 401);
    let body = json!({ "refresh_token": refresh });
    let refused = post(site, "/auth/refresh", body).await;
    assert_eq!(refused.problem(), (401, "refresh-refused"));
    8
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_rotated_goes_on_counting_and_a_compromised_one_does_not() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    let clerk = person_with(&site.api, company, Role::Clerk).await.unwrap();
    let (api, now) = (&site.api, clock::now());
    let next = crate::auth::rotate(&api.db, &api.vault, false, now)
        .await
        .unwrap();
    api.auth.forget_keys();
    let set = site.get("/.well-known/jwks.json").await.json();
    let kids: Vec<&str> = set["keys"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|k| k["kid"].as_str())
        .collect();
    assert!(kids.contains(&next.kid.as_str()), "{kids:?}");
    assert_eq!(site.get_as(&clerk.token, "/nodes").await.status, 200);
    let rescue = crate::auth::rotate(&api.db, &api.vault, true, now)
        .await
        .unwrap();
    api.auth.forget_keys();
    assert_eq!(site.get_as(&clerk.token, "/nodes").await.status, 401);
    let fresh = person_with(&site.api, company, Role::Clerk).await.unwrap();
    assert_eq!(crate::auth::token::kid_of(&fresh.token), Some(rescue.kid));
    assert_eq!(site.get_as(&fresh.token, "/nodes").await.status, 200);
}
