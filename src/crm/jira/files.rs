//! Finds the files that belong to internal comments (`R29`).
//!
//! Jira's platform API says of a file neither who may see it nor which comment it came with: files are the issue's. Service
//! Management has both, but only for customer requests and with an API of its own ("Request", developer.atlassian.com), and most
//! issues that the connector deals with are none. What does show is the comment's text: the editors of both deployments write a
//! reference there, `[^notes.txt]` or `!picture.png|thumbnail!` ("Text Formatting Notation", Jira's help). That every file which is
//! added with a comment is referred to in its text is assumed.

use crate::cases::{Attachment, Visibility};

/// Makes those files internal that internal comments refer to, and no public one does. Of several files of the same name it cannot be
/// told which is meant: all of them are internal if any internal comment names them.
pub(super) fn hide(files: &mut [Attachment], comments: &[(&str, Visibility)]) {
    let named = |name: &str, by: Visibility| {
        comments.iter().any(|(text, visibility)| *visibility == by && refers_to(text, name))
    };
    let internal: Vec<bool> = files
        .iter()
        .map(|file| {
            let alone = files.iter().filter(|other| other.filename == file.filename).count() == 1;
            named(&file.filename, Visibility::Internal)
                && !(alone && named(&file.filename, Visibility::Public))
        })
        .collect();
    for (file, internal) in files.iter_mut().zip(internal) {
        if internal {
            file.visibility = Visibility::Internal;
        }
    }
}

/// Tells whether a text in wiki notation refers to a file of that name.
fn refers_to(text: &str, name: &str) -> bool {
    let follows = |opening: &str, closing: [char; 2]| {
        text.match_indices(opening).any(|(at, _)| {
            text[at + opening.len()..].strip_prefix(name).is_some_and(|rest| rest.starts_with(closing))
        })
    };
    !name.is_empty() && (follows("[^", [']', '|']) || follows("!", ['!', '|']) || follows("|^", [']', '|']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: &str, filename: &str) -> Attachment {
        Attachment {
            id: id.to_owned(),
            filename: filename.to_owned(),
            media_type: None,
            size: None,
            author: String::new(),
            created_at: None,
            visibility: Visibility::Public,
            by_connector: None,
        }
    }

    #[test]
    fn a_text_refers_to_files_by_name() {
        for (text, name, expected) in [
            ("see [^notes.txt]", "notes.txt", true),
            ("see [the notes|^notes.txt]", "notes.txt", true),
            ("!a (1).png!", "a (1).png", true),
            ("x !a.png|width=200,alt=\"a!b\"! y", "a.png", true),
            ("!first.png! and !a.png|thumbnail!", "a.png", true),
            ("notes.txt", "notes.txt", false),
            ("[^my notes.txt]", "notes.txt", false),
            ("[^notes.txt.gz]", "notes.txt", false),
            ("!a.png", "a.png", false),
            ("!!", "", false),
            ("[^]", "", false),
        ] {
            assert_eq!(refers_to(text, name), expected, "{text} {name}");
        }
    }

    #[test]
    fn a_file_of_internal_comments_is_internal() {
        let comments = [
            ("for us [^ours.txt] [^shared.txt] [^twice.txt]", Visibility::Internal),
            ("for all [^shared.txt] [^twice.txt] [^theirs.txt]", Visibility::Public),
        ];
        let mut files = [
            file("1", "ours.txt"),
            file("2", "shared.txt"),
            file("3", "theirs.txt"),
            file("4", "alone.txt"),
            file("5", "twice.txt"),
            file("6", "twice.txt"),
        ];
        hide(&mut files, &comments);
        let internal: Vec<&str> = files
            .iter()
            .filter(|file| file.visibility == Visibility::Internal)
            .map(|file| file.id.as_str())
            .collect();
        assert_eq!(internal, ["1", "5", "6"]);
    }
}
