//! A hub with its jobs running, a gateway and a mail server.

use std::sync::Arc;
use std::time::{Duration, Instant as Watch};

use domain::ids::CompanyId;
use serde_json::Value;
use sim_sms::{Arrived, MailSink, Settings, Sms};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::http::tests::site::Site;
use crate::http::{Api, router};
use crate::notification::Outlets;
use crate::outbox::{self, Happened};
use crate::worker;

const PATIENCE: Duration = Duration::from_mins(1);
const SECRET: &str = "report-secret";

/// A site whose events are told.
pub struct Scene {
    pub site: Site,
    pub api: Api,
    pub sms: Sms,
    pub company: CompanyId,
    pub office: String,
    base: String,
    client: reqwest::Client,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    _sink: MailSink,
    _running: sim_kit::Running,
    _folder: tempfile::TempDir,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Scene {
    pub async fn new() -> Self {
        let site = Site::new().await;
        let (company, office) = site.company("Mwimule").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let settings = Settings {
            report_url: Some(format!("{base}/notifications/reports/sms/{SECRET}")),
            deliver_ms: 300,
            deduplicate: true,
            ..Settings::default()
        };
        let sms = Sms::open(settings, None).unwrap();
        let running = sim_kit::listen(sms.clone().router()).await.unwrap();
        let sink = MailSink::start(sms.book.clone()).await.unwrap();
        let config: Config = toml::from_str(&format!(
            "[sms]\nurl = \"{}\"\nusername = \"sandbox\"\napi_key = \"sim-sms-key\"\n\
             answer_within_s = 1\nreport_secret = \"{SECRET}\"\n\
             [mail]\nurl = \"smtp://{}\"\nfrom = \"Mwimule <t@example.com>\"\n",
            running.url, sink.address
        ))
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut api = site.api.clone();
        api.outlets = Some(Arc::new(Outlets::new(&config, folder.path()).unwrap()));
        let (stop, stopping) = watch::channel(false);
        let web = router(api.clone());
        let tasks = vec![
            tokio::spawn(async move { axum::serve(listener, web).await.unwrap() }),
            tokio::spawn(worker::work(api.clone(), stopping)),
        ];
        Self {
            site,
            api,
            sms,
            company,
            office,
            base,
            client: reqwest::Client::new(),
            stop,
            tasks,
            _sink: sink,
            _running: running,
            _folder: folder,
        }
    }

    /// What arrived over a channel.
    pub fn arrived(&self, channel: &str) -> Vec<Arrived> {
        self.sms.book.look(|book| {
            let of = book.messages.iter().filter(|m| m.channel == channel);
            of.cloned().collect()
        })
    }

    /// Asks with a method, as somebody; status, `ETag`, body.
    pub async fn ask(
        &self,
        (method, path): (&str, &str),
        token: Option<&str>,
        if_match: Option<&str>,
        body: Option<&Value>,
    ) -> (u16, Option<String>, Value) {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method.parse().unwrap(), url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let etag = response.headers().get("etag");
        let etag = etag.map(|v| v.to_str().unwrap().to_owned());
        let text = response.text().await.unwrap();
        (
            status,
            etag,
            serde_json::from_str(&text).unwrap_or_default(),
        )
    }

    /// A page's rows, as somebody.
    pub async fn rows(&self, path: &str, token: &str) -> Vec<Value> {
        let (status, _, page) = self.ask(("GET", path), Some(token), None, None).await;
        assert_eq!(status, 200, "{page}");
        page["items"].as_array().unwrap().clone()
    }

    /// Looks until there is something.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let began = Watch::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "waited for: {what}");
            // tidy-allow-sleep: between two looks at a condition
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// An event, as another service would tell it.
    pub async fn happened(&self, kind: &str, subject: &str, body: Value) {
        let mut tx = self.api.db.tenant(self.company).await.unwrap();
        let happened = Happened {
            kind,
            subject,
            body,
        };
        outbox::put(&mut tx, happened, crate::clock::now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// Everything that was published is published again, as after a crash before the mark.
    pub async fn publish_again(&self) {
        let mut owner = self.site.db.owner().await.unwrap();
        let again = "UPDATE outbox SET published = false";
        sqlx::query(again).execute(&mut owner).await.unwrap();
        self.until("the outbox to be empty", async || {
            let left = "SELECT (SELECT count(*) FROM outbox WHERE NOT published)
                + (SELECT count(*) FROM bus_message WHERE due_at_ms IS NOT NULL)";
            (self.site.db.number(left).await.unwrap() == 0).then_some(())
        })
        .await;
    }

    /// An answered report, as the gateway would post it.
    pub async fn report(&self, secret: &str, form: &str) -> u16 {
        let url = format!("{}/notifications/reports/sms/{secret}", self.base);
        let request = self.client.post(url).body(form.to_owned());
        request.send().await.unwrap().status().as_u16()
    }
}
