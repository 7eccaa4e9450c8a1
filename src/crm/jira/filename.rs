//! Names of files in Jira (`R25`: odd content is content).

use crate::cases::{as_written, utf16_units};

/// Maximum length of a name, in UTF-16 units: the width of Jira's column.
const LONGEST: usize = 255;

/// Maximum length of an extension (`.tar.gz`) that is kept when a name is cut, in characters.
const LONGEST_ENDING: usize = 20;

/// Returns the name that the connector gives a file in Jira. Characters that are not valid in a multipart header or a path are replaced. A
/// name that is too long is cut in the middle, so that the extension stays. A valid name stays as it is.
#[must_use]
pub fn stored_filename(name: &str) -> String {
    let readable: String = as_written(name)
        .chars()
        .map(|c| match c {
            '/' | '\\' => '_',
            '"' => '\'',
            '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    let trimmed = readable.trim();
    if trimmed.is_empty() {
        return "unnamed".to_owned();
    }
    if trimmed.chars().all(|c| c == '.') {
        return "_".repeat(trimmed.chars().count().min(LONGEST));
    }
    if utf16_units(trimmed) <= LONGEST {
        return trimmed.to_owned();
    }
    let ending = trimmed
        .rfind('.')
        .map(|at| &trimmed[at..])
        .filter(|ending| ending.chars().count() <= LONGEST_ENDING)
        .unwrap_or_default();
    let room = LONGEST - utf16_units(ending) - 1;
    let mut taken = 0;
    let stem: String = trimmed
        .chars()
        .take_while(|c| {
            taken += c.len_utf16();
            taken <= room
        })
        .collect();
    format!("{}…{ending}", stem.trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cases::is_hidden_control;

    #[test]
    fn names_stay_readable() {
        for (name, stored) in [
            ("report.pdf", "report.pdf"),
            ("Größe 50% (1).tar.gz", "Größe 50% (1).tar.gz"),
            ("תמונה.png", "תמונה.png"),
            ("a/b\\c.txt", "a_b_c.txt"),
            ("../../etc/passwd", ".._.._etc_passwd"),
            ("say \"hi\".txt", "say 'hi'.txt"),
            ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
            ("two\r\nlines\0.txt", "two  lines .txt"),
            ("  ", "unnamed"),
            ("", "unnamed"),
            ("..", "__"),
        ] {
            assert_eq!(stored_filename(name), stored, "{name:?}");
        }
        let long = stored_filename(&format!("{}.log", "x".repeat(300)));
        assert_eq!((utf16_units(&long), long.ends_with("x….log")), (255, true));
    }

    proptest! {
        #[test]
        fn every_name_is_made_safe_and_a_safe_one_stays(name in ".{0,400}") {
            let stored = stored_filename(&name);
            prop_assert!(utf16_units(&stored) <= LONGEST && !stored.is_empty());
            prop_assert!(!stored.contains(['/', '\\', '"']) && !stored.contains(is_hidden_control));
            prop_assert_eq!(stored_filename(&stored), stored);
        }
    }
}
