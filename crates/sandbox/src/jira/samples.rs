//! Sample issues of a fresh sandbox.

use super::{NewIssue, SandboxJira, SandboxJiraError};

/// Creates the sample issues, unless there are issues already.
pub(super) fn seed(jira: &SandboxJira) -> Result<(), SandboxJiraError> {
    if !jira.issues().is_empty() {
        return Ok(());
    }
    let flagged = jira.create_issue(NewIssue {
        description: Some(
            "Since this morning the nightly export cannot write to its bucket.\n\nThe log of the last run is attached."
                .to_owned(),
        ),
        priority: "High".to_owned(),
        ..NewIssue::flagged("Nightly export fails with 403")
    })?;
    jira.comment(&flagged, "Jane Roe", "It fails with every service account that we tried.")?;
    let log =
        "02:00:00 export started\n02:00:07 403 Forbidden: storage.objects.create\n02:00:07 export failed\n";
    jira.attach(&flagged, "Jane Roe", "export.log", "text/plain", log)?;
    jira.create_issue(NewIssue {
        description: Some("This one is our own affair: it lacks the flag, so it stays here.".to_owned()),
        reporter: "Max Doe".to_owned(),
        ..NewIssue::new("Order new keyboards")
    })?;
    Ok(())
}
