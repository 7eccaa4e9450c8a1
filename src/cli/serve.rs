//! `casebridge serve`: runs the service until it is stopped.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use casebridge::config::Config;
use casebridge::entities::Sides;
use casebridge::http::{self, Limits, PollFailures, Service, StatusLog, router};
use casebridge::outbound::{certificate_problem, proxy_problems};
use casebridge::queue::TaskKind;
use casebridge::{puller, tasks, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::parts::{Parts, exposed_files, listen_address, trust_problem};

/// Time that running tasks get to finish after SIGTERM. App Engine gives about 30 s in all.
const GRACE: Duration = Duration::from_secs(25);
/// Lease-release timeout: time that tasks which were cut short get to release their leases.
const LEASE_RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn run(config: &Config) -> anyhow::Result<bool> {
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    serve(config, shutdown).await?;
    Ok(true)
}

/// Serves until `shutdown` is cancelled. Then no new work starts, running tasks get 25 s to finish, and leases are released.
pub(super) async fn serve(config: &Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let address = listen_address(&config.server)?;
    let parts = Parts::build(config).await?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().context("cannot tell the address that is listened on")?;
    tracing::info!("casebridge {} listening on http://{address}", telemetry::RELEASE);
    let variable = |name: &str| std::env::var(name).ok();
    for problem in proxy_problems(variable).into_iter().chain(certificate_problem(variable)) {
        tracing::warn!("{problem}");
    }
    if let Some(problem) = trust_problem(&config.server) {
        tracing::warn!("{problem}");
    }
    if let Some(problem) = parts.admin_token.as_ref().and_then(http::token_problem) {
        tracing::warn!("{problem}");
    }
    // A store that does not answer yet stops nothing: the first poll does the same.
    if let Err(error) = tasks::begin(&parts.deps).await {
        tracing::warn!("the time of the start is not noted yet: {error}");
    }
    for problem in exposed_files(&config.store, &config.queue) {
        tracing::warn!("{problem}");
    }
    let running = TaskTracker::new();
    let push = Arc::new(parts.push);
    let cron = parts.embedded.as_ref().and_then(|(_, cron)| cron.clone());
    let cron_every = |poll| cron.as_ref()?.interval(poll);
    let app = router(Service {
        deps: parts.deps.clone(),
        trust: config.server.trust,
        admin_token: parts.admin_token.clone(),
        iap: parts.iap.clone(),
        internal_token: parts.internal_token.clone(),
        push: Arc::clone(&push),
        polls: PollFailures::default(),
        cron_every: Sides {
            google: cron_every(TaskKind::PollGoogle),
            company: cron_every(TaskKind::PollCompany),
        },
        running: running.clone(),
    });
    let background = TaskTracker::new();
    let limits = Limits::on(config.server.platform);
    if let Some((queue, cron)) = &parts.embedded {
        queue.deliver_to(app.clone());
        background.spawn(queue.clone().run(shutdown.clone()));
        if let Some(cron) = cron {
            cron.call(app.clone());
            background.spawn(cron.clone().run(shutdown.clone()));
        }
    }
    if config.server.log_status {
        let (deps, shutdown) = (Arc::clone(&parts.deps), shutdown.clone());
        background.spawn(async move { StatusLog::default().run(&deps, &shutdown).await });
    }
    if let Some(subscription) = push.pull.clone() {
        let (deps, shutdown) = (Arc::clone(&parts.deps), shutdown.clone());
        background.spawn(async move { puller::run(&deps, &subscription, &shutdown).await });
    }
    background.close();
    let served = tokio::spawn(http::serve(listener, app, limits, shutdown.clone()));
    shutdown.cancelled().await;
    tracing::info!("stopping: no new work; running tasks get {} s", GRACE.as_secs());
    running.close();
    let ended = async {
        running.wait().await;
        background.wait().await;
    };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        parts.stop.cancel();
        let _ = tokio::time::timeout(LEASE_RELEASE_TIMEOUT, running.wait()).await;
    }
    // A connection that is kept open must not keep the process alive.
    let _ = tokio::time::timeout(Duration::from_secs(1), served).await;
    tracing::info!("stopped");
    Ok(())
}

/// Cancels `shutdown` on SIGTERM (from the platform) or SIGINT (from a terminal).
pub(super) async fn cancel_on_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    shutdown.cancel();
}
