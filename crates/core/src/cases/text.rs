//! How long a text may be, counted in what the system counts (`R16`).

/// The longest text that a field takes.
#[derive(Debug, Clone, Copy)]
pub struct TextLimit {
    /// The most that `measure` may say.
    pub max: usize,
    /// What a plain text counts in this field, after the client's own escaping. Never decreases when text is appended.
    pub measure: fn(&str) -> usize,
}

impl TextLimit {
    /// A limit in Unicode code points.
    #[must_use]
    pub const fn code_points(max: usize) -> Self {
        Self { max, measure: code_points }
    }

    /// A limit in UTF-16 units.
    #[must_use]
    pub const fn utf16_units(max: usize) -> Self {
        Self { max, measure: utf16_units }
    }

    /// A limit in bytes of UTF-8.
    #[must_use]
    pub const fn utf8_bytes(max: usize) -> Self {
        Self { max, measure: utf8_bytes }
    }

    /// Whether the text fits.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        (self.measure)(text) <= self.max
    }
}

/// Length in Unicode code points.
#[must_use]
pub fn code_points(text: &str) -> usize {
    text.chars().count()
}

/// Length in UTF-16 units, as Java counts.
#[must_use]
pub fn utf16_units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Length in bytes of UTF-8.
#[must_use]
pub fn utf8_bytes(text: &str) -> usize {
    text.len()
}
