//! Export of traces to an OpenTelemetry collector: OTLP over HTTP, protobuf (<https://opentelemetry.io/docs/specs/otlp/>). `telemetry` makes the
//! spans.
//!
//! The standard variables configure it ("OpenTelemetry Protocol Exporter", "Environment Variable Specification",
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>). Without an endpoint there is no exporter.
//!
//! A collector that hangs or is down delays nothing: finished spans go to a bounded buffer, which drops what does not fit, and a thread of its own
//! sends them. One log line says that it fails, and one that it works again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::SdkTracerProvider;
use reqwest::Url;
use tokio::runtime::Handle;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;

use crate::outbound::{Broken, chain, endpoint_client, read_capped};
use crate::telemetry::{BoxedLayer, TRACES, VERSION};

/// Time that the traces which are left get at the end of the process.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a request, unless a variable sets it ("Configuration Options").
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of an answer, in bytes. It holds no more than the number of spans that were refused, and why.
const MAX_ANSWER: usize = 64 * 1024;
/// Only protocol that the exporter speaks; also the specification's default.
const PROTOCOL: &str = "http/protobuf";
/// Samplers that the library knows. It takes any other word for `parentbased_always_on`.
const SAMPLERS: &[&str] = &[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// Collector that traces are sent to. The library reads further variables itself: headers, sampler, sizes of the buffer, limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// URL that traces are posted to.
    pub endpoint: Url,
    /// Timeout of a request.
    pub timeout: Duration,
    /// Name of the service, if `OTEL_SERVICE_NAME` sets it.
    pub service: Option<String>,
}

impl Collector {
    /// Reads the variables: `None` if they name no endpoint or turn the export off. Also returns what is wrong with them, each with its remedy. A
    /// variable that cannot be read turns the export off and nothing else.
    #[must_use]
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> (Option<Self>, Vec<String>) {
        // An empty value is no value ("Parsing empty value").
        let variable = |name: &str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let of_traces = |name: &str| {
            let own = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
            let shared = format!("OTEL_EXPORTER_OTLP_{name}");
            variable(&own)
                .map(|value| (own, value))
                .or_else(|| variable(&shared).map(|value| (shared, value)))
        };
        let Some((name, endpoint)) = of_traces("ENDPOINT") else { return (None, Vec::new()) };
        let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let exporter = variable("OTEL_TRACES_EXPORTER");
        if is_off || exporter.as_deref() == Some("none") {
            return (None, Vec::new());
        }
        let mut problems = Vec::new();
        if let Some(exporter) = exporter.filter(|exporter| exporter != "otlp") {
            problems.push(format!(
                "OTEL_TRACES_EXPORTER must be otlp or none, not {exporter:?}: no traces are exported"
            ));
        }
        if let Some((name, protocol)) = of_traces("PROTOCOL").filter(|(_, protocol)| protocol != PROTOCOL) {
            problems.push(format!(
                "{name} must be {PROTOCOL}, not {protocol:?}: no traces are exported; a collector takes it on port 4318 as a rule"
            ));
        }
        let timeout = match of_traces("TIMEOUT") {
            Some((name, value)) => value.parse().map_or_else(
                |_| {
                    problems.push(format!(
                        "{name} must be a number of milliseconds, not {value:?}: no traces are exported"
                    ));
                    TIMEOUT
                },
                Duration::from_millis,
            ),
            None => TIMEOUT,
        };
        let parsed = endpoint.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = parsed.and_then(|mut url| {
            // The endpoint of all signals is a base; that of traces is used as it is ("Endpoint URLs for OTLP/HTTP").
            if !name.contains("TRACES") {
                url.path_segments_mut().ok()?.pop_if_empty().extend(["v1", "traces"]);
            }
            Some(url)
        });
        if url.is_none() {
            // The value may hold credentials.
            problems.push(format!("{name} must be a URL like http://localhost:4318: no traces are exported"));
        }
        if !problems.is_empty() {
            return (None, problems);
        }
        if let Some(sampler) =
            variable("OTEL_TRACES_SAMPLER").filter(|sampler| !SAMPLERS.contains(&sampler.as_str()))
        {
            let known = SAMPLERS.join(", ");
            problems.push(format!(
                "OTEL_TRACES_SAMPLER must be one of {known}, not {sampler:?}: parentbased_always_on holds"
            ));
        }
        let service = variable("OTEL_SERVICE_NAME");
        (url.map(|endpoint| Self { endpoint, timeout, service }), problems)
    }

    /// Returns the endpoint without what may be a secret in it.
    fn destination(&self) -> String {
        let mut url = self.endpoint.clone();
        // Each fails only for a URL without a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.to_string()
    }

    /// Returns the attributes of all spans. `OTEL_RESOURCE_ATTRIBUTES` overrides ours, and `OTEL_SERVICE_NAME` that.
    fn resource(&self) -> Resource {
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", env!("CARGO_PKG_NAME")),
                KeyValue::new("service.version", VERSION),
            ])
            .with_detectors(&[Box::new(TelemetryResourceDetector), Box::<EnvResourceDetector>::default()]);
        match &self.service {
            Some(name) => resource.with_service_name(name.clone()).build(),
            None => resource.build(),
        }
    }
}

/// Running export.
#[derive(Debug)]
pub struct Exporter {
    provider: SdkTracerProvider,
    delivery: Arc<Delivery>,
}

impl Exporter {
    /// Starts the export. `runtime` makes the requests, and must outlive [`shut_down`](Self::shut_down).
    pub fn start(collector: &Collector, runtime: Handle) -> Result<Self, String> {
        let to = collector.destination();
        let failed = |error: String| format!("no traces are exported to {to}: {error}");
        let http = endpoint_client(&collector.endpoint).map_err(|error| failed(chain(&error)))?;
        let delivery = Arc::new(Delivery { to: to.clone(), fails: AtomicBool::new(false) });
        let client = Client { http, runtime, timeout: collector.timeout, delivery: Arc::clone(&delivery) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(collector.endpoint.as_str())
            .with_timeout(collector.timeout)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let provider = SdkTracerProvider::builder()
            .with_resource(collector.resource())
            .with_batch_exporter(exporter)
            .build();
        Ok(Self { provider, delivery })
    }

    /// Returns the layer that exports the spans of [`TRACES`]. It takes no events: a log line can quote an upstream.
    #[must_use]
    pub fn layer(&self) -> BoxedLayer {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(VERSION).build();
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer_with_scope(scope))
            .with_context_activation(false)
            .with_level(false)
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TRACES))
            .boxed()
    }

    /// Returns the URL that the traces go to, for people.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.delivery.to
    }

    /// Sends the spans that are left, for at most that time, and ends the export. Blocks: not to be called on a thread of the runtime.
    pub fn shut_down(&self, within: Duration) {
        if self.provider.shutdown_with_timeout(within).is_err() {
            self.delivery.failed("the last ones were not taken in time");
        }
    }
}

/// State of the delivery, so that a collector that is down is logged once.
#[derive(Debug)]
struct Delivery {
    to: String,
    fails: AtomicBool,
}

impl Delivery {
    fn failed(&self, reason: &str) {
        if !self.fails.swap(true, Ordering::Relaxed) {
            let to = &self.to;
            tracing::warn!(
                "traces are not delivered to {to}, and are lost: {reason}; this is said once, until it works"
            );
        }
    }

    fn worked(&self) {
        if self.fails.swap(false, Ordering::Relaxed) {
            tracing::info!("traces are delivered to {} again", self.to);
        }
    }
}

/// HTTP client of the exporter. The exporter waits for it on a thread without a runtime.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
    timeout: Duration,
    delivery: Arc<Delivery>,
}

/// Failure of a request to the collector.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error("{}", chain(.0))]
    Unanswered(#[from] reqwest::Error),
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("the program is ending")]
    Ending,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let request = self
            .http
            .request(head.method, head.uri.to_string())
            .headers(head.headers)
            .timeout(self.timeout)
            .body(body);
        let exchange = async move {
            let response = request.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut answer = Response::new(read_capped(response, MAX_ANSWER).await?);
            *answer.status_mut() = status;
            *answer.headers_mut() = headers;
            Ok::<_, Undelivered>(answer)
        };
        let outcome = self.runtime.spawn(exchange).await.unwrap_or(Err(Undelivered::Ending));
        match &outcome {
            Ok(answer) if answer.status().is_success() => self.delivery.worked(),
            Ok(answer) => self.delivery.failed(&format!("it answers {}", answer.status().as_u16())),
            Err(error) => self.delivery.failed(&error.to_string()),
        }
        outcome.map_err(HttpError::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Option<Collector>, Vec<String>) {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Collector::from_environment(find)
    }

    const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const OWN: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

    #[test]
    fn nothing_is_exported_unless_an_endpoint_is_named() {
        for variables in [
            &[][..],
            &[(BASE, "")],
            &[("OTEL_SERVICE_NAME", "a"), ("OTEL_TRACES_SAMPLER", "b")],
            &[(BASE, "http://localhost:4318"), ("OTEL_SDK_DISABLED", "TRUE")],
            &[(BASE, "http://localhost:4318"), ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert_eq!(read(variables), (None, Vec::new()), "{variables:?}");
        }
    }

    #[test]
    fn the_endpoint_of_all_signals_is_a_base_and_that_of_traces_is_used_as_it_is() {
        for (variables, expected) in [
            (&[(BASE, "http://localhost:4318")][..], "http://localhost:4318/v1/traces"),
            (&[(BASE, "https://otel.example/otlp/")], "https://otel.example/otlp/v1/traces"),
            (&[(BASE, "http://a"), (OWN, "http://b/traces?k=1")], "http://b/traces?k=1"),
        ] {
            let (collector, problems) = read(variables);
            assert_eq!(
                (collector.map(|collector| collector.endpoint.to_string()).as_deref(), problems),
                (Some(expected), Vec::new())
            );
        }
    }

    #[test]
    fn a_variable_that_cannot_be_read_is_named_and_turns_only_the_export_off() {
        let base = (BASE, "http://localhost:4318");
        for (variables, named) in [
            (&[(BASE, "localhost:4318")][..], BASE),
            (&[(OWN, "ftp://user:password@a")], OWN),
            (&[base, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], "OTEL_EXPORTER_OTLP_PROTOCOL"),
            (&[base, ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10s")], "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"),
            (&[base, ("OTEL_TRACES_EXPORTER", "zipkin")], "OTEL_TRACES_EXPORTER"),
        ] {
            let (collector, problems) = read(variables);
            let [problem] = &problems[..] else { panic!("{variables:?}: {problems:?}") };
            assert!(
                collector.is_none() && problem.starts_with(named) && !problem.contains("password"),
                "{problem}"
            );
        }
        let (collector, problems) = read(&[base, ("OTEL_TRACES_SAMPLER", "sometimes")]);
        assert!(collector.is_some() && problems[0].contains("\"sometimes\""), "{problems:?}");
    }

    #[test]
    fn where_traces_go_is_told_without_credentials() {
        let (collector, _) = read(&[(OWN, "https://user:password@otel.example/v1/traces?key=secret")]);
        assert_eq!(collector.unwrap().destination(), "https://otel.example/v1/traces");
    }
}
