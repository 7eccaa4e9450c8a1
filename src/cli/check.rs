//! `casebridge check`: tries everything that the service needs. What cannot be made keeps nobody from trying the rest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use casebridge::cases::{Check, CheckStatus, Finding, Needs, Trouble, Visibility, worst};
use casebridge::config::{
    GooglePush, PushConfig, QueueConfig, Secret, SecretRef, Sections, StoreConfig, app_yaml,
};
use casebridge::crm::CrmSettings;
use casebridge::entities::Side;
use casebridge::http;
use casebridge::outbound::{certificate_problem, proxy_problems};
use casebridge::store::StoreUrl;
use casebridge::tasks;
use serde_json::json;

use super::parts::{Around, Maker, exposed_files, listen_address, trust_problem};
use super::probe::Probe;
use super::{FAILED, SUCCESS, USAGE};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
    /// Reads the configuration from the `env_variables` of this file, as App Engine would, instead of a file and the environment.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    app_yaml: Option<PathBuf>,
}

/// Runs the checks and prints a line for each. Returns the exit code: 0 without a failure, 2 if the configuration cannot be used.
pub(super) async fn run(args: Args, config: Option<&Path>) -> anyhow::Result<u8> {
    let (sections, maker) = match &args.app_yaml {
        None => (Sections::load(config, std::env::vars()), Maker::default()),
        Some(path) => match app_yaml::read(path) {
            Ok(variables) => {
                let sections = Sections::parse("", variables.clone().into_iter());
                (sections, Maker::with_variables(Some(variables)))
            }
            Err(error) => (Sections { errors: vec![error], ..Sections::default() }, Maker::default()),
        },
    };
    let checks = all(&sections, &maker).await;
    let worst = if sections.errors.is_empty() { worst(&checks) } else { CheckStatus::Failed };
    if args.json {
        let wrong = sections.errors.iter().map(|error| {
            let hint = "docs/configuration.md explains every key";
            Check::new("configuration", Err(Trouble::failed(error, hint)))
        });
        let checks: Vec<Check> = wrong.chain(checks).collect();
        println!("{}", serde_json::to_string_pretty(&json!({ "status": worst, "checks": checks }))?);
    } else {
        for check in &checks {
            print(check);
        }
        if let Err(errors) = sections.clone().whole() {
            eprintln!("casebridge: {errors}");
        }
    }
    Ok(match worst {
        _ if !sections.errors.is_empty() => USAGE,
        CheckStatus::Failed => FAILED,
        CheckStatus::Ok | CheckStatus::Warn => SUCCESS,
    })
}

/// Tries everything that is configured.
/// Prints the line of a check for people.
pub(super) fn print(check: &Check) {
    println!("{:<8}{}: {}", check.status, check.what, check.text());
}

async fn all(sections: &Sections, maker: &Maker) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(config) = &sections.store {
        checks.push(Check::new(format!("store: {}", config.url), store(config, maker).await));
    }
    checks.extend(queues(sections, maker).await);
    if let (Some(store), Some(queue)) = (&sections.store, &sections.queue) {
        let exposed = exposed_files(store, queue);
        checks.extend(exposed.into_iter().map(|problem| Check::new("files", Err(problem))));
    }
    if let Some(token) = sections.server.as_ref().and_then(|server| server.admin_token.as_ref()) {
        checks.push(Check::new("admin token", admin_token(token, maker).await));
    }
    if let Some(server) = &sections.server
        && maker.runs_here()
        && let Some(problem) = trust_problem(server)
    {
        checks.push(Check::new("callers", Err(problem)));
    }
    let proxies = proxy_problems(|name| maker.variable(name));
    checks.extend(proxies.into_iter().map(|problem| Check::new("proxy", Err(problem))));
    // The file that App Engine's variable names is in the image.
    if maker.runs_here()
        && let Some(problem) = certificate_problem(|name| maker.variable(name))
    {
        checks.push(Check::new("certificates", Err(problem)));
    }
    let needs = |side| {
        sections
            .tasks
            .as_ref()
            .map_or_else(|| Needs::all(Visibility::Internal), |tasks| tasks.rules.needs(side))
    };
    let now = maker.clock.now();
    checks.extend(sections.tasks.as_ref().and_then(|tasks| tasks::check_since(tasks.since, now)));
    if let Some(google) = &sections.google {
        match maker.google(google).await {
            Ok(system) => {
                let found = tasks::check_system(system.as_ref(), needs(Side::Google), now).await;
                let answers = found.iter().any(|check| check.status == CheckStatus::Ok);
                checks.extend(found);
                // Of a system that answers nothing, each route would fail for the same reason.
                if let Some(tasks) = sections.tasks.as_ref().filter(|_| answers) {
                    checks.extend(tasks::check_routes(system.as_ref(), &tasks.routes, &tasks.placing).await);
                }
            }
            Err(error) => {
                let what = format!("{}: credentials", casebridge::csapi::NAME);
                checks.push(Check::new(what, Err(format!("{error:#}").into())));
            }
        }
    }
    if let (Some(PushConfig { google: Some(GooglePush::Pulled(settings)), .. }), Some(google)) =
        (&sections.push, &sections.google)
    {
        checks.push(match maker.subscription(settings, google.authenticate).await {
            Ok(subscription) => subscription.check().await,
            Err(error) => Check::new(
                format!("{}: credentials", casebridge::push::pull::NAME),
                Err(format!("{error:#}").into()),
            ),
        });
    }
    if let Some(company) = &sections.company {
        match maker.company(company).await {
            Ok(system) => {
                let found = tasks::check_system(system.as_ref(), needs(Side::Company), now).await;
                // Without credentials, each status and route would fail for the same reason.
                let tasks = sections.tasks.as_ref().filter(|_| found.len() > 1);
                checks.extend(found);
                if let Some(tasks) = tasks {
                    checks.extend(tasks::check_rules(system.as_ref(), &tasks.rules).await);
                    // An option may only seem to have no effect, since the one that it goes with is wrong.
                    if sections.errors.is_empty() {
                        checks.extend(tasks::check_effects(system.as_ref(), tasks));
                    }
                    checks.extend(tasks::check_routes(system.as_ref(), &tasks.routes, &tasks.placing).await);
                }
            }
            Err(error) => {
                let what = format!("{}: credentials", company.crm.name());
                let trouble = Trouble::failed(format!("{error:#}"), credentials_hint(&company.crm, maker));
                checks.push(Check::new(what, Err(trouble)));
            }
        }
    }
    checks
}

/// Returns what to do about a secret of the CRM that cannot be read.
fn credentials_hint(crm: &CrmSettings, maker: &Maker) -> String {
    let Some((key, reference)) = crm.secret_key() else { return "check the place of the secret".to_owned() };
    match reference.parse() {
        Ok(SecretRef::Environment(name)) if maker.runs_here() => {
            format!("set {name}, or name another place in {key}")
        }
        Ok(SecretRef::Environment(name)) => {
            format!(
                "add {name} to the file's env_variables, or name another place in {key}, such as Secret Manager"
            )
        }
        Ok(SecretRef::File(path)) => {
            format!("write the secret to {}, or name another place in {key}", path.display())
        }
        Ok(SecretRef::SecretManager(_)) | Err(_) => format!("check the place that {key} names"),
    }
}

async fn admin_token(reference: &SecretRef, maker: &Maker) -> Finding {
    match maker.secret(reference).await {
        Ok(token) => match http::token_problem(&token) {
            Some(problem) => Err(problem),
            None => Ok("can be read".to_owned()),
        },
        Err(error) => Err(Trouble::failed(
            format!("{error:#}"),
            "people cannot call the service without it: check server.admin_token",
        )),
    }
}

async fn store(config: &StoreConfig, maker: &Maker) -> Finding {
    let probe = match config.url.parse() {
        Ok(StoreUrl::Sqlite(path)) => Probe::beside(&path),
        Ok(StoreUrl::Google { .. }) | Err(_) => None,
    };
    let url = probe.as_ref().map_or_else(|| config.url.clone(), Probe::url);
    let store = maker.store(&url).await.map_err(|error| format!("{error:#}"))?;
    let found = tasks::check_store(store.as_ref()).await?;
    Ok(if probe.is_some() { format!("{found}; the service makes it when it starts") } else { found })
}

async fn queues(sections: &Sections, maker: &Maker) -> Vec<Check> {
    let Some(queue) = &sections.queue else { return Vec::new() };
    let listen = match sections.server.as_ref().map(listen_address) {
        Some(Ok(listen)) => listen,
        // Nothing is sent to it here.
        None => std::net::SocketAddr::from(([127, 0, 0, 1], 8080)),
        Some(Err(error)) => return vec![Check::new("queues", Err(error.to_string().into()))],
    };
    let around = Around {
        listen,
        timeout: sections.google.as_ref().map_or(Duration::from_secs(60), |google| google.timeout),
        deadline: sections.tasks.as_ref().map_or(Duration::from_mins(4), |tasks| tasks.deadline),
    };
    let token = Secret::new("");
    match queue {
        QueueConfig::Embedded { path, cron, queue_yaml, cron_yaml } => {
            let probe = Probe::beside(path);
            let tried = QueueConfig::Embedded {
                path: probe.as_ref().map_or_else(|| path.clone(), |probe| probe.path().to_owned()),
                cron: *cron,
                queue_yaml: queue_yaml.clone(),
                cron_yaml: cron_yaml.clone(),
            };
            let opened = maker.queue(&tried, around, &token).await;
            let finding = match opened {
                Err(error) => Err(format!("{error:#}").into()),
                Ok(_) if *cron => Ok(format!("embedded, in {}", path.display())),
                Ok(_) => Err(Trouble::warning(
                    format!("embedded, in {}; cron is off", path.display()),
                    "somebody else must call GET /cron/…, or set queue.cron = true",
                )),
            };
            vec![Check::new("queues", finding)]
        }
        QueueConfig::CloudTasks { .. } => match maker.queue(queue, around, &token).await {
            Ok((queue, _)) => tasks::check_queues(queue.as_ref()).await,
            Err(error) => vec![Check::new("queues", Err(format!("{error:#}").into()))],
        },
    }
}
