//! Words for what was refused or left out, for people: the pages and the command line use the same.

use crate::entities::{Refusable, Refusal, Side, Source};

/// Names that side's case in a sentence.
#[must_use]
pub const fn the_case(side: Side) -> &'static str {
    match side {
        Side::Google => "the Google case",
        Side::Company => "the company case",
    }
}

/// Names what was written, by its original.
#[must_use]
pub fn source_words(source: &Source) -> String {
    match source {
        Source::Comment { id, part: 1 } => format!("comment {id}"),
        Source::Comment { id, part } => format!("comment {id}, part {part}"),
        Source::Attachment { id } if id.is_empty() => "a file that is gone".to_owned(),
        Source::Attachment { id } => format!("file {id}"),
        Source::Description { part } => format!("part {part} of the description"),
        Source::Edit { id, number, .. } => format!("note {number} about an edit of comment {id}"),
        Source::Notice(notice) => format!("notice “{}”", spaced(&format!("{notice:?}"))),
    }
}

/// Names a refused write with both its cases: `comment 7 of the Google case, to be written on the company case`.
#[must_use]
pub fn refused_words(refusal: &Refusal) -> String {
    let on = the_case(refusal.side);
    let what = match &refusal.what {
        Refusable::Item(Source::Notice(notice)) => {
            return format!("{}, to be written on {on}", source_words(&Source::Notice(*notice)));
        }
        Refusable::Item(item) => {
            let of = the_case(refusal.side.other());
            return format!("{} of {of}, to be written on {on}", source_words(item));
        }
        Refusable::Priority => "the priority",
        Refusable::Close => "the closing",
        Refusable::Reopen => "the reopening",
        Refusable::LinkBack => "the Google case's name",
    };
    format!("{what} on {on}")
}

/// Returns the words of a name in camel case: `NowSyncing` is `now syncing`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::entities::Notice;

    #[test]
    fn what_was_refused_is_named_with_the_cases_that_it_is_between() {
        let item = |source| Refusable::Item(source);
        for (side, what, expected) in [
            (
                Side::Company,
                item(Source::Comment { id: "7".to_owned(), part: 2 }),
                "comment 7, part 2 of the Google case, to be written on the company case",
            ),
            (
                Side::Google,
                item(Source::Attachment { id: "7".to_owned() }),
                "file 7 of the company case, to be written on the Google case",
            ),
            (
                Side::Google,
                item(Source::Notice(Notice::GivenUp)),
                "notice “given up”, to be written on the Google case",
            ),
            (Side::Company, Refusable::Close, "the closing on the company case"),
        ] {
            let now = DateTime::UNIX_EPOCH;
            let refusal = Refusal {
                side,
                what,
                since: now,
                tries: 1,
                tried_at: now,
                reason: "no".to_owned(),
                remedy: None,
                given_up: false,
            };
            assert_eq!(refused_words(&refusal), expected);
        }
    }
}
