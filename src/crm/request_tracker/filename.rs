//! Names of files in Request Tracker (`R25`: odd content is content).

use crate::cases::as_written;

/// Maximum length of a name, in bytes of UTF-8. The width of the column `Attachments.Filename` counts characters, but the written name is
/// cut by bytes, with its extension (`DBIx::SearchBuilder::Record`, `TruncateValue`).
const LONGEST: usize = 255;
/// Maximum length of an extension (`.tar.gz`) that is kept when a name is cut, in bytes.
const LONGEST_ENDING: usize = 20;

/// Returns the name under which Request Tracker keeps a file. Replaced are characters that would end a quoted header or look like a path,
/// encoded words (RFC 2047), a name that is false in Perl, and a name that means a folder. A name that is too long is cut in the middle, so
/// that the extension stays. A valid name stays as it is.
#[must_use]
pub fn stored_filename(name: &str) -> String {
    let readable: String = as_written(name)
        .replace("=?", "=_")
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
    if trimmed == "0" {
        return "_0".to_owned();
    }
    if matches!(trimmed, "." | "..") {
        return trimmed.replace('.', "_");
    }
    if trimmed.len() <= LONGEST {
        return trimmed.to_owned();
    }
    let ending = trimmed
        .rfind('.')
        .map(|at| &trimmed[at..])
        .filter(|ending| ending.len() <= LONGEST_ENDING)
        .unwrap_or_default();
    let room = LONGEST - ending.len() - '…'.len_utf8();
    let mut taken = 0;
    let stem: String = trimmed
        .chars()
        .take_while(|c| {
            taken += c.len_utf8();
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
            ("../../etc/passwd", ".._.._etc_passwd"),
            ("C:\\a\"b.txt", "C:_a'b.txt"),
            ("=?UTF-8?B?YQ==?=", "=_UTF-8?B?YQ==_="),
            ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
            ("two\r\nlines\0.txt", "two  lines .txt"),
            ("0", "_0"),
            (" ", "unnamed"),
        ] {
            assert_eq!(stored_filename(name), stored, "{name:?}");
        }
        let long = stored_filename(&format!("{}.log", "ä".repeat(300)));
        assert_eq!((long.len(), long.ends_with("ä….log")), (255, true));
    }

    proptest! {
        #[test]
        fn every_name_is_made_safe_and_a_safe_one_stays(name in ".{0,400}") {
            let stored = stored_filename(&name);
            prop_assert!(!stored.is_empty() && stored.len() <= LONGEST);
            prop_assert!(!stored.contains(['/', '\\', '"']) && !stored.contains(is_hidden_control));
            prop_assert_eq!(stored_filename(&stored), stored);
        }
    }
}
