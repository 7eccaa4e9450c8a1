//! Commands of the program. Exit codes: 0 success, 1 failure, 2 wrong usage or configuration.

mod check;
mod classifications;
mod parts;
mod probe;
mod push;
mod reference;
#[cfg(feature = "sandbox")]
mod sandbox;
mod serve;
#[cfg(feature = "otlp")]
mod traces;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use casebridge::config::{Config, LogFormat};
use casebridge::entities::Side;
use casebridge::tasks::{SyncCompanyCase, SyncGoogleCase, Task, Verb, Which};
use casebridge::telemetry;
use clap::{Parser, Subcommand};

const SUCCESS: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Keeps Google Cloud support cases and a company's service desk in step, both ways.
#[derive(Debug, Parser)]
#[command(version = telemetry::RELEASE, about)]
struct Cli {
    /// Configuration file; `casebridge.toml` if it exists. Each key can be overridden: `CASEBRIDGE_GOOGLE__PARENT=…`
    #[arg(long, global = true, env = "CASEBRIDGE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Configured(Configured),
    /// Tries every connection and permission that the service needs, each side also without the other.
    Check(check::Args),
    /// Lists the classifications that Google's cases can have, by words of their names.
    Classifications(classifications::Args),
    /// Runs the service with all parts embedded, against a sandbox CSAPI and a sandbox CRM, to watch cases travel.
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::Args),
    /// Prints a script that lets a shell complete the command line.
    Completions {
        /// Shell that reads the script.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page, for `man`.
    Man,
}

/// Commands that need the whole configuration.
#[derive(Debug, Subcommand)]
enum Configured {
    /// Runs the service.
    Serve,
    /// Syncs one case now, and prints the items that were carried.
    Sync {
        /// Side of the case; its content is carried to the other side.
        side: SideArg,
        /// A Google case's name, number or address in the console; a company case's key, ID or address.
        case: String,
        /// Prints the plan and changes nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Polls one side now.
    Poll {
        /// Side to poll.
        side: SideArg,
        /// Prints what would be created, linked, set and written, case by case, and changes nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Checks for outages now.
    DetectOutages {
        /// Prints the notices that would be posted, and changes nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Deletes the mappings of cases that were closed long ago, now.
    Cleanup {
        /// Prints the mappings that would be deleted, and changes nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Lists the mappings, with the age of each side and the sides that wait to be carried.
    Mappings(MappingsArgs),
    /// Tries a pair again now, with what was given up.
    Retry {
        /// Key, ID or address of its company case, or name, number or address of its Google case.
        case: String,
    },
    /// Carries nothing between the cases of a pair until it is resumed.
    Pause {
        /// Key, ID or address of its company case, or name, number or address of its Google case.
        case: String,
        /// Reason, which is kept and shown.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Goes on with a pair that was paused or unlinked, and carries what was written in between.
    Resume {
        /// Key, ID or address of its company case, or name, number or address of its Google case.
        case: String,
    },
    /// Ends a pair for good; both cases stay as they are, and no poll links them again.
    Unlink {
        /// Key, ID or address of its company case, or name, number or address of its Google case.
        case: String,
        /// Reason, which is kept and shown.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Makes a pair of a Google case and a company case that exist and have none.
    Link {
        /// Name, number or address of the Google case.
        google_case: String,
        /// Key, ID or address of the company case.
        company_case: String,
        /// Reason, which is kept and shown.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Lists the tasks that the embedded queue gave up, the latest first.
    DeadLetters {
        /// Number of tasks to list.
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: u32,
        /// Prints JSON, one task a line.
        #[arg(long)]
        json: bool,
    },
    /// Sets up the messages with which both systems say that a case has changed: docs/push.md.
    #[command(subcommand)]
    Push(push::Command),
    /// Excludes one comment or file from the sync, such as one that can never be carried.
    Skip {
        /// Key, ID or address of its company case, or name, number or address of its Google case.
        case: String,
        /// ID of the comment or file; `google:` or `company:` before it names its side.
        item: String,
        /// Reason, which is kept and shown.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[expect(clippy::struct_excessive_bools, reason = "one switch each")]
struct MappingsArgs {
    /// Only the pair of this case: the key, ID or address of its company case, or the name, number or address of its Google case.
    case: Option<String>,
    /// Prints JSON, one mapping a line.
    #[arg(long)]
    json: bool,
    /// Lists only pairs with changes that no sync has carried yet.
    #[arg(long, group = "which", conflicts_with = "case")]
    dirty: bool,
    /// Lists only company cases that name a Google case which they cannot have.
    #[arg(long, group = "which", conflicts_with = "case")]
    conflicts: bool,
    /// Lists only pairs that are out of step for longer than their tolerance.
    #[arg(long, group = "which", conflicts_with = "case")]
    late: bool,
    /// Lists only pairs one of whose titles has all of these words, as it was last read.
    #[arg(long, value_name = "WORDS", conflicts_with = "case")]
    words: Option<String>,
    #[command(subcommand)]
    verb: Option<MappingsVerb>,
}

#[derive(Debug, Subcommand)]
enum MappingsVerb {
    /// Shows one pair, with its last error, the time of it and the number of tries.
    Show {
        /// Key, ID or address of its company case, or name, number or address of its Google case.
        case: String,
        /// Prints JSON, one pair a line, as `GET /api/v1/mappings/{case}` has it.
        #[arg(long)]
        json: bool,
    },
}

impl MappingsArgs {
    const fn which(&self) -> Which {
        if self.dirty {
            Which::Dirty
        } else if self.conflicts {
            Which::Conflicts
        } else if self.late {
            Which::Late
        } else {
            Which::All
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
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

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => block_on(LogFormat::Text, code(sandbox::run(args))),
        // Its output and its log are for whoever runs it, also with the configuration of another platform.
        Command::Check(args) => block_on(LogFormat::Text, check::run(args, cli.config.as_deref())),
        Command::Classifications(args) => {
            block_on(LogFormat::Text, classifications::run(args, cli.config.as_deref()))
        }
        Command::Completions { shell } => reference::print(|output| reference::completions(shell, output)),
        Command::Man => reference::print(reference::manual_page),
        Command::Configured(command) => match Config::load(cli.config.as_deref(), std::env::vars()) {
            Ok(config) => block_on(config.server.log_format, code(run(command, config))),
            Err(errors) => {
                eprintln!("casebridge: {errors}");
                ExitCode::from(USAGE)
            }
        },
    }
}

/// Returns the exit code of a command that returns false if it failed and has already reported why.
async fn code(command: impl Future<Output = anyhow::Result<bool>>) -> anyhow::Result<u8> {
    Ok(if command.await? { SUCCESS } else { FAILED })
}

/// Runs a command, which returns its exit code, to completion.
fn block_on(log_format: LogFormat, command: impl Future<Output = anyhow::Result<u8>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("casebridge: the runtime cannot be started: {error}");
            return ExitCode::from(FAILED);
        }
    };
    #[cfg(feature = "otlp")]
    let traces = traces::begin(log_format, runtime.handle());
    #[cfg(not(feature = "otlp"))]
    telemetry::init(log_format, None);
    let outcome = runtime.block_on(command);
    // The runtime carries what is still to be sent.
    #[cfg(feature = "otlp")]
    traces::end(traces);
    // A store's thread that hangs must not keep the process alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("casebridge: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

async fn run(command: Configured, config: Config) -> anyhow::Result<bool> {
    match command {
        Configured::Serve => serve::run(&config).await,
        Configured::Sync { side: SideArg::Google, case, dry_run } => {
            work::task(&config, Task::SyncGoogleCase(SyncGoogleCase::of(case)), dry_run).await
        }
        Configured::Sync { side: SideArg::Company, case, dry_run } => {
            work::task(&config, Task::SyncCompanyCase(SyncCompanyCase::of(case)), dry_run).await
        }
        Configured::Poll { side: SideArg::Google, dry_run } => {
            work::task(&config, Task::PollGoogle, dry_run).await
        }
        Configured::Poll { side: SideArg::Company, dry_run } => {
            work::task(&config, Task::PollCompany, dry_run).await
        }
        Configured::DetectOutages { dry_run } => work::task(&config, Task::DetectOutages, dry_run).await,
        Configured::Cleanup { dry_run } => work::task(&config, Task::Cleanup, dry_run).await,
        Configured::Mappings(MappingsArgs { verb: Some(MappingsVerb::Show { case, json }), .. }) => {
            work::show_pairs(&config, &case, json).await
        }
        Configured::Mappings(args) => {
            let wanted = work::Wanted {
                case: args.case.as_deref(),
                which: args.which(),
                words: args.words.as_deref(),
            };
            work::mappings(&config, &wanted, args.json).await
        }
        Configured::DeadLetters { limit, json } => work::dead_letters(&config, limit, json).await,
        Configured::Push(command) => push::run(command, &config).await,
        Configured::Retry { case } => work::operate(&config, &case, &Verb::Retry).await,
        Configured::Pause { case, reason } => work::operate(&config, &case, &Verb::Pause { reason }).await,
        Configured::Resume { case } => work::operate(&config, &case, &Verb::Resume).await,
        Configured::Unlink { case, reason } => work::operate(&config, &case, &Verb::Unlink { reason }).await,
        Configured::Link { google_case, company_case, reason } => {
            work::link(&config, &google_case, &company_case, reason.as_deref()).await
        }
        Configured::Skip { case, item, reason } => {
            anyhow::ensure!(!reason.trim().is_empty(), "--reason must say why: it is kept and shown");
            work::operate(&config, &case, &Verb::Skip { item, reason }).await
        }
    }
}
