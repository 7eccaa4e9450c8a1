//! Files that other programs read about the command line: completion scripts for shells, and the manual page. Both are made of the same
//! description as `--help`, so that they cannot differ from it.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Cli, FAILED, SUCCESS, USAGE};

/// Writes the completion script for a shell.
pub(super) fn completions(shell: Shell, output: &mut dyn Write) -> io::Result<()> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    // Into memory: the generator panics if it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    output.write_all(&script)
}

/// Writes the manual page in roff: one page with all commands, since that is one file to install.
pub(super) fn manual_page(output: &mut dyn Write) -> io::Result<()> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let overview = Man::new(command.clone()).manual("casebridge");
    overview.render_title(output)?;
    overview.render_name_section(output)?;
    overview.render_synopsis_section(output)?;
    overview.render_description_section(output)?;
    overview.render_options_section(output)?;
    heading("SH", "COMMANDS").to_writer(output)?;
    each_command(&command, output)?;
    exit_status().to_writer(output)?;
    overview.render_version_section(output)
}

/// Writes a subsection for each command below this one.
fn each_command(above: &clap::Command, output: &mut dyn Write) -> io::Result<()> {
    for command in above.get_subcommands() {
        heading("SS", command.get_bin_name().unwrap_or(command.get_name())).to_writer(output)?;
        // The options of every command stand once, in the overview.
        let page = Man::new(command.clone().mut_args(|argument| {
            let is_everywhere = argument.is_global_set() || argument.get_id() == "help";
            argument.hide(is_everywhere)
        }));
        for section in
            [Man::render_synopsis_section, Man::render_description_section, Man::render_options_section]
        {
            let mut rendered = Vec::new();
            section(&page, &mut rendered)?;
            output.write_all(b".PP\n")?;
            output.write_all(&without_heading(&rendered))?;
        }
        each_command(command, output)?;
    }
    Ok(())
}

/// Removes the heading of a section. A line of text cannot be taken for one: roff escapes a dot at its beginning.
fn without_heading(section: &[u8]) -> Vec<u8> {
    section
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| !line.starts_with(b".SH "))
        .flatten()
        .copied()
        .collect()
}

/// Returns the heading of a section (`SH`) or of a subsection (`SS`).
fn heading(level: &str, words: &str) -> Roff {
    let mut heading = Roff::new();
    heading.control(level, [words]);
    heading
}

fn exit_status() -> Roff {
    let mut status = heading("SH", "EXIT STATUS");
    for (code, meaning) in [
        (SUCCESS, "The command did what it was asked to do."),
        (FAILED, "The command failed, and says why on standard error, or in its list of checks."),
        (USAGE, "The command line or the configuration is wrong."),
    ] {
        status.control("TP", []).text([bold(code.to_string())]).text([roman(meaning)]);
    }
    status
}

/// Writes a file to standard output, and returns the exit code.
pub(super) fn print(file: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> ExitCode {
    let mut output = io::stdout().lock();
    match file(&mut output).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::from(SUCCESS),
        Err(error) => {
            eprintln!("casebridge: standard output cannot be written: {error}");
            ExitCode::from(FAILED)
        }
    }
}
