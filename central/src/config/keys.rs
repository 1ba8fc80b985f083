//! Every key of the configuration file: what it is for, what it is without being said, and which
//! flag and variable say it too. `config generate` and `config dump` are made of this.

/// Whether a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// It may.
    Open,
    /// An address whose password may not.
    Address,
    /// It may not.
    Secret,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Section and name, like `http.listen`.
    pub path: &'static str,
    /// The flag that says it too, without its dashes; empty: none.
    pub flag: &'static str,
    /// A value, as TOML: the default where there is one, else an example.
    pub sample: &'static str,
    /// Whether the sample is what holds without it.
    pub is_default: bool,
    /// Whether it may be shown.
    pub secrecy: Secrecy,
    /// What it is for.
    pub about: &'static str,
}

const fn default(
    path: &'static str,
    flag: &'static str,
    sample: &'static str,
    about: &'static str,
) -> Key {
    Key {
        path,
        flag,
        sample,
        is_default: true,
        secrecy: Secrecy::Open,
        about,
    }
}

const fn example(
    path: &'static str,
    flag: &'static str,
    sample: &'static str,
    about: &'static str,
) -> Key {
    Key {
        is_default: false,
        ..default(path, flag, sample, about)
    }
}

const fn address(
    path: &'static str,
    flag: &'static str,
    sample: &'static str,
    about: &'static str,
) -> Key {
    Key {
        secrecy: Secrecy::Address,
        ..example(path, flag, sample, about)
    }
}

const fn secret(path: &'static str, sample: &'static str, about: &'static str) -> Key {
    Key {
        secrecy: Secrecy::Secret,
        ..example(path, "", sample, about)
    }
}

/// Every key, section by section.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    example("data.folder", "data-dir", r#""/var/lib/mwimule""#,
        "The folder of the embedded database and, unless secrets names another, of the keys."),
    example("data.secrets", "secrets-dir", r#""/etc/mwimule/secrets""#,
        "The folder with keys/ and pki/. Every process of one hub has to read the same."),
    address("database.url", "database-url", r#""postgres://mwimule:password@db.example/mwimule""#,
        "A Postgres that somebody else runs. Without it the hub starts one, for one process only."),
    default("http.listen", "http", r#""127.0.0.1:8080""#,
        "Address and port of API and page; port 0 lets the system choose."),
    default("http.https", "", "false",
        "People come by HTTPS, through a proxy: browsers are told to stay there."),
    example("http.trusted_proxies", "", r#"["10.0.0.0/8"]"#,
        "The proxies whose X-Forwarded-For is believed."),
    default("http.limits.on", "no-rate-limits", "true", "Whether requests are limited."),
    default("http.limits.login_per_min", "", "30", "Signing in, codes, passwords."),
    default("http.limits.booking_per_min", "", "300", "Whatever moves seats or money."),
    default("http.limits.search_per_min", "", "1200", "Looking for trips and seats."),
    default("http.limits.default_per_min", "", "1200", "Everything else."),
    default("http.limits.address_times", "", "10",
        "One address may ask so many times what one caller may: many share an address."),
    default("quic.listen", "quic", r#""0.0.0.0:7443""#,
        "UDP address and port for stations and buses."),
    example("quic.public_addr", "public-addr", r#""hub.example:7443""#,
        "How stations and buses reach the hub from outside; goes into enrolment codes."),
    address("redis.url", "redis-url", r#""redis://:password@cache.example:6379/0""#,
        "The cache that several processes share. Without it each counts for itself."),
    Key {
        flag: "broker-url",
        ..secret("broker.url", r#""amqp://mwimule:password@broker.example:5672/%2f""#,
            "The RabbitMQ that several processes share. Without it messages pass by the database.")
    },
    example("broker.retry_delays_ms", "", "[1000, 5000, 30000, 120000, 600000]",
        "How long an event waits after each failed try but the last; the same in every process."),
    default("process.roles", "roles", r#""api,sync,worker""#,
        "Which parts this process runs."),
    example("process.internal_http", "internal-http", r#""127.0.0.1:9090""#,
        "Where /metrics and the health are told inside. Never open it to the world."),
    default("process.drain_ms", "drain-ms", "0",
        "How long to go on taking work after the first signal, while /readyz says 503, in ms."),
    default("log.format", "log-format", r#""text""#, "text, or json: an object a line."),
    example("log.filter", "log", r#""warn,central=info""#, "What is logged."),
    address("traces.otlp_url", "otlp-url", r#""http://collector.example:4318/v1/traces""#,
        "Where traces are sent, OTLP over HTTP."),
    default("traces.sample_percent", "", "100", "How many in a hundred requests are traced."),
    example("momo.url", "", r#""https://proxy.momoapi.mtn.com""#, "MTN MoMo's open API."),
    default("momo.target_environment", "", r#""sandbox""#, "Like mtnzambia."),
    example("momo.callback_url", "", r#""https://hub.example""#,
        "How the provider reaches this hub; without it the hub polls."),
    default("momo.pay_within_s", "", "300", "How long a payer has to approve, in seconds."),
    default("momo.answer_within_s", "", "10", "How long the provider may take to answer."),
    secret("momo.collection.subscription_key", r#""key""#, "Takes money: its product's key."),
    example("momo.collection.api_user", "", r#""00000000-0000-4000-8000-000000000000""#,
        "The API user."),
    secret("momo.collection.api_key", r#""key""#, "Its key."),
    secret("momo.disbursement.subscription_key", r#""key""#,
        "Gives money back; without this section a person does."),
    example("momo.disbursement.api_user", "", r#""00000000-0000-4000-8000-000000000000""#,
        "The API user."),
    secret("momo.disbursement.api_key", r#""key""#, "Its key."),
    default("card.url", "", r#""https://api.stripe.com""#, "Stripe's PaymentIntents."),
    secret("card.secret_key", r#""sk_live_key""#, "The secret key."),
    secret("card.webhook_secrets", r#"["whsec_key"]"#,
        "Of the webhook endpoint; two while it is rotated, none: the hub polls."),
    example("card.return_url", "", r#""https://shop.example/paid""#,
        "Where a payer comes back to after a bank's page."),
    default("card.pay_within_s", "", "300", "How long a payer has, in seconds."),
    default("card.answer_within_s", "", "10", "How long the provider may take to answer."),
    default("sms.url", "", r#""https://api.africastalking.com""#,
        "A gateway that speaks Africa's Talking's HTTP; without this section texts go to files."),
    example("sms.username", "", r#""mwimule""#, "The account's name there."),
    secret("sms.api_key", r#""key""#, "Its key."),
    example("sms.from", "", r#""MWIMULE""#, "Who texts say they are from."),
    secret("sms.report_secret", r#""word""#,
        "Delivery reports come to /notifications/reports/sms/ and this; without it none are taken."),
    default("sms.answer_within_s", "", "10", "How long the gateway may take to answer."),
    secret("mail.url", r#""smtps://user:password@mail.example""#,
        "The server that takes e-mail; without this section it goes to files."),
    example("mail.from", "", r#""Mwimule <tickets@example.com>""#, "Who e-mail is from."),
    default("mail.answer_within_s", "", "10", "How long the server may take to answer."),
    default("webhooks.allow_private", "", "false",
        "Whether webhooks may go into private networks and over plain HTTP."),
];
