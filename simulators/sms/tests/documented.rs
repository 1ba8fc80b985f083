//! The interface as the gateway documents it.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use sim_sms::{Settings, Sms};

struct World {
    running: sim_kit::Running,
    _runtime: tokio::runtime::Runtime,
}

fn world(settings: Settings) -> World {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sms = Sms::open(settings, None).unwrap();
    let running = runtime.block_on(sim_kit::listen(sms.router())).unwrap();
    World {
        running,
        _runtime: runtime,
    }
}

impl World {
    fn send(&self, api_key: &str, key: &str, form: &str) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let mut answer = agent
            .post(format!("{}/version1/messaging", self.running.url))
            .header("apiKey", api_key)
            .header("idempotency-key", key)
            .header("content-type", "application/x-www-form-urlencoded")
            .send(form)
            .unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), text)
    }

    fn get(&self, path: &str) -> serde_json::Value {
        let mut answer = ureq::get(format!("{}{path}", self.running.url))
            .call()
            .unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }
}

const FORM: &str = "username=sandbox&to=%2B260970000001&message=Hello%20there";

#[test]
fn a_message_is_taken_listed_and_answered_as_documented() {
    let world = world(Settings::default());
    let (status, text) = world.send("sim-sms-key", "k1", FORM);
    assert_eq!(status, 201, "{text}");
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let to = &answer["SMSMessageData"]["Recipients"][0];
    assert_eq!(
        (&to["statusCode"], &to["status"]),
        (&101.into(), &"Success".into())
    );
    assert!(to["messageId"].as_str().unwrap().starts_with("ATXid_"));
    let listed = world.get("/_control/messages?to=+260970000001");
    assert_eq!(listed["messages"][0]["text"], "Hello there");
    assert_eq!(world.send("another", "k2", FORM).0, 401);
    let (status, _) = world.send("sim-sms-key", "k3", "username=sandbox&to=me&message=x");
    assert_eq!(status, 400);
}

#[test]
fn the_documented_gateway_heeds_no_key_and_one_that_is_told_to_does() {
    for (deduplicate, arrived) in [(false, 2), (true, 1)] {
        let world = world(Settings {
            deduplicate,
            ..Settings::default()
        });
        let failing = FORM.replace("001", "904");
        assert_eq!(world.send("sim-sms-key", "same", &failing).0, 500);
        world.send("sim-sms-key", "same", &failing);
        let count = world.get("/_control/count");
        assert_eq!(count["sms"], arrived, "{count}");
        assert_eq!(count["repeated"], 1, "{count}");
    }
}

#[test]
fn a_refused_number_gets_nothing() {
    let world = world(Settings::default());
    let (status, text) = world.send("sim-sms-key", "k", &FORM.replace("001", "906"));
    assert_eq!(status, 201);
    assert!(text.contains("InvalidPhoneNumber"), "{text}");
    assert_eq!(world.get("/_control/count")["sms"], 0);
}
