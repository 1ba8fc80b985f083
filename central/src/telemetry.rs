//! What the process says of itself while it works: a log for people or for machines, and traces
//! for a collector, where one is named.

use std::io::IsTerminal as _;
use std::time::Duration;

use axum::http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{LogConfig, LogFormat, TracesConfig};

/// Where a line per answered request goes.
pub const ACCESS: &str = "mwimule::access";

/// What is logged where nothing is said.
const PEOPLE: &str = "warn,central=info,sync_transport=info";
/// The same for machines, with a line per request.
const MACHINES: &str = "warn,central=info,sync_transport=info,mwimule::access=info";
/// What goes into traces.
const TRACED: &str = "off,central=info";
/// How long a collector has to take a batch of spans.
const COLLECTOR_MAX: Duration = Duration::from_secs(5);

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("the log filter {filter:?}: {what}; write like `warn,central=debug`")]
    Filter {
        /// As it was written.
        filter: String,
        /// What is wrong with it.
        what: String,
    },
    /// The collector cannot be used.
    #[error("the collector {url:?}: {what}; write like http://localhost:4318/v1/traces")]
    Collector {
        /// As it was written.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// Somebody else has begun to log in this process.
    #[error("this process logs already: {0}")]
    Twice(String),
}

/// Ends the traces when the process ends: what has not been sent is sent.
#[derive(Debug, Default)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends what has not been sent. Takes a while where the collector is away.
    pub fn finish(self) {
        if let Some(traces) = self.traces
            && let Err(error) = traces.shutdown()
        {
            eprintln!("mwimule-hub: the last traces were not delivered: {error}");
        }
    }
}

/// Begins to log, and to trace where a collector is named. Needs the runtime that sends.
pub fn begin(
    log: &LogConfig,
    traces: &TracesConfig,
    runtime: &Handle,
) -> Result<Telemetry, TelemetryError> {
    let usual = match log.format {
        LogFormat::Text => PEOPLE,
        LogFormat::Json => MACHINES,
    };
    let wanted = log.filter.as_deref().unwrap_or(usual);
    let filter = EnvFilter::try_new(wanted).map_err(|error| TelemetryError::Filter {
        filter: wanted.to_owned(),
        what: error.to_string(),
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().with_current_span(true).boxed(),
    };
    let provider = match &traces.otlp_url {
        Some(url) => Some(provider(url, traces, runtime)?),
        None => None,
    };
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("mwimule-hub"))
            .with_filter(EnvFilter::new(TRACED))
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(spans)
        .try_init()
        .map_err(|error| TelemetryError::Twice(error.to_string()))?;
    Ok(Telemetry { traces: provider })
}

fn provider(
    url: &str,
    config: &TracesConfig,
    runtime: &Handle,
) -> Result<SdkTracerProvider, TelemetryError> {
    let wrong = |what: String| TelemetryError::Collector {
        url: url.to_owned(),
        what,
    };
    let web = reqwest::Client::builder()
        .timeout(COLLECTOR_MAX)
        .build()
        .map_err(|error| wrong(error.to_string()))?;
    let client = Sender {
        web,
        runtime: runtime.clone(),
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(url)
        .with_timeout(COLLECTOR_MAX)
        .build()
        .map_err(|error| wrong(error.to_string()))?;
    let about = Resource::builder()
        .with_service_name("mwimule-hub")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())))
        .build();
    let share = f64::from(config.sample_percent.min(100)) / 100.0;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share)));
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(about)
        .build())
}

/// Sends batches of spans on the program's own runtime: they are made on a thread without one.
#[derive(Debug)]
struct Sender {
    web: reqwest::Client,
    runtime: Handle,
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let web = self.web.clone();
        let sent = self.runtime.spawn(async move {
            let (head, body) = request.into_parts();
            let wanted = web
                .request(head.method, head.uri.to_string())
                .headers(head.headers)
                .body(body);
            let answer = wanted.send().await?;
            let status = answer.status();
            let body = answer.bytes().await?;
            Ok::<_, reqwest::Error>((status, body))
        });
        let (status, body) = sent.await??;
        Ok(Response::builder().status(status).body(body)?)
    }
}

/// Makes a span part of the trace that a caller names (W3C Trace Context), if it does.
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    if headers.contains_key("traceparent") {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Without a collector there is nothing to continue.
        let _ = span.set_parent(parent);
    }
}
