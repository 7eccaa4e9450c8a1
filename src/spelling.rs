//! Misspelt names: the one that a person most likely meant.

/// Largest number of letters in which a misspelt name differs from the right one.
pub(crate) const MOST_SLIPS: usize = 2;

/// Returns the name that a misspelt one most likely means. Short names leave room for one slip only.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &'a str| (strsim::damerau_levenshtein(name, wanted), name);
    let near = names.map(distance).filter(|(distance, _)| (1..=MOST_SLIPS).contains(distance));
    near.filter(|(distance, _)| distance * 3 <= wanted.len()).min().map(|(_, name)| name)
}
