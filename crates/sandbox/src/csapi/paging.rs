//! Paging: sizes, tokens, and the fill level of pages.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::PageStyle;
use super::wire::ApiError;

/// Default size of a page. With `LARGEST`, the maximum, from the CSAPI discovery document (revision 20260927), which states the maximum
/// for attachments only.
const DEFAULT_SIZE: usize = 10;
const LARGEST: usize = 100;

/// Start of the next page. A token is valid only for the listing that returned it.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    listing: String,
    offset: usize,
    page: u64,
    /// True if the previous page was empty: then this page must not be empty if items are left.
    after_empty: bool,
}

/// Returns the range of the `total` items that the page holds, and the token of the next page, if there is one. `listing` identifies
/// the list, including its parent and query.
pub(super) fn page(
    listing: &str,
    total: usize,
    size: Option<&str>,
    token: Option<&str>,
    style: PageStyle,
) -> Result<(Range<usize>, Option<String>), ApiError> {
    let size = match size.unwrap_or("0").parse::<i32>() {
        Ok(0) => DEFAULT_SIZE,
        Ok(size) => usize::try_from(size)
            .map_err(|_| ApiError::invalid("page_size must not be negative"))?
            .min(LARGEST),
        Err(_) => return Err(ApiError::invalid("Invalid value at 'page_size' (TYPE_INT32)")),
    };
    let fingerprint = hex::encode(&Sha256::digest(listing)[..8]);
    let token = match token {
        None | Some("") => Token { listing: fingerprint, offset: 0, page: 0, after_empty: false },
        Some(text) => read(text)
            .filter(|token| token.listing == fingerprint)
            .ok_or_else(|| ApiError::invalid("Request contains an invalid page token."))?,
    };
    let start = token.offset.min(total);
    let left = total - start;
    let full = left.min(size);
    let (brought, more) = match style {
        PageStyle::Full => (full, full < left),
        PageStyle::Ragged => match dice(listing, token.page) {
            // An empty page with more to come.
            0 if left > 0 && !token.after_empty => (0, true),
            1 if left > 1 => (full.div_ceil(2), full.div_ceil(2) < left),
            // A full page whose token may lead to an empty last page.
            2 if full == size => (full, true),
            _ => (full, full < left),
        },
    };
    let next = more.then(|| {
        write(&Token {
            listing: token.listing,
            offset: start + brought,
            page: token.page + 1,
            after_empty: brought == 0,
        })
    });
    Ok((start..start + brought, next))
}

/// Returns 0 to 3, always the same for the same page of the same listing.
fn dice(listing: &str, page: u64) -> u8 {
    Sha256::digest(format!("{page}/{listing}")).first().map_or(0, |byte| byte % 4)
}

fn read(text: &str) -> Option<Token> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn write(token: &Token) -> String {
    // A struct of texts, numbers and booleans always serialises.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(token).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks through all pages, checks that they bring each item once, and returns their sizes.
    fn walk(listing: &str, total: usize, size: &str, style: PageStyle) -> Vec<usize> {
        let (mut sizes, mut seen, mut token) = (Vec::new(), 0, None);
        loop {
            let (range, next) = page(listing, total, Some(size), token.as_deref(), style).unwrap();
            assert_eq!(range.start, seen, "{listing}");
            seen = range.end;
            sizes.push(range.len());
            match next {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, total, "{listing}");
        sizes
    }

    #[test]
    fn full_pages_are_full() {
        assert_eq!(walk("x", 25, "0", PageStyle::Full), [10, 10, 5]);
        assert_eq!(walk("x", 250, "1000", PageStyle::Full), [100, 100, 50]);
        assert_eq!(walk("x", 0, "10", PageStyle::Full), [0]);
        assert_eq!(walk("x", 10, "10", PageStyle::Full), [10]);
    }

    #[test]
    fn ragged_pages_are_short_or_empty_and_still_bring_everything_once() {
        let (mut short, mut empty, mut empty_end) = (false, false, false);
        for number in 0..50 {
            for total in [0, 1, 2, 10, 35] {
                let sizes = walk(&format!("listing {number}"), total, "10", PageStyle::Ragged);
                assert!(sizes.windows(2).all(|pair| pair != [0, 0]), "always gets on: {sizes:?}");
                let (last, before) = sizes.split_last().unwrap();
                short |= before.iter().any(|&size| size > 0 && size < 10);
                empty |= before.contains(&0);
                empty_end |= *last == 0 && total > 0;
            }
        }
        assert!(short && empty && empty_end);
    }

    #[test]
    fn sizes_and_tokens_are_checked() {
        let (_, token) = page("one", 25, None, None, PageStyle::Full).unwrap();
        assert!(page("one", 25, Some("3"), token.as_deref(), PageStyle::Full).is_ok(), "the size may change");
        assert!(page("two", 25, None, token.as_deref(), PageStyle::Full).is_err(), "another listing's token");
        for (size, token) in [("-1", None), ("ten", None), ("10", Some("rubbish")), ("10", Some("e30"))] {
            assert!(page("one", 25, Some(size), token, PageStyle::Full).is_err(), "{size} {token:?}");
        }
    }
}
