//! One suite over every way out, and what gateways do wrong.

use std::sync::Arc;

use serde_json::json;
use sim_sms::{MailSink, Settings, Sms};

use crate::config::{Config, Secret};
use crate::notification::outlet::{Folder, Gateway, Letter, Outlet, Smtp};
use crate::notification::rules::Outcome;

fn letter(key: &str, to: &str) -> Letter {
    Letter {
        key: key.to_owned(),
        to: to.to_owned(),
        title: "Départ à six heures".to_owned(),
        text: "Siège 12A & 12B: départ 06:00.\n.\nKaribu!".to_owned(),
    }
}

/// A message is sent, and what arrived is what was sent.
async fn suite(outlet: &dyn Outlet, to: &str, arrived: impl AsyncFn() -> Vec<String>) {
    let sent = outlet.send(&letter("one", to)).await;
    assert!(matches!(sent, Outcome::Sent { .. }), "{sent:?}");
    let texts = arrived().await;
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(
        texts[0].contains("Siège 12A & 12B: départ 06:00.\n.\nKaribu!"),
        "{texts:?}"
    );
    outlet.send(&letter("two", to)).await;
    assert_eq!(arrived().await.len(), 2);
}

async fn gateway(settings: Settings) -> (Gateway, Sms, sim_kit::Running) {
    let sms = Sms::open(settings, None).unwrap();
    let running = sim_kit::listen(sms.clone().router()).await.unwrap();
    let config: Config = toml::from_str(&format!(
        "[sms]\nurl = \"{}\"\nusername = \"sandbox\"\napi_key = \"sim-sms-key\"\n\
         answer_within_s = 1\n",
        running.url
    ))
    .unwrap();
    (Gateway::new(&config.sms.unwrap()).unwrap(), sms, running)
}

fn texts(sms: &Sms) -> Vec<String> {
    sms.book
        .look(|b| b.messages.iter().map(|m| m.text.clone()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_out_carries_a_message_whole() {
    let (outlet, sms, _running) = gateway(Settings::default()).await;
    suite(&outlet, "+260970000001", async || texts(&sms)).await;

    let book = Sms::open(Settings::default(), None).unwrap();
    let sink = MailSink::start(book.book.clone()).await.unwrap();
    let config = format!(
        "[mail]\nurl = \"smtp://{}\"\nfrom = \"Mwimule <t@example.com>\"\n",
        sink.address
    );
    let config: Config = toml::from_str(&config).unwrap();
    let outlet = Smtp::new(&config.mail.unwrap()).unwrap();
    suite(&outlet, "mutale@example.com", async || texts(&book)).await;
    let first = book.book.look(|b| b.messages[0].clone());
    assert_eq!(first.id, "<one@example.com>");
    // Who is not there is refused for good; who is busy is tried again.
    let nobody = outlet.send(&letter("x", "nobody@example.com")).await;
    assert!(matches!(nobody, Outcome::Refused(_)), "{nobody:?}");
    let busy = outlet.send(&letter("x", "busy@example.com")).await;
    assert!(matches!(busy, Outcome::Unknown(_)), "{busy:?}");
    let none = outlet.send(&letter("x", "no address")).await;
    assert!(matches!(none, Outcome::Refused(_)), "{none:?}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("messages");
    suite(&Folder::new(&path), "+260970000001", async || {
        let files = std::fs::read_dir(&path).unwrap();
        files
            .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
            .collect()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_does_wrong_is_told_apart_from_what_it_refuses() {
    let (outlet, sms, _running) = gateway(Settings::default()).await;
    let send = async |to: &str| outlet.send(&letter(to, to)).await;
    assert!(matches!(send("+260970000906").await, Outcome::Refused(_)));
    assert_eq!(texts(&sms).len(), 0);
    // It went out, and nobody knows: it is tried again.
    assert!(matches!(send("+260970000904").await, Outcome::Unknown(_)));
    assert!(matches!(send("+260970000907").await, Outcome::Unknown(_)));
    assert_eq!(texts(&sms).len(), 2);
    let planned = json!({"planned": [{"fault": "down"}]});
    sms.book
        .change(|b| b.faults = serde_json::from_value(planned).unwrap());
    assert!(matches!(send("+260970000001").await, Outcome::Unknown(_)));
    assert!(matches!(send("+260970000001").await, Outcome::Sent { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_again_is_one_message_where_the_gateway_heeds_keys_and_two_where_not() {
    for (deduplicate, arrived) in [(true, 1), (false, 2)] {
        let settings = Settings {
            deduplicate,
            ..Settings::default()
        };
        let (outlet, sms, _running) = gateway(settings).await;
        let lost = outlet.send(&letter("same", "+260970000904")).await;
        assert!(matches!(lost, Outcome::Unknown(_)));
        outlet.send(&letter("same", "+260970000904")).await;
        assert_eq!(texts(&sms).len(), arrived);
    }
}

#[test]
fn settings_that_cannot_be_used_say_which() {
    let sms = |url: &str| crate::config::SmsConfig {
        url: url.to_owned(),
        username: "u".to_owned(),
        api_key: Secret::new("k"),
        from: None,
        report_secret: None,
        answer_within_s: 1,
    };
    assert!(Gateway::new(&sms("ftp://x")).unwrap_err().contains("`url`"));
    let mail = |url: &str, from: &str| crate::config::MailConfig {
        url: Secret::new(url),
        from: from.to_owned(),
        answer_within_s: 1,
    };
    let wrong = Smtp::new(&mail("smtp://h", "nobody in particular")).unwrap_err();
    assert!(wrong.contains("`from`"), "{wrong}");
    let wrong = Smtp::new(&mail("http://u:secret@h", "a@example.com")).unwrap_err();
    assert!(
        wrong.contains("`url`") && !wrong.contains("secret"),
        "{wrong}"
    );
    let _: Arc<dyn Outlet> = Arc::new(Smtp::new(&mail("smtp://h", "a@example.com")).unwrap());
}
