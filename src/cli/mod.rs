//! The commands. Exit codes: 0 good, 1 failed, 2 usage or configuration.

mod parts;
mod sandbox;
mod serve;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use casebridge::config::{Config, Platform};
use casebridge::entities::Side;
use casebridge::tasks::{SyncCompanyCase, SyncGoogleCase, Task};
use casebridge::telemetry;
use clap::{Args, Parser, Subcommand};

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Keeps Google Cloud support cases and a company's service desk in step, both ways.
#[derive(Debug, Parser)]
#[command(version = telemetry::RELEASE, about)]
struct Cli {
    /// The configuration; `casebridge.toml` if it exists. Each key can be overridden: `CASEBRIDGE_GOOGLE__PARENT=…`
    #[arg(long, global = true, env = "CASEBRIDGE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service.
    Serve,
    /// Runs the service with everything embedded, against a sandbox CSAPI and a sandbox CRM, to watch cases travel.
    Sandbox(SandboxArgs),
    /// Tries every connection and permission that the service needs.
    Check {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Syncs one case now, and prints what was carried.
    Sync {
        /// Where the case is that is to be carried to the other side.
        side: SideArg,
        /// `organizations/1/cases/2`, or the CRM's ID.
        case: String,
        /// Prints the plan and changes nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Polls one side now.
    Poll {
        /// Which side.
        side: SideArg,
    },
    /// Looks for outages now.
    DetectOutages,
    /// Deletes the mappings of cases that were closed long ago, now.
    Cleanup,
    /// Shows what is mapped, how old each side is, what is waiting.
    Mappings {
        /// Prints JSON, one mapping a line.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct SandboxArgs {
    /// The service's port; the sandbox CSAPI gets the next one, the sandbox CRM the one after.
    #[arg(long, default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..=65533))]
    port: u16,
    /// Which CRM stands on the company's side.
    #[arg(long, value_enum, default_value_t = CrmArg::Jira)]
    crm: CrmArg,
    /// Where to keep the state; without it, a temporary folder.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Leaves the polls to you.
    #[arg(long)]
    no_cron: bool,
}

/// A CRM that there is a sandbox of.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum CrmArg {
    Jira,
    Zendesk,
    Servicenow,
}

impl CrmArg {
    /// As the configuration names it.
    fn name(self) -> &'static str {
        match self {
            Self::Jira => "jira",
            Self::Zendesk => "zendesk",
            Self::Servicenow => "servicenow",
        }
    }

    /// What people call it.
    fn label(self) -> &'static str {
        match self {
            Self::Jira => "Jira",
            Self::Zendesk => "Zendesk",
            Self::Servicenow => "ServiceNow",
        }
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SideArg {
    Google,
    Company,
}

impl From<SideArg> for Side {
    fn from(side: SideArg) -> Self {
        match side {
            SideArg::Google => Self::Google,
            SideArg::Company => Self::Company,
        }
    }
}

/// Runs the command that the arguments ask for.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match &cli.command {
        Command::Sandbox(_) => None,
        Command::Serve
        | Command::Check { .. }
        | Command::Sync { .. }
        | Command::Poll { .. }
        | Command::DetectOutages
        | Command::Cleanup
        | Command::Mappings { .. } => match Config::load(cli.config.as_deref(), std::env::vars()) {
            Ok(config) => Some(config),
            Err(errors) => {
                eprintln!("casebridge: {errors}");
                return ExitCode::from(USAGE);
            }
        },
    };
    telemetry::init(config.as_ref().map_or(Platform::Local, |config| config.server.platform));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("casebridge: the runtime cannot be started: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let outcome = runtime.block_on(run(cli.command, config));
    // A store's thread that hangs must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            eprintln!("casebridge: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// Whether all went well.
async fn run(command: Command, config: Option<Config>) -> anyhow::Result<bool> {
    let Some(config) = config else {
        let Command::Sandbox(args) = command else { unreachable!("every other command has a configuration") };
        return sandbox::run(args).await;
    };
    match command {
        Command::Sandbox(_) => unreachable!("it brings its own configuration"),
        Command::Serve => serve::run(&config).await,
        Command::Check { json } => work::check(&config, json).await,
        Command::Sync { side: SideArg::Google, case, dry_run } => {
            work::task(&config, Task::SyncGoogleCase(SyncGoogleCase { case_name: case }), dry_run).await
        }
        Command::Sync { side: SideArg::Company, case, dry_run } => {
            work::task(&config, Task::SyncCompanyCase(SyncCompanyCase { case_id: case }), dry_run).await
        }
        Command::Poll { side: SideArg::Google } => work::task(&config, Task::PollGoogle, false).await,
        Command::Poll { side: SideArg::Company } => work::task(&config, Task::PollCompany, false).await,
        Command::DetectOutages => work::task(&config, Task::DetectOutages, false).await,
        Command::Cleanup => work::task(&config, Task::Cleanup, false).await,
        Command::Mappings { json } => work::mappings(&config, json).await,
    }
}
