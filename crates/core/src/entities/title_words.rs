//! Words of a title as hashes: a pair is found by words of its titles, and holds no text of its cases.

use std::collections::BTreeSet;

use icu_normalizer::ComposingNormalizerBorrowed;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use unicode_segmentation::UnicodeSegmentation as _;

/// Number of different words that are kept of a title, the first ones. In scripts without spaces most characters are words of their own.
const MOST_WORDS: usize = 64;
/// Length of a stored hash.
const HEX_DIGITS: usize = 8;

/// Hashes of the words of a title, of 32 bits each. Stored as one text of hexadecimal digits, eight for each word.
///
/// A word is what Unicode Standard Annex 29 calls so, and is divided further at its punctuation: `storage.googleapis.com` is three words.
/// Large and small letters are the same, as are composed and decomposed ones, and wide and narrow ones.
///
/// Of a hundred thousand different words, two or four share their hash with another one. A search then also finds pairs that have the other
/// word. Whoever has a list of words can tell which of them a title has, but not their order: `SECURITY.md`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TitleWords(BTreeSet<u32>);

impl TitleWords {
    /// Returns the words of a title, or of a search for titles.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut hashes = BTreeSet::new();
        for word in words(text) {
            if hashes.len() == MOST_WORDS {
                break;
            }
            hashes.insert(hash(&word));
        }
        Self(hashes)
    }

    /// Returns true if these words have all `wanted` ones, and at least one is wanted.
    #[must_use]
    pub fn have_all(&self, wanted: &Self) -> bool {
        !wanted.is_empty() && wanted.0.is_subset(&self.0)
    }

    /// Returns true if there is no word.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<TitleWords> for String {
    fn from(words: TitleWords) -> Self {
        words.0.into_iter().map(|hash| format!("{hash:08x}")).collect()
    }
}

impl TryFrom<String> for TitleWords {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if !text.len().is_multiple_of(HEX_DIGITS) {
            return Err(hex::FromHexError::InvalidStringLength);
        }
        let bytes = hex::decode(text)?;
        Ok(Self(bytes.chunks_exact(HEX_DIGITS / 2).map(number).collect()))
    }
}

/// Returns the number that the first four bytes are.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(HEX_DIGITS / 2).fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

fn hash(word: &str) -> u32 {
    number(&Sha256::digest(word.as_bytes()))
}

/// Returns the words of a text, without regard to case and to the way in which characters are encoded.
fn words(text: &str) -> Vec<String> {
    let visible: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    let composed = ComposingNormalizerBorrowed::new_nfkc().normalize(&visible);
    composed.unicode_words().flat_map(parts).map(folded).collect()
}

/// Returns true for characters that show nothing and may stand inside a word: the soft hyphen, joiners, directions of text, variants of
/// characters, the byte order mark. A space without width divides words.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// Divides a word at its punctuation. A character as people see it counts as what its first code point is, so that accents and vowel signs
/// stay with their letter.
fn parts(word: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut begin = None;
    for (at, character) in word.grapheme_indices(true) {
        if character.starts_with(char::is_alphanumeric) {
            begin.get_or_insert(at);
        } else if let Some(begin) = begin.take() {
            parts.push(&word[begin..at]);
        }
    }
    parts.extend(begin.map(|begin| &word[begin..]));
    parts
}

/// Returns a word without the difference of large and small letters. By way of the large ones, since `ß` is written `SS` there.
fn folded(word: &str) -> String {
    word.to_uppercase().to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entities::{PairState, Side};

    fn found(title: &str, query: &str) -> bool {
        TitleWords::of(title).have_all(&TitleWords::of(query))
    }

    #[test]
    fn all_words_are_found_in_any_order_and_case_and_no_part_of_one() {
        let title = "Cloud SQL: quota exceeded in region “europe-west3” (can't resize)";
        for query in [
            "quota region",
            "REGION, Quota!",
            "europe-west3",
            "west3 europe",
            "cloud-sql",
            "Can't",
            "(resize)",
            title,
        ] {
            assert!(found(title, query), "{query}");
        }
        for query in ["quot", "quotas", "quota zone", "west", "", "…", "“”", "-", "🔥"] {
            assert!(!found(title, query), "{query}");
        }
        assert!(found("gke_cluster at storage.googleapis.com, 10.0.0.1", "GKE googleapis 10.0.0.1"));
        assert!(found("3 of 1,000 nodes", "1,000"));
    }

    #[test]
    fn words_of_every_script_are_found() {
        for (title, query) in [
            // Small letters that have two large ones, and the other way round.
            ("Große Störung in der Straße", "STRASSE große"),
            ("ΟΔΟΣ ΚΛΕΙΣΤΗ", "οδος"),
            ("Превышена квота", "КВОТА"),
            // Composed and decomposed.
            ("Re\u{301}gion indisponible", "r\u{e9}gion"),
            ("\u{e9}t\u{e9}", "e\u{301}te\u{301}"),
            // Full width, and a ligature.
            ("Ｃｌｏｕｄ　ＳＱＬ", "cloud sql"),
            ("\u{fb01}rewall", "firewall"),
            // Without spaces each character is a word.
            ("配额已用完", "配额"),
            ("クォータを超過しました", "クォータ"),
            ("할당량 초과", "초과"),
            ("โควต้าเต็ม", "เต็ม"),
            // Vowel signs, a virama, and a joiner that shows nothing.
            ("कंप्यूटर बंद है", "कंप्यूटर"),
            ("می\u{200c}خواهم کار کند", "میخواهم"),
            // From right to left, with marks of direction around and inside.
            ("\u{200f}חריגה מהמכסה\u{200f} \u{2067}quota\u{2069}", "quota מהמכסה"),
            ("تجاوز الحصة", "الحصة"),
            // Emoji are no words, and join none.
            ("🔥 quota👩\u{200d}🔬region 🔥", "region quota"),
            ("Quo\u{ad}ta", "quota"),
        ] {
            assert!(found(title, query), "{title:?} {query:?}");
            assert!(!found(title, &format!("{query} otherwise")), "{title:?}");
        }
        // A letter with an accent is another one.
        assert!(!found("été", "ete"));
        assert!(TitleWords::of("🔥👩\u{200d}🔬 … ---").is_empty());
    }

    #[test]
    fn a_very_long_title_is_found_by_itself_and_by_its_first_words() {
        let title: String = (0..500).map(|number| format!("word{number} ")).collect();
        assert!(found(&title, &title));
        assert!(found(&title, "word0 word63"));
        assert!(!found(&title, "word64"));
        assert_eq!(String::from(TitleWords::of(&title)).len(), MOST_WORDS * HEX_DIGITS);
        // A repeated word counts once.
        assert!(found(&format!("{} end", "again ".repeat(1_000)), "end"));
        assert!(found(&"x".repeat(100_000), &"X".repeat(100_000)));
    }

    #[test]
    fn no_word_is_stored_and_older_records_have_none() {
        let words = TitleWords::of("Quota exceeded");
        // Beginnings of the SHA-256 of `exceeded` and `quota`: a change would make all that is stored useless.
        let stored = serde_json::to_value(&words).unwrap();
        assert_eq!(stored, "a36aa31ab878a680");
        assert_eq!(serde_json::from_value::<TitleWords>(stored).unwrap(), words);
        for broken in ["\"0\"", "\"0000000g\"", "\"00000000ab\"", "\"ééüüéé\""] {
            assert!(serde_json::from_str::<TitleWords>(broken).is_err(), "{broken}");
        }
        let old: PairState = serde_json::from_str("{}").unwrap();
        assert!(Side::BOTH.into_iter().all(|side| old.title_words[side].is_empty()));
        assert!(serde_json::to_value(&old).unwrap().get("title_words").is_none());
    }

    proptest! {
        #[test]
        fn any_title_is_found_by_itself_and_with_other_spaces(title in ".{0,400}") {
            let words = TitleWords::of(&title);
            prop_assert_eq!(&words, &TitleWords::of(&title.replace(' ', "\t ")));
            prop_assert_eq!(words.have_all(&words), !words.is_empty());
            let again: TitleWords = serde_json::from_value(serde_json::to_value(&words).unwrap()).unwrap();
            prop_assert_eq!(again, words);
        }

        #[test]
        fn a_word_is_found_between_any_others(
            before in "[a-zA-Zäßéñ0-9]{1,8}( [a-zA-Zäßéñ0-9]{1,8}){0,20}",
            word in "[a-zA-Zäßéñ0-9]{1,8}",
        ) {
            let titles = [format!("{before}, {word}."), format!("{word} – {before}")];
            for title in titles {
                prop_assert!(found(&title, &word.to_lowercase()) && found(&title, &word.to_uppercase()), "{}", title);
            }
        }
    }
}
