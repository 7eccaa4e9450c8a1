//! Characters that show nothing and change how others are shown.

/// Returns true for control characters, for separators of lines and paragraphs, and for the controls of bidirectional text (Unicode Standard
/// Annex 9, section 2). With them, a text shows as another one: `photo\u{202e}gpj.exe` as `photoexe.jpg`.
#[must_use]
pub fn is_hidden_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || is_mark(c) || is_bidi_control(c)
}

/// Mark that gives its neighbours a direction. People type it in names of right-to-left scripts.
const fn is_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
}

/// Embedding, override, isolate, and the deprecated controls behind them.
const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}')
}

/// Makes a name show as it is written: controls of bidirectional text are replaced by `_`, and its marks removed. Letters of right-to-left
/// scripts need neither.
#[must_use]
pub fn as_written(name: &str) -> String {
    name.chars().filter(|c| !is_mark(*c)).map(|c| if is_bidi_control(c) { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_shows_as_it_is_written() {
        for (name, written) in [
            ("report.pdf", "report.pdf"),
            ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
            ("\u{2067}a\u{2069}\u{202a}b\u{202c}", "_a__b_"),
            ("\u{200f}תמונה\u{200f}.png", "תמונה.png"),
            ("👩\u{200d}🔬.png", "👩\u{200d}🔬.png"),
        ] {
            assert_eq!(as_written(name), written, "{name:?}");
            assert!(!written.contains(is_hidden_control), "{name:?}");
        }
    }
}
