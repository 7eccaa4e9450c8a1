//! Things that Jira shows of a Google case: a remote link, a label, a property of a comment.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::client::Client;
use crate::cases::{Annotated, Annotation, ApiError, ApiErrorKind, CarriedMark, CaseLink};

/// Maximum length of a remote link's title, in characters ("Fields in Remote Issue Links", developer.atlassian.com).
const LONGEST_TITLE: usize = 255;

pub(super) async fn write(client: &Client, id: &str, annotation: &Annotation) -> Result<Annotated, ApiError> {
    match annotation {
        Annotation::Link(link) => client.put_remote_link(id, remote_link(link)).await?,
        // Adding a label that is there, and removing one that is not, changes nothing (assumed; the reference does not say).
        Annotation::Label { label, present } => {
            let verb = if *present { "add" } else { "remove" };
            client.alter(id, json!({ "labels": [{ verb: label }] })).await?;
        }
        Annotation::Mark(mark) => {
            let key = &client.settings().carried_property;
            match client.set_comment_property(id, &mark.comment, key, property(mark)).await {
                Err(error) if error.kind == ApiErrorKind::NotFound => return Ok(Annotated::Gone),
                set => set?,
            }
        }
    }
    Ok(Annotated::Done)
}

/// Returns the link in Jira's terms. The `globalId` is made of the number, which stays the same where the case's name has another parent: a
/// second request with it updates the link ("Create or update remote issue link").
fn remote_link(link: &CaseLink) -> Value {
    let title = match link.title.as_deref().filter(|title| !title.is_empty()) {
        Some(title) => format!("{}: {title}", link.number),
        None => link.number.clone(),
    };
    json!({
        "globalId": format!("google-cloud-support/cases/{}", link.number),
        "application": { "type": "com.google.cloud.support", "name": "Google Cloud" },
        "relationship": "Google case",
        "object": {
            "url": link.address,
            "title": cut(&title),
            "status": { "resolved": link.closed },
        },
    })
}

fn cut(title: &str) -> String {
    if title.chars().count() <= LONGEST_TITLE {
        return title.to_owned();
    }
    let start: String = title.chars().take(LONGEST_TITLE - 1).collect();
    format!("{}…", start.trim_end())
}

fn property(mark: &CarriedMark) -> Value {
    json!({
        "google_case": mark.google_case,
        "carried_at": mark.at.to_rfc3339_opts(SecondsFormat::Secs, true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_shows_the_number_and_as_much_of_the_title_as_jira_takes() {
        let link = |title: Option<&str>| CaseLink {
            name: "projects/p/cases/42".to_owned(),
            number: "42".to_owned(),
            address: "https://console.cloud.google.com/support/cases/detail/v2/42?project=p".to_owned(),
            title: title.map(str::to_owned),
            closed: true,
        };
        let shown = |title: Option<&str>| remote_link(&link(title))["object"]["title"].clone();
        assert_eq!(shown(Some("The disk is full")), "42: The disk is full");
        assert_eq!(shown(None), "42");
        assert_eq!(shown(Some("")), "42");
        let long = "ü".repeat(300);
        let cut = shown(Some(&long)).as_str().unwrap().to_owned();
        assert_eq!(cut.chars().count(), LONGEST_TITLE);
        assert!(cut.ends_with('…'));
        assert_eq!(remote_link(&link(None))["object"]["status"]["resolved"], true);
        assert_eq!(remote_link(&link(None))["globalId"], "google-cloud-support/cases/42");
    }
}
