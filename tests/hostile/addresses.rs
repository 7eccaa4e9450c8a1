//! No address out of an answer is called, whatever client gets it and wherever it stands in the answer; but for a download's
//! redirect to a listed host, without credentials (`tests/it/outbound.rs`).

use std::sync::Arc;

use casebridge::outbound::bearer;

use crate::subjects::{Kind, clock, open_with};
use casebridge_testkit::scripted::{Say, Scripted};

const TOKEN: &str = "ours-alone";

/// A server that nobody configured.
async fn elsewhere() -> Scripted {
    Scripted::answers(vec![Say::json(r#"{"items": [], "cases": [], "result": []}"#)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_calls_an_address_that_an_answer_names() {
    for kind in Kind::ALL {
        let elsewhere = elsewhere().await;
        let subject = open_with(kind, clock(), Arc::new(bearer(TOKEN).unwrap())).await;
        let address = elsewhere.url.as_str().trim_end_matches('/').to_owned();
        subject.spoiler.lead_to(&address, None);
        let log = subject.exercise().await;
        assert!(subject.spoiler.answers() >= 15, "{kind:?}: {log:#?}");
        assert_eq!(elsewhere.asked().len(), 0, "{kind:?}: {:?}", elsewhere.asked());
        // It was not for want of trying: what was asked went to the configured address.
        let asked = subject.server.asked();
        assert!(
            asked.iter().all(|asked| asked.header("authorization") == Some("Bearer ours-alone")),
            "{kind:?}"
        );
        assert!(asked.iter().all(|asked| asked.target.starts_with('/')), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_follows_a_redirect_of_an_ordinary_call_nor_of_a_download_to_a_host_that_is_not_listed() {
    for kind in Kind::ALL {
        for status in [300, 301, 302, 303, 307, 308] {
            let elsewhere = elsewhere().await;
            let subject = open_with(kind, clock(), Arc::new(bearer(TOKEN).unwrap())).await;
            let address = elsewhere.url.as_str().trim_end_matches('/').to_owned();
            // What a download needs to know is asked for first, so that it is tried too.
            let files = subject.system.attachments(&subject.case, None).await.unwrap();
            subject.spoiler.lead_to(&address, Some(status));
            subject.exercise().await;
            let outcome = subject.system.download(&subject.case, &files[0]).await;
            assert!(outcome.is_err(), "{kind:?} {status}");
            assert_eq!(elsewhere.asked().len(), 0, "{kind:?} {status}: {:?}", elsewhere.asked());
        }
    }
}

/// A path out of an answer stays where it belongs: what Zendesk says of a file's address cannot lead to another resource.
#[tokio::test(flavor = "multi_thread")]
async fn a_files_address_leads_to_a_file_or_nowhere() {
    use crate::spoil::{How, Spoil};
    for address in [
        "https://x.example/attachments/../api/v2/users",
        "https://x.example/attachments/%2e%2e/api/v2/users",
        "custom://x/attachments/..\\\\..\\\\api/v2/users",
        "custom:/attachments/..\\\\..\\\\api/v2/users",
        "https://x.example/api/v2/users?/attachments/",
        "file:///attachments/x",
        "//x.example/attachments/x",
        "javascript:/attachments/",
    ] {
        let subject = open_with(Kind::Zendesk, clock(), Arc::new(bearer(TOKEN).unwrap())).await;
        let files = subject.system.attachments(&subject.case, None).await.unwrap();
        let how = How::Text { from: "\"http".to_owned(), to: address.to_owned() };
        subject.spoiler.begin(vec![Spoil { at: 0, times: 1_000_000, how, place: 0 }]);
        let outcome = subject.system.download(&subject.case, &files[0]).await;
        assert!(outcome.is_err(), "{address}");
        let asked = subject.server.asked();
        let astray = |target: &str| target.starts_with("/api/v2/users") && target != "/api/v2/users/me";
        assert!(!asked.iter().any(|asked| astray(&asked.target)), "{address}: {asked:?}");
    }
}
