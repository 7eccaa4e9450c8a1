//! `casebridge classifications WORDS`: lists the classifications that Google's cases can have, to find the ID for
//! `google.classification_id`.

use std::path::Path;

use anyhow::bail;
use casebridge::config::Sections;
use serde_json::json;

use super::parts::Maker;
use super::{FAILED, SUCCESS, USAGE};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Words that the name has to contain, in any order; without words, all are listed.
    words: Vec<String>,
    /// Prints JSON, one classification a line.
    #[arg(long)]
    json: bool,
}

/// Prints the classifications. Needs the section `google` only, and no classification in it. Returns the exit code.
pub(super) async fn run(args: Args, config: Option<&Path>) -> anyhow::Result<u8> {
    let sections = Sections::load(config, std::env::vars());
    let Some(google) = &sections.google else {
        if let Err(errors) = sections.whole() {
            eprintln!("casebridge: {errors}");
        }
        return Ok(USAGE);
    };
    let csapi = Maker::default().csapi(google).await?;
    let found = match csapi.classifications(&args.words).await {
        Ok(found) => found,
        Err(error) => bail!("{error}"),
    };
    for classification in &found {
        if args.json {
            println!("{}", json!({ "id": classification.id, "displayName": classification.display_name }));
        } else {
            println!("{}  {}", classification.id, classification.display_name);
        }
    }
    if found.is_empty() {
        eprintln!(
            "casebridge: no classification's name contains all of these words: {}",
            args.words.join(" ")
        );
        return Ok(FAILED);
    }
    Ok(SUCCESS)
}
