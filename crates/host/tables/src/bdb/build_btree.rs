//! Writing a btree file from all its records: full leaves from left to right, then the levels above them.

use super::build::{Identity, PAGE, Pages, Records, metadata, number_u32, put, put_u16, put_u32};
use super::page::{self, HEADER, item, kind};

/// Fewest keys that a page must be able to hold; longer items go to overflow pages.
const MIN_KEYS: usize = 2;
/// Longest item that stays on a btree page, in bytes.
const INLINE: usize = (PAGE - HEADER) / (MIN_KEYS * 2) - 10;

/// A btree file with these records.
pub(crate) fn btree(records: &Records, identity: Identity) -> Vec<u8> {
    let mut pages = Pages { bytes: vec![vec![0; PAGE]] };
    // Page 1 is kept for the root.
    let root = pages.add(kind::BTREE_LEAF, 1);
    let mut level = leaves(&mut pages, records);
    let mut height = 1;
    while level.len() > 1 {
        height += 1;
        level = parents(&mut pages, level, height);
    }
    let free = level.pop().map_or(0, |(_, top)| move_to_root(&mut pages, top, root));
    let mut meta = metadata(page::BTREE_MAGIC, kind::BTREE_META, pages.bytes.len(), identity);
    put_u32(&mut meta, 28, number_u32(free));
    put_u32(&mut meta, 76, number_u32(MIN_KEYS));
    put_u32(&mut meta, 84, u32::from(b' '));
    put_u32(&mut meta, 88, number_u32(root));
    pages.bytes[0] = meta;
    pages.bytes.concat()
}

/// Pages of one level with the first key of each.
type Level = Vec<(Vec<u8>, usize)>;

fn leaves(pages: &mut Pages, records: &Records) -> Level {
    let mut level: Level = Vec::new();
    for (key, value) in records {
        let (key_item, value_item) = (leaf_item(pages, key), leaf_item(pages, value));
        let needed = key_item.len() + value_item.len() + 4;
        let page = match level.last() {
            Some((_, page)) if pages.room(*page) >= needed => *page,
            last => {
                let before = last.map(|(_, page)| *page);
                let page = pages.add(kind::BTREE_LEAF, 1);
                if let Some(before) = before {
                    put_u32(pages.page(before), 16, number_u32(page));
                    put_u32(pages.page(page), 12, number_u32(before));
                }
                level.push((key.clone(), page));
                page
            }
        };
        pages.place(page, &key_item);
        pages.place(page, &value_item);
    }
    level
}

fn parents(pages: &mut Pages, children: Level, height: u8) -> Level {
    let mut level: Level = Vec::new();
    for (key, child) in children {
        let page = match level.last() {
            Some((_, page)) if pages.room(*page) >= internal_size(&key) + 2 => *page,
            _ => {
                let page = pages.add(kind::BTREE_INTERNAL, height);
                level.push((key.clone(), page));
                let first = internal_item(pages, b"", child);
                pages.place(page, &first);
                continue;
            }
        };
        let item = internal_item(pages, &key, child);
        pages.place(page, &item);
    }
    level
}

/// The top page becomes page 1. Gives the number of the page that is free then, 0 if none.
fn move_to_root(pages: &mut Pages, top: usize, root: usize) -> usize {
    let mut page = std::mem::take(pages.page(top));
    put_u32(&mut page, 8, number_u32(root));
    *pages.page(root) = page;
    if top == pages.bytes.len() - 1 {
        pages.bytes.pop();
        return 0;
    }
    *pages.page(top) = vec![0; PAGE];
    let hole = pages.page(top);
    put_u32(hole, 4, 1);
    put_u32(hole, 8, number_u32(top));
    put(hole, 25, &[kind::INVALID]);
    top
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn leaf_item(pages: &mut Pages, data: &[u8]) -> Vec<u8> {
    if data.len() > INLINE {
        return reference(pages, data);
    }
    let mut out = vec![0; aligned(data.len() + 3)];
    put_u16(&mut out, 0, data.len());
    out[2] = item::BTREE_KEYDATA;
    put(&mut out, 3, data);
    out
}

/// A reference to overflow pages.
fn reference(pages: &mut Pages, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 12];
    out[2] = item::BTREE_OVERFLOW;
    put_u32(&mut out, 4, pages.overflow(data));
    put_u32(&mut out, 8, number_u32(data.len()));
    out
}

fn internal_size(key: &[u8]) -> usize {
    aligned(12 + if key.len() > INLINE { 12 } else { key.len() })
}

fn internal_item(pages: &mut Pages, key: &[u8], child: usize) -> Vec<u8> {
    let (kind, data) = if key.len() > INLINE {
        (item::BTREE_OVERFLOW, reference(pages, key))
    } else {
        (item::BTREE_KEYDATA, key.to_vec())
    };
    let mut out = vec![0; internal_size(key)];
    put_u16(&mut out, 0, data.len());
    out[2] = kind;
    put_u32(&mut out, 4, number_u32(child));
    put(&mut out, 12, &data);
    out
}
