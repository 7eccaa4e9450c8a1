//! `casebridge push`: looks at, sets up and removes what sends the messages of both systems: CSAPI's event subscription, and the CRM's
//! webhook.

use anyhow::{Context as _, bail, ensure};
use casebridge::cases::{ApiError, ApiErrorKind, Check, CheckStatus, worst};
use casebridge::config::{Config, GooglePush, PushConfig, Secret};
use casebridge::crm::registration::{self, Registration, RegistrationError, WebhookTarget, Webhooks};
use casebridge::csapi::events;

use super::parts::Maker;
use super::{SideArg, check};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Shows what is set up on each side, why it fails, and what cures that.
    Status {
        /// Side to look at; both without it.
        side: Option<SideArg>,
    },
    /// Creates or restores what is missing: Google's event subscription, and the CRM's webhook where its API can. Prints what to paste
    /// elsewhere.
    Enable {
        /// Side to set up; both without it.
        side: Option<SideArg>,
        /// Existing event subscription that is to publish to the topic, in place of a new one: `organizations/N/supportEventSubscriptions/ID`.
        #[arg(long, value_name = "NAME")]
        replace: Option<String>,
        /// Prints the changes, and makes none.
        #[arg(long)]
        dry_run: bool,
    },
    /// Removes what `enable` has made, so that no messages are sent.
    Disable {
        /// Side to remove it from; both without it.
        side: Option<SideArg>,
        /// Removes the event subscription for good, so that it cannot be restored.
        #[arg(long)]
        expunge: bool,
        /// Prints the changes, and makes none.
        #[arg(long)]
        dry_run: bool,
    },
    /// Prints the secret that the CRM made and signs its messages with, for `push.company.secret`.
    Secret,
}

/// Runs the command. Returns false if something is not as it has to be.
pub(super) async fn run(command: Command, config: &Config) -> anyhow::Result<bool> {
    let maker = Maker::default();
    let named = match &command {
        Command::Status { side } | Command::Enable { side, .. } | Command::Disable { side, .. } => *side,
        Command::Secret => Some(SideArg::Company),
    };
    ensure!(
        is_meant(named, SideArg::Google, config) || is_meant(named, SideArg::Company, config),
        "push is configured for no side: docs/push.md"
    );
    match command {
        Command::Status { side } => {
            let mut checks = Vec::new();
            if is_meant(side, SideArg::Google, config) {
                checks.extend(google_status(&maker, config).await?);
            }
            if is_meant(side, SideArg::Company, config) {
                checks.push(company_status(&maker, config).await?);
            }
            for check in &checks {
                check::print(check);
            }
            Ok(worst(&checks) != CheckStatus::Failed)
        }
        Command::Enable { side, replace, dry_run } => {
            let mut is_whole = true;
            if is_meant(side, SideArg::Google, config) {
                is_whole &= enable_google(&maker, config, replace.as_deref(), dry_run).await?;
            }
            if is_meant(side, SideArg::Company, config) {
                is_whole &= change_company(&maker, config, true, dry_run).await?;
            }
            Ok(is_whole)
        }
        Command::Disable { side, expunge, dry_run } => {
            let mut is_whole = true;
            if is_meant(side, SideArg::Google, config) {
                let topic = topic(&maker, config).await?;
                let csapi = maker.csapi(&config.google).await?;
                let all = csapi.event_subscriptions().await?;
                make(&csapi, &events::changes_to_disable(&all, &topic, expunge), dry_run).await?;
            }
            if is_meant(side, SideArg::Company, config) {
                is_whole &= change_company(&maker, config, false, dry_run).await?;
            }
            Ok(is_whole)
        }
        Command::Secret => match registration_of(&maker, config).await? {
            Registration::Paste(_) => bail!(
                "{} signs with the secret that it is given: push.company.secret",
                config.company.crm.name()
            ),
            Registration::Calls(webhooks) => match webhooks.signing_secret().await? {
                Some(secret) => {
                    println!("{secret}");
                    Ok(true)
                }
                None => bail!(
                    "there is no webhook that {} made a secret for: `casebridge push enable company` makes it, unless the CRM signs with \
                     the secret that it is given",
                    config.company.crm.name()
                ),
            },
        },
    }
}

/// Reports if the command is about that side: the one that was named, else each that is configured.
fn is_meant(given: Option<SideArg>, side: SideArg, config: &Config) -> bool {
    let push = &config.push;
    match (given, side) {
        (Some(given), _) => given == side,
        (None, SideArg::Google) => push.google.is_some() || push.topic.is_some(),
        (None, SideArg::Company) => push.company.is_some() || push.address.is_some(),
    }
}

/// Returns the topic that Google has to publish to: the configured one, else that of the subscription that the service pulls from.
async fn topic(maker: &Maker, config: &Config) -> anyhow::Result<String> {
    if let Some(topic) = &config.push.topic {
        return Ok(topic.clone());
    }
    match &config.push.google {
        Some(GooglePush::Pulled(settings)) => {
            let subscription = maker.subscription(settings, config.google.authenticate).await?;
            subscription.topic().await.context("push.google.topic is not set")
        }
        Some(GooglePush::Pushed(_)) | None => {
            bail!(
                "push.google.topic is missing: the topic that Google publishes to, projects/PROJECT/topics/ID (docs/push.md)"
            )
        }
    }
}

async fn google_status(maker: &Maker, config: &Config) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    if let Some(GooglePush::Pulled(settings)) = &config.push.google {
        checks.push(maker.subscription(settings, config.google.authenticate).await?.check().await);
    }
    let csapi = maker.csapi(&config.google).await?;
    let wanted = match &config.push {
        PushConfig { topic: None, google: Some(GooglePush::Pulled(_)), .. } => {
            topic(maker, config).await.ok()
        }
        PushConfig { topic, .. } => topic.clone(),
    };
    let finding = match csapi.event_subscriptions().await {
        Ok(all) => events::judge(&all, wanted.as_deref()),
        Err(error) => Err((&error).into()),
    };
    checks.push(Check::new("CSAPI: event subscription", finding));
    Ok(checks)
}

async fn enable_google(
    maker: &Maker,
    config: &Config,
    replaced: Option<&str>,
    dry_run: bool,
) -> anyhow::Result<bool> {
    let topic = topic(maker, config).await?;
    let csapi = maker.csapi(&config.google).await?;
    let all = csapi.event_subscriptions().await?;
    let changes = events::changes_to_enable(&all, &topic, replaced);
    make(&csapi, &changes, dry_run).await?;
    if dry_run {
        return Ok(true);
    }
    let finding = events::judge(&csapi.event_subscriptions().await?, Some(&topic));
    let check = Check::new("CSAPI: event subscription", finding);
    check::print(&check);
    Ok(check.status != CheckStatus::Failed)
}

async fn make(
    csapi: &casebridge::csapi::Csapi,
    changes: &[events::EventChange],
    dry_run: bool,
) -> anyhow::Result<()> {
    if changes.is_empty() {
        println!("Google: nothing is to be changed");
    }
    for change in changes {
        if dry_run {
            println!("Google: would {change}");
        } else {
            csapi.change_events(change).await?;
            println!("Google: {change}: done");
        }
    }
    Ok(())
}

async fn registration_of(maker: &Maker, config: &Config) -> anyhow::Result<Registration> {
    let address = config.push.address.clone().context(
        "push.company.address is missing: where the CRM reaches POST /push/company, https://SERVICE/push/company",
    )?;
    // A CRM that makes its own secret has it before the configuration does.
    let secret = match &config.push.company {
        Some((secret, _)) => maker.secret(secret).await.ok().map(|secret| secret.reveal().to_owned()),
        None => None,
    };
    let upstream = maker.company_upstream(&config.company).await?;
    let target = WebhookTarget { address, secret };
    Ok(config.company.crm.registration(target, upstream, maker.clock.clone()))
}

async fn company_status(maker: &Maker, config: &Config) -> anyhow::Result<Check> {
    let name = config.company.crm.name();
    let what = format!("{name}: webhook");
    let finding = match registration_of(maker, config).await? {
        Registration::Paste(_) => {
            Ok("made by hand: `casebridge push enable company` prints what to paste".to_owned())
        }
        Registration::Calls(webhooks) => match (webhooks.registered().await, webhooks.steps(true).await) {
            (Ok(lines), Ok(steps)) if steps.is_empty() => {
                secret_finding(webhooks.as_ref(), config, maker, &lines).await
            }
            (Ok(lines), Ok(steps)) => {
                let left: Vec<String> = steps.into_iter().map(|step| step.text).collect();
                let found =
                    if lines.is_empty() { "nothing is registered".to_owned() } else { lines.join("; ") };
                let detail = format!("{found}; left to do: {}", left.join(", "));
                Err(casebridge::cases::Trouble::failed(detail, "`casebridge push enable company`"))
            }
            (Err(error), _) | (_, Err(error)) => Err((&error).into()),
        },
    };
    Ok(Check::new(what, finding))
}

/// Compares the secret that the CRM made with the configured one.
async fn secret_finding(
    webhooks: &dyn Webhooks,
    config: &Config,
    maker: &Maker,
    lines: &[String],
) -> casebridge::cases::Finding {
    let theirs = webhooks.signing_secret().await.map_err(|error| casebridge::cases::Trouble::from(&error))?;
    let (Some(theirs), Some((reference, _))) = (theirs, &config.push.company) else {
        return Ok(lines.join("; "));
    };
    match maker.secret(reference).await {
        Ok(ours) if ours == Secret::new(theirs.as_str()) => Ok(lines.join("; ")),
        Ok(_) | Err(_) => Err(casebridge::cases::Trouble::failed(
            format!("{}; it signs with another secret than push.company.secret", lines.join("; ")),
            "put the output of `casebridge push secret` where push.company.secret points, and restart the service",
        )),
    }
}

async fn change_company(maker: &Maker, config: &Config, wanted: bool, dry_run: bool) -> anyhow::Result<bool> {
    let name = config.company.crm.name();
    let webhooks = match registration_of(maker, config).await? {
        Registration::Paste(text) if wanted => {
            println!("{name}: its API cannot make the webhook for the connector. Paste this:\n\n{text}");
            return Ok(true);
        }
        Registration::Paste(_) => {
            println!("{name}: remove by hand what was pasted");
            return Ok(true);
        }
        Registration::Calls(webhooks) => webhooks,
    };
    if wanted && webhooks_need_secret(config) {
        bail!("push.company.secret is missing: {name} signs its messages with it");
    }
    if dry_run {
        let steps = match webhooks.steps(wanted).await {
            Err(error) if is_about_rights(&error) => return by_hand(webhooks.as_ref(), &error, wanted),
            steps => steps?,
        };
        if steps.is_empty() {
            println!("{name}: nothing is to be changed");
        }
        for step in steps {
            println!("{name}: would {}", step.text);
        }
        return Ok(true);
    }
    let mut made = 0;
    let carried = registration::carry_out(webhooks.as_ref(), wanted, |text| {
        made += 1;
        println!("{name}: {text}: done");
    })
    .await;
    match carried {
        Err(RegistrationError::Call(error)) if is_about_rights(&error) => {
            return by_hand(webhooks.as_ref(), &error, wanted);
        }
        carried => carried?,
    }
    if made == 0 {
        println!("{name}: nothing is to be changed");
    }
    if !wanted {
        return Ok(true);
    }
    let check = company_status(maker, config).await?;
    check::print(&check);
    Ok(check.status != CheckStatus::Failed)
}

/// True if no secret is configured although the CRM is told it. Zendesk makes its own, which the configuration gets afterwards.
fn webhooks_need_secret(config: &Config) -> bool {
    config.push.company.is_none() && config.company.crm.is_told_secret()
}

fn is_about_rights(error: &ApiError) -> bool {
    error.kind == ApiErrorKind::Unauthorized && error.status == Some(403)
}

fn by_hand(webhooks: &dyn Webhooks, error: &ApiError, wanted: bool) -> anyhow::Result<bool> {
    ensure!(wanted, "{error}");
    println!("The connector's user may not do this ({}).\n\n{}", error.without_hint(), webhooks.by_hand());
    Ok(false)
}
