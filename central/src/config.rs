//! What the hub is told at start: a TOML file, then the environment, then flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

mod keys;
mod process;

pub use crate::http::network::Network;
pub use keys::{KEYS, Key, Secrecy};
pub use process::{LogConfig, LogFormat, ProcessConfig, Role, Roles, TracesConfig};

/// A configuration file is smaller.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The whole file; a key that it does not know is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where data lives.
    pub data: DataConfig,
    /// Which Postgres.
    pub database: DatabaseConfig,
    /// The HTTP API.
    pub http: HttpConfig,
    /// Where nodes connect.
    pub quic: QuicConfig,
    /// The cache that several hub processes share.
    pub redis: RedisConfig,
    /// Mobile money; absent: not offered.
    pub momo: Option<MomoConfig>,
    /// Cards; absent: not offered.
    pub card: Option<CardConfig>,
    /// Webhooks to companies.
    pub webhooks: WebhooksConfig,
    /// What this process does, and how it ends.
    pub process: ProcessConfig,
    /// What it says of itself.
    pub log: LogConfig,
    /// Where its traces go.
    pub traces: TracesConfig,
    /// The message broker that several hub processes share.
    pub broker: BrokerConfig,
    /// Text messages; absent: they are written to files.
    pub sms: Option<SmsConfig>,
    /// E-mail; absent: it is written to files.
    pub mail: Option<MailConfig>,
}

/// `[broker]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerConfig {
    /// `amqp://user:password@host:5672/vhost`; without it the bus is in this process.
    pub url: Option<Secret>,
    /// How long an event waits after each failed try but the last, in milliseconds; the same in
    /// every process. Absent: 1 s, 5 s, 30 s, 2 min, 10 min.
    pub retry_delays_ms: Option<Vec<u32>>,
}

/// `[sms]`: a gateway that speaks Africa's Talking's HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmsConfig {
    /// Where it is.
    #[serde(default = "africas_talking")]
    pub url: String,
    /// The account's name there.
    pub username: String,
    /// Its key.
    pub api_key: Secret,
    /// Who it says it is from; absent: as the account has it.
    pub from: Option<String>,
    /// Reports come to `/notifications/reports/sms/` and this; absent: none are taken.
    pub report_secret: Option<Secret>,
    /// How long the gateway has to answer, in seconds.
    #[serde(default = "ten_seconds")]
    pub answer_within_s: u32,
}

/// `[mail]`: a server that takes e-mail for everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// `smtps://user:password@host`, or `smtp://…?tls=required` for STARTTLS.
    pub url: Secret,
    /// Who it is from, like `Mwimule <tickets@example.com>`.
    pub from: String,
    /// How long the server has to answer, in seconds.
    #[serde(default = "ten_seconds")]
    pub answer_within_s: u32,
}

/// A password or key; debug output does not show it.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// From its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// `[momo]`: MTN MoMo's open API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MomoConfig {
    /// Where it is, like `https://proxy.momoapi.mtn.com`.
    pub url: String,
    /// `X-Target-Environment`, like `mtnzambia`.
    #[serde(default = "sandbox")]
    pub target_environment: String,
    /// How the provider reaches this hub, like `https://hub.example`; absent: no callbacks, the
    /// hub polls.
    pub callback_url: Option<String>,
    /// How long a payer has to approve, in seconds.
    #[serde(default = "five_minutes")]
    pub pay_within_s: u32,
    /// How long the provider has to answer a call, in seconds.
    #[serde(default = "ten_seconds")]
    pub answer_within_s: u32,
    /// Takes money.
    pub collection: MomoProductConfig,
    /// Gives it back; absent: a person does.
    pub disbursement: Option<MomoProductConfig>,
}

/// `[momo.collection]` and `[momo.disbursement]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MomoProductConfig {
    /// `Ocp-Apim-Subscription-Key`.
    pub subscription_key: Secret,
    /// The API user, a UUID.
    pub api_user: String,
    /// Its key.
    pub api_key: Secret,
}

/// `[card]`: Stripe's PaymentIntents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardConfig {
    /// Where it is.
    #[serde(default = "stripe")]
    pub url: String,
    /// `sk_…`
    pub secret_key: Secret,
    /// `whsec_…` of the webhook endpoint; two while it is rotated, none: the hub polls.
    #[serde(default)]
    pub webhook_secrets: Vec<Secret>,
    /// Where a payer comes back to after a bank's page.
    pub return_url: Option<String>,
    /// How long a payer has, in seconds.
    #[serde(default = "five_minutes")]
    pub pay_within_s: u32,
    /// How long the provider has to answer a call, in seconds.
    #[serde(default = "ten_seconds")]
    pub answer_within_s: u32,
}

/// `[webhooks]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhooksConfig {
    /// Whether endpoints may be in this machine's own and private networks, and speak plain HTTP.
    pub allow_private: bool,
}

fn sandbox() -> String {
    "sandbox".to_owned()
}

fn stripe() -> String {
    "https://api.stripe.com".to_owned()
}

fn africas_talking() -> String {
    "https://api.africastalking.com".to_owned()
}

fn ten_seconds() -> u32 {
    10
}

fn five_minutes() -> u32 {
    300
}

/// `[data]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// The folder with keys and, by default, the database.
    pub folder: Option<PathBuf>,
    /// The folder with `keys/` and `pki/`, which every process of one hub has to read; absent: the
    /// data folder.
    pub secrets: Option<PathBuf>,
}

/// `[database]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// A Postgres that somebody else runs; a private one is started when this is absent.
    pub url: Option<String>,
}

/// `[http]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address and port; port 0 lets the system choose.
    pub listen: Option<SocketAddr>,
    /// Whether people reach it by HTTPS, through a proxy: browsers are then told to stay there.
    pub https: bool,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// How often one may ask.
    pub limits: LimitsConfig,
}

/// `[http.limits]`: requests per minute of one caller, by kind of route; so many may come at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Whether there are any.
    pub on: bool,
    /// Signing in, codes, passwords.
    pub login_per_min: u32,
    /// Whatever moves seats or money.
    pub booking_per_min: u32,
    /// Looking for trips and seats.
    pub search_per_min: u32,
    /// Everything else.
    pub default_per_min: u32,
    /// One address may ask so many times what one caller may: many share an address.
    pub address_times: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            on: true,
            login_per_min: 30,
            booking_per_min: 300,
            search_per_min: 1_200,
            default_per_min: 1_200,
            address_times: 10,
        }
    }
}

/// `[redis]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// `redis://host:6379/0`; without it the cache is in this process.
    pub url: Option<String>,
}

/// `[quic]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuicConfig {
    /// UDP address and port; port 0 lets the system choose.
    pub listen: Option<SocketAddr>,
    /// How nodes reach the hub from outside, `host:port`; goes into enrolment codes.
    pub public_addr: Option<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something that nobody understands.
    #[error("{}: {what}", path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// What and where.
        what: String,
    },
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let wrong = |what: String| ConfigError::Wrong {
            path: path.to_owned(),
            what,
        };
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
            return Err(wrong(format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        toml::from_str(&text).map_err(|error| wrong(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_nobody_knows_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.toml");
        std::fs::write(&path, "[http]\nlisten = \"127.0.0.1:0\"\nport = 80\n").unwrap();
        let error = Config::read(&path).unwrap_err().to_string();
        assert!(error.contains("port"), "{error}");
        let card = "[card]\nsecret_key = \"sk_live_9\"\n";
        std::fs::write(&path, card).unwrap();
        let config = Config::read(&path).unwrap();
        assert!(!format!("{config:?}").contains("sk_live_9"), "{config:?}");
        std::fs::write(&path, "[quic]\npublic_addr = \"hub.example:7443\"\n").unwrap();
        let config = Config::read(&path).unwrap();
        assert_eq!(config.quic.public_addr.as_deref(), Some("hub.example:7443"));
    }
}
