//! Logs and traces of the process, from its begin to its end.

use casebridge::config::LogFormat;
use casebridge::otlp::{Collector, Exporter, FLUSH_TIMEOUT};
use casebridge::telemetry;
use tokio::runtime::Handle;

/// Sets up the logs, and the export of traces if the environment names a collector. What is wrong with its variables is logged, and keeps
/// nothing else from running.
pub(super) fn begin(log_format: LogFormat, runtime: &Handle) -> Option<Exporter> {
    let (collector, mut problems) = Collector::from_environment(|name| std::env::var(name).ok());
    let mut exporter = None;
    if let Some(collector) = collector {
        match Exporter::start(&collector, runtime.clone()) {
            Ok(started) => exporter = Some(started),
            Err(problem) => problems.push(problem),
        }
    }
    telemetry::init(log_format, exporter.as_ref().map(Exporter::layer));
    for problem in problems {
        tracing::warn!("{problem}");
    }
    if let Some(exporter) = &exporter {
        tracing::info!("traces go to {}", exporter.destination());
    }
    exporter
}

/// Sends the traces that are left.
pub(super) fn end(exporter: Option<Exporter>) {
    if let Some(exporter) = exporter {
        exporter.shut_down(FLUSH_TIMEOUT);
    }
}
