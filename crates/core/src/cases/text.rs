//! Maximum lengths of texts, in the unit in which the system counts (`R16`: long texts).

/// Maximum length of the text of a field.
#[derive(Debug, Clone, Copy)]
pub struct TextLimit {
    /// Maximum value that `measure` may return for the text.
    pub max: usize,
    /// Function that measures a plain text in this field, after the client's own escaping. The result never decreases when text is
    /// appended.
    pub measure: fn(&str) -> usize,
}

impl TextLimit {
    /// Creates a limit in Unicode code points.
    #[must_use]
    pub const fn code_points(max: usize) -> Self {
        Self { max, measure: code_points }
    }

    /// Creates a limit in UTF-16 units.
    #[must_use]
    pub const fn utf16_units(max: usize) -> Self {
        Self { max, measure: utf16_units }
    }

    /// Creates a limit in bytes of UTF-8.
    #[must_use]
    pub const fn utf8_bytes(max: usize) -> Self {
        Self { max, measure: utf8_bytes }
    }

    /// Returns true if the text fits.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        (self.measure)(text) <= self.max
    }
}

/// Returns the length in Unicode code points.
#[must_use]
pub fn code_points(text: &str) -> usize {
    text.chars().count()
}

/// Returns the length in UTF-16 units, as Java counts.
#[must_use]
pub fn utf16_units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Returns the length in bytes of UTF-8.
#[must_use]
pub fn utf8_bytes(text: &str) -> usize {
    text.len()
}
