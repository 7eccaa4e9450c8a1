//! Finds the files that belong to internal comments (`R29`: private until shown to be public).
//!
//! In Jira's platform API, files belong to the issue: neither their visibility nor their comment is shown. Service Management shows both,
//! but only for customer requests and with an API of its own ("Request", developer.atlassian.com); most issues that the connector works
//! with are no such requests. The comment's text does show its files: the editors of both deployments write a reference there,
//! `[^notes.txt]` or `!picture.png|thumbnail!` ("Text Formatting Notation", Jira's help). It is an assumption that the text refers to every
//! file that was added with a comment.

use crate::cases::{Attachment, Visibility};

/// Marks files as internal that an internal comment refers to, unless a public one refers to them too. Several files of the same name
/// cannot be distinguished: all of them are internal if any internal comment names them.
pub(super) fn hide(files: &mut [Attachment], comments: &[(&str, Visibility)]) {
    let by = |wanted: Visibility| {
        comments.iter().filter(move |(_, visibility)| *visibility == wanted).map(|(text, _)| *text)
    };
    let loosely: Vec<Loose> = by(Visibility::Internal).map(Loose::new).collect();
    let internal: Vec<bool> = files
        .iter()
        .map(|file| {
            let alone = files.iter().filter(|other| other.filename == file.filename).count() == 1;
            let is_public = || by(Visibility::Public).any(|text| refers_to(text, &file.filename));
            loosely.iter().any(|text| text.may_refer_to(file)) && !(alone && is_public())
        })
        .collect();
    for (file, internal) in files.iter_mut().zip(internal) {
        if internal {
            file.visibility = Visibility::Internal;
        }
    }
}

/// Reports if a text in wiki notation refers to a file of this name.
fn refers_to(text: &str, name: &str) -> bool {
    let follows = |opening: &str, closing: [char; 2]| {
        text.match_indices(opening).any(|(at, _)| {
            text[at + opening.len()..].strip_prefix(name).is_some_and(|rest| rest.starts_with(closing))
        })
    };
    !name.is_empty() && (follows("[^", [']', '|']) || follows("!", ['!', '|']) || follows("|^", [']', '|']))
}

/// Text of a comment, prepared for a search for what may refer to a file.
struct Loose {
    lower: String,
    /// The same without blanks at the ends of references.
    tidy: String,
}

impl Loose {
    fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        let tidy = lower.replace("[^ ", "[^").replace("|^ ", "|^").replace(" ]", "]").replace(" |", "|");
        Self { lower, tidy }
    }

    /// Reports if the text may refer to a file: as [`refers_to`], with another case or blanks around the name, or by an address of its
    /// content.
    fn may_refer_to(&self, file: &Attachment) -> bool {
        let name = file.filename.trim().to_lowercase();
        let addresses =
            ["/secure/attachment/", "/secure/thumbnail/", "/attachment/content/", "/attachment/thumbnail/"];
        let is_linked = addresses.iter().any(|path| {
            self.lower.match_indices(path).any(|(at, _)| {
                self.lower[at + path.len()..]
                    .strip_prefix(file.id.as_str())
                    .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
            })
        });
        is_linked || refers_to(&self.lower, &name) || refers_to(&self.tidy, &name)
    }
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
            comment: None,
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
    fn an_internal_comment_that_may_mean_a_file_hides_it() {
        for (text, hidden) in [
            ("for us: [^NOTES.txt]", true),
            ("for us: [^ notes.txt ]", true),
            ("for us: [the notes|https://jira.example.com/secure/attachment/17/notes.txt]", true),
            ("https://site.atlassian.net/rest/api/3/attachment/content/17", true),
            ("https://jira.example.com/secure/attachment/170/other.txt", false),
            ("for us: notes.txt", false),
        ] {
            let mut files = [file("17", "Notes.txt")];
            hide(&mut files, &[(text, Visibility::Internal)]);
            assert_eq!(files[0].visibility == Visibility::Internal, hidden, "{text}");
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
