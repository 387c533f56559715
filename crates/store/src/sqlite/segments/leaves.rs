//! Leaves: the rows of a look-up, each with a few hundred of its entries.
//!
//! An entry says that the row `found` has the value `sought`. A segment's entries stand in order, cut into leaves of about a
//! kilobyte: the first entry of each is the key of its row, the others follow as differences. So a look-up costs two or
//! three bytes an entry and a row for hundreds, and writing the look-ups of a segment takes the writer less than a
//! millisecond, whatever is looked up.

use crate::blob::{put, put_signed, take, take_signed};

/// What is looked up, and the id of a row that has it. In this order they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub sought: i64,
    pub found: i64,
}

/// A row of a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub first: Entry,
    /// The entries after the first, encoded.
    pub rest: Vec<u8>,
}

/// About a quarter of a page: a key that is longer does not lie in one piece in a table without rowids.
const REST_BYTES_MAX: usize = 900;

/// The leaves of a segment's entries, which are put in order.
pub(super) fn cut(mut entries: Vec<Entry>) -> Vec<Leaf> {
    entries.sort_unstable();
    let mut leaves: Vec<Leaf> = Vec::new();
    let mut last = None;
    for entry in entries {
        match (leaves.last_mut(), last) {
            (Some(leaf), Some(last)) if leaf.rest.len() < REST_BYTES_MAX => put_after(&mut leaf.rest, last, entry),
            _ => leaves.push(Leaf { first: entry, rest: Vec::new() }),
        }
        last = Some(entry);
    }
    leaves
}

fn put_after(rest: &mut Vec<u8>, last: Entry, entry: Entry) {
    put(rest, entry.sought.abs_diff(last.sought));
    put_signed(rest, entry.found - last.found);
}

/// The entries of a leaf, in order. What is torn ends it.
pub(super) fn entries(first: Entry, rest: &[u8]) -> impl Iterator<Item = Entry> {
    let mut rest = rest;
    std::iter::successors(Some(first), move |last| {
        let sought = last.sought.checked_add_unsigned(take(&mut rest)?)?;
        Some(Entry { sought, found: last.found.checked_add(take_signed(&mut rest)?)? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(leaves: &[Leaf]) -> Vec<Entry> {
        leaves.iter().flat_map(|leaf| entries(leaf.first, &leaf.rest).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn what_was_cut_into_leaves_is_read_in_order() {
        let ids = |count: i64| (0..count).map(|n| (n * 7_919 + 13) % 8_192);
        let far = 9_007_199_254_740_990;
        let cases: Vec<Vec<Entry>> = vec![
            Vec::new(),
            vec![Entry { sought: 5, found: far }],
            vec![Entry { sought: 0, found: far }, Entry { sought: far, found: 0 }, Entry { sought: far, found: 1 }],
            ids(8_192).map(|id| Entry { sought: 1, found: id }).collect(),
            ids(8_192).map(|id| Entry { sought: id % 20, found: id }).collect(),
            ids(8_192).map(|id| Entry { sought: id * 1_000_003, found: far - id }).collect(),
        ];
        for case in cases {
            let mut sorted = case.clone();
            sorted.sort_unstable();
            let leaves = cut(case);
            assert_eq!(read(&leaves), sorted);
            assert!(leaves.is_sorted_by_key(|leaf| leaf.first));
            // Two numbers of at most ten bytes each are the last that still go into a leaf.
            assert!(leaves.iter().all(|leaf| leaf.rest.len() < REST_BYTES_MAX + 20));
        }
    }

    #[test]
    fn neighbours_take_two_bytes_each() {
        let leaves = cut((1..=8_192).map(|id| Entry { sought: 1, found: id }).collect());
        assert_eq!(leaves.iter().map(|leaf| leaf.rest.len()).sum::<usize>(), 2 * (8_192 - leaves.len()));
        assert_eq!(leaves.len(), 19);
    }

    #[test]
    fn a_torn_leaf_ends_where_it_is_torn() {
        let leaf = &cut((1..=300).map(|id| Entry { sought: id, found: id * 300 }).collect())[0];
        for length in 0..leaf.rest.len() {
            let torn: Vec<_> = entries(leaf.first, &leaf.rest[..length]).collect();
            assert!(torn.len() <= length + 1 && torn.is_sorted());
        }
    }
}
