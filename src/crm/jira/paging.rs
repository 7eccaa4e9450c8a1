//! Reads a list by offsets while it changes.
//!
//! If an item leaves the part that was read, the following items move up, and the next offset skips one. So every page overlaps the last
//! few items of the page before. If its first item is not one of those, the reader goes back.

use std::collections::BTreeSet;

/// Number of items by which a page overlaps the page before.
const OVERLAP: usize = 5;
/// Number of pages in a row without a new item that mean that the list repeats itself. Going back causes some, but not that many.
const STUCK: u32 = 200;

/// Position of a reader in such a list.
#[derive(Debug)]
pub(super) struct Paging {
    start: usize,
    /// Number of items of the page before that the next page should begin with.
    overlap: usize,
    /// Number of items to go back if it does not.
    back: usize,
    seen: BTreeSet<String>,
    empty_pages: u32,
    stale_pages: u32,
}

impl Paging {
    pub(super) const fn new() -> Self {
        Self { start: 0, overlap: 0, back: OVERLAP, seen: BTreeSet::new(), empty_pages: 0, stale_pages: 0 }
    }

    /// Offset to request.
    pub(super) const fn start(&self) -> usize {
        self.start
    }

    /// True if many pages in a row brought no new item.
    pub(super) const fn is_stuck(&self) -> bool {
        self.stale_pages >= STUCK
    }

    /// Moves to the offset after a page, or back if the page does not overlap the one before: an item was removed meanwhile. Takes the IDs
    /// on the page, in order, and the total number of items, if the answer gives it. Returns true if there is another page to request.
    pub(super) fn advance(&mut self, ids: &[String], total: Option<usize>) -> bool {
        if ids.is_empty() {
            self.empty_pages += 1;
            // A second empty page follows a page that overlapped: this is the end, whatever the total is.
            if self.start == 0 || self.empty_pages > 1 {
                return false;
            }
        }
        let joins = self.overlap == 0 || ids.first().is_some_and(|id| self.seen.contains(id));
        if !joins {
            self.back = self.back.saturating_mul(2);
            self.start = self.start.saturating_sub(self.back);
            if self.start == 0 {
                self.overlap = 0;
            }
            return true;
        }
        let known = self.seen.len();
        self.seen.extend(ids.iter().cloned());
        self.stale_pages = if self.seen.len() > known { 0 } else { self.stale_pages + 1 };
        let more_than_overlap = ids.len() > self.overlap;
        let end = self.start + ids.len();
        // A page of one item cannot overlap and advance too.
        self.overlap = OVERLAP.min(ids.len() / 2);
        self.back = OVERLAP;
        self.start = end - self.overlap;
        total.map_or(more_than_overlap, |total| end < total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `list` in pages of `size`; calls `change(N, list)` before page N.
    fn read(
        mut list: Vec<u32>,
        size: usize,
        total: impl Fn(usize) -> Option<usize>,
        change: impl Fn(usize, &mut Vec<u32>),
    ) -> (BTreeSet<u32>, usize) {
        let mut paging = Paging::new();
        let mut found = BTreeSet::new();
        for page in 0..1000 {
            change(page, &mut list);
            let items: Vec<u32> = list.iter().copied().skip(paging.start()).take(size).collect();
            found.extend(&items);
            let ids: Vec<String> = items.iter().map(u32::to_string).collect();
            if !paging.advance(&ids, total(list.len())) {
                return (found, page + 1);
            }
        }
        panic!("does not end");
    }

    #[test]
    fn a_list_is_read_to_its_end() {
        for length in [0, 1, 4, 5, 6, 49, 50, 51, 200] {
            for size in [1, 3, 50] {
                for total in [Some as fn(usize) -> Option<usize>, |_| None, |length| Some(length + 7)] {
                    let (found, _) = read((0..length).collect(), size, total, |_, _| ());
                    assert_eq!(found.len(), length as usize, "{length} in pages of {size}");
                }
            }
        }
        assert_eq!(read((0..140).collect(), 50, Some, |_, _| ()).1, 3);
    }

    #[test]
    fn what_moves_up_is_not_skipped() {
        for moved in [1, 4, 5, 6, 30, 99] {
            for total in [Some as fn(usize) -> Option<usize>, |_| None] {
                let (found, _) = read((0..200).collect(), 50, total, |page, list| {
                    if page == 2 {
                        let early: Vec<u32> = list.drain(..moved).collect();
                        list.extend(early);
                    }
                });
                assert_eq!(found.len(), 200, "{moved} moved to the end");
                let (found, _) = read((0..200).collect(), 50, total, |page, list| {
                    if page == 2 {
                        list.drain(..moved);
                    }
                });
                let left = u32::try_from(moved).unwrap();
                assert!(found.is_superset(&(left..200).collect()), "{moved} left");
                let (found, _) = read((0..200).collect(), 50, total, |page, list| {
                    if page == 2 {
                        list.splice(0..0, 1000..1000 + u32::try_from(moved).unwrap());
                    }
                });
                assert!(found.is_superset(&(0..200).collect()), "{moved} came in front");
            }
        }
    }
}
