//! Groups, brands and ticket forms, which are the same in every account.
//!
//! Sources: "Groups", "Brands", "Ticket forms", developer.zendesk.com. What answers a request for a deleted group, brand or form is not
//! documented. The properties that mark it are, so the sandbox shows it by its ID with that mark, and leaves it out of lists.

use axum::Router;
use axum::extract::{Path, Query as Params, State as Shared};
use axum::routing::get;
use serde_json::{Value, json};

use super::SandboxZendesk;
use super::rest::{Answer, Asked, Extended, Refusal, listing, ok};

/// State of a group, brand or form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Active,
    Inactive,
    Deleted,
}

/// All groups, brands or forms.
#[derive(Debug, Clone, Copy)]
struct List {
    /// Name of the list in paths and answers, and of one item in answers.
    names: (&'static str, &'static str),
    items: &'static [(u64, &'static str, Life)],
    /// Returns what a state looks like in an item.
    life: fn(Life) -> Value,
}

const LISTS: [List; 3] = [
    List {
        names: ("groups", "group"),
        items: &[
            (360_000_000_101, "Cloud", Life::Active),
            (360_000_000_102, "Network", Life::Active),
            (360_000_000_109, "Mainframe", Life::Deleted),
        ],
        // A group cannot be inactive.
        life: |life| json!({"deleted": life == Life::Deleted, "is_public": true}),
    },
    List {
        names: ("brands", "brand"),
        items: &[
            (360_000_000_001, "Example", Life::Active),
            (360_000_000_002, "Old Example", Life::Inactive),
            (360_000_000_009, "Other Example", Life::Deleted),
        ],
        life: |life| json!({"active": life == Life::Active, "is_deleted": life == Life::Deleted}),
    },
    List {
        names: ("ticket_forms", "ticket_form"),
        items: &[
            (360_000_000_103, "Default", Life::Active),
            (360_000_000_104, "Incident", Life::Active),
            (360_000_000_105, "Fax", Life::Inactive),
        ],
        life: |life| json!({"active": life == Life::Active, "end_user_visible": true, "in_all_brands": true}),
    },
];

impl List {
    fn item(&self, base: &str, (id, name, life): (u64, &str, Life)) -> Value {
        let url = format!("{base}/api/v2/{}/{id}.json", self.names.0);
        let default = self.items.first().is_some_and(|(first, ..)| *first == id);
        let mut item = (self.life)(life);
        for (key, value) in
            [("id", json!(id)), ("name", json!(name)), ("url", json!(url)), ("default", json!(default))]
        {
            item[key] = value;
        }
        item
    }
}

/// Returns the title of each list, with the ID and the name of each active item.
pub(super) fn listed() -> Vec<(&'static str, Vec<[String; 2]>)> {
    let items = |list: List| {
        let active = list.items.iter().filter(|(.., life)| *life == Life::Active);
        active.map(|(id, name, _)| [id.to_string(), (*name).to_owned()]).collect()
    };
    LISTS
        .into_iter()
        .zip(["Groups", "Brands", "Ticket forms"])
        .map(|(list, title)| (title, items(list)))
        .collect()
}

pub(super) fn routes() -> Router<SandboxZendesk> {
    LISTS.into_iter().fold(Router::new(), |router, list| {
        let (path, one) = list.names;
        let all = move |Shared(zendesk): Shared<SandboxZendesk>,
                        axum::Extension(base): Extended,
                        Params(asked): Asked| async move {
            let kept = list.items.iter().filter(|(.., life)| *life != Life::Deleted);
            let items: Vec<_> = kept.map(|item| (item.0, *item)).collect();
            listing(&zendesk, &asked, (&base, path), path, &items, |item| list.item(&base.0, *item)).map(ok)
        };
        let single = move |axum::Extension(base): Extended, Path(id): Path<u64>| async move {
            let found = list.items.iter().find(|item| item.0 == id).ok_or_else(Refusal::not_found)?;
            Answer::Ok(ok(json!({one: list.item(&base.0, *found)})))
        };
        router.route(&format!("/{path}"), get(all)).route(&format!("/{path}/{{id}}"), get(single))
    })
}
