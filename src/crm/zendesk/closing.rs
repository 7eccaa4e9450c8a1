//! Ways in which a ticket was closed (`R32`: closed is not solved), and the comments that a merge leaves on the two tickets.
//!
//! Sources: "Merging tickets" (support.zendesk.com): the merged ticket is closed and gets the tag `closed_by_merge`, and both tickets get a
//! comment that names the other. "Merge Tickets into Target Ticket" (developer.zendesk.com): the comments are private by default, and the
//! target's has the attachments of the closed ticket.
//!
//! The comments are recognised by the texts of the agents' workspace in English, as exports of tickets show them. An agent may change them,
//! and other languages have other texts. Such a comment is recognised by `via`, or as the last comment on the ticket, which the merge
//! closed.

use super::wire::{Comment, Ticket};
use crate::cases::Closing;

/// Text in the comment on the closed ticket; the number of the target ticket follows.
const INTO_OTHER: &str = "closed and merged into request #";
/// Text in the comment on the target ticket.
const INTO_THIS: &str = "closed and merged into this request";
/// Text before the quoted last comment of the closed ticket.
const LAST_COMMENT: &str = "Last comment in request #";

/// Prefixes of words in the name of a status that mean that the work was not done.
const CANCELLED: [&str; 8] =
    ["cancel", "reject", "declin", "withdr", "abandon", "dismiss", "invalid", "obsolete"];
/// Phrases with the same meaning.
const NOT_DONE: [&str; 4] = ["won't", "wont ", "will not", "not planned"];
/// Prefix of words that mean that another case has the work.
const DUPLICATE: &str = "duplicat";

/// Returns the way in which a ticket was closed; `None` if it is open. `status` is the name of its custom status.
///
/// `closed` only says that a ticket is final. Zendesk closes solved tickets by an automation ("About the Support default automations"), so
/// a closed ticket without the tag of a merge is assumed to have been solved before.
pub(super) fn of(ticket: &Ticket, status: Option<&str>) -> Option<Closing> {
    if !ticket.is_done() {
        return None;
    }
    Some(if ticket.is_merged() { Closing::Merged } else { says(status.unwrap_or_default()) })
}

/// Derives the way of closing from the name of a status of the category "solved".
fn says(name: &str) -> Closing {
    let name = name.trim().to_lowercase().replace('\u{2019}', "'");
    let mut words = name.split(|c: char| !c.is_alphanumeric() && c != '\'');
    if words.clone().any(|word| word.starts_with(DUPLICATE)) {
        Closing::Duplicate
    } else if words.any(|word| CANCELLED.iter().any(|start| word.starts_with(start)))
        || NOT_DONE.iter().any(|phrase| format!("{name} ").contains(phrase))
    {
        Closing::Cancelled
    } else {
        Closing::Solved
    }
}

/// Returns the ticket that this one was merged into, according to its last comments, newest first. `is_staff` reports if a comment's author
/// is staff: a customer may write numbers too.
pub(super) fn merged_into(
    ticket: u64,
    newest_first: &[Comment],
    is_staff: impl Fn(&Comment) -> bool,
) -> Option<u64> {
    newest_first.iter().enumerate().find_map(|(at, comment)| {
        let text = text(comment);
        if !is_staff(comment) || text.to_ascii_lowercase().contains(INTO_THIS) {
            return None;
        }
        let named = match text.to_ascii_lowercase().find(INTO_OTHER) {
            // The rest of the text may be an agent's own words.
            Some(start) => numbers(text.get(start..).unwrap_or_default()).into_iter().take(1).collect(),
            None if comment.via.merge || at == 0 => numbers(text),
            None => Vec::new(),
        };
        let others: Vec<u64> =
            named.into_iter().filter(|named| *named != ticket && !comment.via.from.contains(named)).collect();
        // With several numbers it is unknown which one is meant.
        let first = *others.first()?;
        others.iter().all(|other| *other == first).then_some(first)
    })
}

/// Reports if a comment is about the merge of its own ticket into another one.
pub(super) fn is_farewell(comment: &Comment) -> bool {
    let says_so = text(comment).to_ascii_lowercase();
    says_so.contains(INTO_OTHER) || (comment.via.merge && !says_so.contains(INTO_THIS))
}

/// Contents of a comment about tickets that were merged into its own ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Absorbed {
    /// The merged tickets.
    pub(super) from: Vec<u64>,
    /// Last comment of one of them, which was written there and not here.
    pub(super) quoted: Option<Quoted>,
}

/// A comment that another comment quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quoted {
    /// Offset of the quotation in the text, in bytes.
    pub(super) at: usize,
    /// Ticket that the quoted comment was written on.
    pub(super) ticket: Option<u64>,
}

/// Reads a comment about tickets that were merged into this one. `None` if it is another comment.
pub(super) fn absorbed(ticket: u64, comment: &Comment, text: &str) -> Option<Absorbed> {
    let (head, rest) = text.find(LAST_COMMENT).map_or((text, ""), |at| text.split_at(at));
    let low = head.trim_start().to_ascii_lowercase();
    let says_so = low.starts_with("request") && low.contains(INTO_THIS);
    if !says_so && (!comment.via.merge || low.contains(INTO_OTHER)) {
        return None;
    }
    let mut from = comment.via.from.clone();
    // `Request #3 "Disk #2" was …` is about one ticket, `Requests #3, #4 were …` about several.
    let several = low.starts_with("requests");
    let numbers = numbers(head).into_iter().take(if says_so && !several { 1 } else { usize::MAX });
    from.extend(numbers.filter(|other| *other != ticket));
    from.sort_unstable();
    from.dedup();
    let quoted = rest.find(':').map(|colon| {
        let quotation = &rest[colon + 1..];
        let blanks = quotation.len() - quotation.trim_start().len();
        Quoted { at: head.len() + colon + 1 + blanks, ticket: self::numbers(rest).first().copied() }
    });
    Some(Absorbed { from, quoted })
}

/// Returns the text by which a merge is recognised.
fn text(comment: &Comment) -> &str {
    comment.plain_body.as_deref().or(comment.body.as_deref()).unwrap_or_default()
}

/// Returns the numbers after `#`, in order.
fn numbers(text: &str) -> Vec<u64> {
    text.split('#')
        .skip(1)
        .filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ticket(status: &str, tags: &[&str]) -> Ticket {
        Ticket::read(&json!({"id": 7, "status": status, "tags": tags})).unwrap()
    }

    #[expect(clippy::needless_pass_by_value, reason = "given as json!")]
    fn comment(text: &str, via: Value) -> Comment {
        Comment::read(&json!({"id": 1, "author_id": 5, "plain_body": text, "via": via})).unwrap()
    }

    #[test]
    fn a_ticket_tells_how_it_was_closed() {
        const MERGE: &[&str] = &["x", "closed_by_merge"];
        for (status, tags, name, expected) in [
            ("open", &[][..], None, None),
            ("open", MERGE, None, None),
            ("pending", &[], Some("Cancelled?"), None),
            ("solved", &[], None, Some(Closing::Solved)),
            ("solved", MERGE, None, Some(Closing::Solved)),
            ("closed", &[], None, Some(Closing::Solved)),
            ("closed", MERGE, None, Some(Closing::Merged)),
            ("closed", MERGE, Some("Cancelled"), Some(Closing::Merged)),
            ("solved", &[], Some("Solved"), Some(Closing::Solved)),
            ("solved", &[], Some("Waiting for release"), Some(Closing::Solved)),
            ("solved", &[], Some("Cancelled by customer"), Some(Closing::Cancelled)),
            ("closed", &[], Some("Request withdrawn"), Some(Closing::Cancelled)),
            ("solved", &[], Some("Won\u{2019}t do"), Some(Closing::Cancelled)),
            ("solved", &[], Some("Wont fix"), Some(Closing::Cancelled)),
            ("solved", &[], Some("Closed as duplicate"), Some(Closing::Duplicate)),
        ] {
            assert_eq!(of(&ticket(status, tags), name), expected, "{status} {tags:?} {name:?}");
        }
    }

    #[test]
    fn the_ticket_that_is_left_is_the_one_that_the_merge_names() {
        let api = json!({"channel": "api", "source": {"rel": null}});
        let merge = json!({"channel": "merge"});
        let numbered = json!({"channel": 19});
        let of_old = json!({"channel": "web", "source": {"from": {"ticket_ids": [3]}, "rel": "merge"}});
        let outbound = "This request was closed and merged into request #9 \"Disk #2\".";
        let inbound =
            "Request #3 \"x\" was closed and merged into this request. Last comment in request #3:\n\nhello";
        let table: [(&str, Vec<Comment>, Option<u64>); 13] = [
            ("the words", vec![comment(outbound, api.clone())], Some(9)),
            ("an older comment", vec![comment("x", api.clone()), comment(outbound, api.clone())], Some(9)),
            ("words of their own", vec![comment("goes on in #9", merge.clone())], Some(9)),
            ("the number of the channel", vec![comment("siehe #9", numbered)], Some(9)),
            (
                "another language, and nothing else that tells",
                vec![comment("Diese Anfrage wurde mit Anfrage #9 zusammengef\u{fc}hrt.", api.clone())],
                Some(9),
            ),
            ("several numbers", vec![comment("like #4, merged with #9", merge.clone())], None),
            ("its own number", vec![comment("#7 goes on in #9", merge.clone())], Some(9)),
            ("one that was merged into it", vec![comment(inbound, merge.clone())], None),
            ("the same in other words", vec![comment("takes #3", of_old.clone())], None),
            (
                "one that was merged into it before",
                vec![comment(outbound, merge), comment(inbound, of_old)],
                Some(9),
            ),
            (
                "a number that was mentioned long before",
                vec![comment("thanks", api.clone()), comment("like #4", api.clone())],
                None,
            ),
            ("no number", vec![comment("merged", api)], None),
            ("no comment", vec![], None),
        ];
        for (what, comments, expected) in table {
            assert_eq!(merged_into(7, &comments, |_| true), expected, "{what}");
            assert_eq!(merged_into(7, &comments, |_| false), None, "{what}, by a customer");
        }
    }

    #[test]
    fn a_comment_tells_what_was_merged_into_its_ticket() {
        let none = Value::Null;
        let merge = json!({"channel": "web", "source": {"from": {"ticket_ids": [3]}, "rel": "merge"}});
        let one = "Request #3 \"x: #5\" was closed and merged into this request. Last comment in request #3:\n\nhello #8";
        let found = absorbed(7, &comment(one, none.clone()), one).unwrap();
        let quoted = found.quoted.unwrap();
        assert_eq!((&one[quoted.at..], quoted.ticket, found.from), ("hello #8", Some(3), vec![3]));
        let several = "Requests #3, #4 were closed and merged into this request.";
        let found = absorbed(7, &comment(several, none.clone()), several).unwrap();
        assert_eq!(found, Absorbed { from: vec![3, 4], quoted: None });
        let foreign = "Anfrage #3 wurde hiermit zusammengef\u{fc}hrt.";
        assert_eq!(absorbed(7, &comment(foreign, merge), foreign).unwrap().from, [3]);
        for other in [
            "hello #3",
            "This request was closed and merged into request #9.",
            "I closed and merged into this request #3",
        ] {
            assert_eq!(absorbed(7, &comment(other, none.clone()), other), None, "{other}");
        }
    }
}
