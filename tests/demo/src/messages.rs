//! Phones and mailboxes: an SMS gateway and a mail server, as one program that keeps what it is
//! given.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::children::Child;
use crate::http::{Caller, list, text};
use crate::station::Place;

const READY_DEADLINE: Duration = Duration::from_secs(30);
/// What the gateway's reports are known by.
const REPORT_SECRET: &str = "reports-of-the-demo";

/// The running gateway.
#[derive(Debug)]
pub struct Messages {
    child: Child,
    caller: Caller,
    smtp: String,
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// A phone number or an e-mail address.
    pub to: String,
    /// What an e-mail is about; empty for an SMS.
    pub subject: String,
    /// What it says.
    pub text: String,
}

impl Messages {
    /// Starts it; it tells the hub at `hub_url` what arrived.
    pub fn start(place: Place<'_>, hub_url: &str) -> Result<Self> {
        let reports = format!("{hub_url}/notifications/reports/sms/{REPORT_SECRET}");
        let mut command = Command::new(place.bin_dir.join("sim-sms"));
        command.args(["--smtp", "127.0.0.1:0", "--report-url", &reports]);
        let mut child = Child::start("sim-sms", &mut command, &place.logs.join("sim-sms.log"))?;
        let ready = child.line(READY_DEADLINE, |line| {
            serde_json::from_str::<Value>(line).ok()
        });
        let ready = ready.map_err(|error| child.blame(error))?;
        Ok(Self {
            caller: Caller::new(&text(&ready, "url")?, None),
            smtp: text(&ready, "smtp")?,
            child,
        })
    }

    /// The hub's settings for it, with the gateway's credentials for tests.
    pub fn settings(&self) -> String {
        format!(
            "\n[sms]\nurl = \"{}\"\nusername = \"sandbox\"\napi_key = \"sim-sms-key\"\n\
             from = \"MWIMULE\"\nreport_secret = \"{REPORT_SECRET}\"\n\n[mail]\nurl = \"{}\"\n\
             from = \"Mwimule Coaches <tickets@mwimule.example>\"\n",
            self.caller.base(),
            self.smtp
        )
    }

    fn arrived(&self, channel: &str) -> Result<Vec<Arrived>> {
        let all = self.caller.fetch("/_control/messages")?;
        let own = list(&all, "messages")?.iter();
        own.filter(|m| m["channel"] == channel)
            .map(|m| {
                Ok(Arrived {
                    to: text(m, "to")?,
                    subject: m["subject"].as_str().unwrap_or_default().to_owned(),
                    text: text(m, "text")?,
                })
            })
            .collect()
    }

    /// Every SMS that arrived on a phone, the first first.
    pub fn sms(&self) -> Result<Vec<Arrived>> {
        self.arrived("sms")
    }

    /// Every e-mail that arrived in a mailbox, the first first.
    pub fn mail(&self) -> Result<Vec<Arrived>> {
        self.arrived("email")
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        self.caller.base()
    }

    /// Fails if it ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.child.check()
    }

    /// Stops it; false if it had to be forced.
    pub fn stop(&mut self) -> bool {
        self.child.stop()
    }
}
