//! Writing a hash file from all its records.

use std::collections::BTreeMap;

use super::page::{self, HEADER, item, kind};

/// Page size of new files, in bytes.
pub(super) const PAGE: usize = 4096;
/// How full, in bytes, a bucket page is on average.
const FILL: usize = PAGE / 2;
/// "Not logged" sequence number that new pages carry.
const NOT_LOGGED: u32 = 1;

/// What tells this file from others: inode and device, and a stamp that makes a rewritten file a new one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity {
    pub inode: u64,
    pub device: u64,
    pub stamp: u64,
}

/// Records by key.
pub(crate) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Pages under construction; page 0 is the metadata.
pub(super) struct Pages {
    pub bytes: Vec<Vec<u8>>,
}

impl Pages {
    /// Appends an empty page and gives its number.
    pub fn add(&mut self, kind: u8, level: u8) -> usize {
        let number = self.bytes.len();
        let mut page = vec![0; PAGE];
        put_u32(&mut page, 4, NOT_LOGGED);
        put_u32(&mut page, 8, number_u32(number));
        put_u16(&mut page, 22, PAGE);
        put(&mut page, 24, &[level, kind]);
        self.bytes.push(page);
        number
    }

    pub fn page(&mut self, number: usize) -> &mut Vec<u8> {
        // Numbers come from `add` only.
        &mut self.bytes[number]
    }

    /// Stores `data` in a chain of overflow pages and gives the first one.
    pub fn overflow(&mut self, data: &[u8]) -> u32 {
        let first = self.bytes.len();
        let chunks: Vec<&[u8]> = data.chunks(PAGE - HEADER).collect();
        for (index, chunk) in chunks.iter().enumerate() {
            let number = self.add(kind::OVERFLOW, 0);
            let page = self.page(number);
            if index > 0 {
                put_u32(page, 12, number_u32(number - 1));
            }
            if index + 1 < chunks.len() {
                put_u32(page, 16, number_u32(number + 1));
            }
            put_u16(page, 20, 1);
            put_u16(page, 22, chunk.len());
            put(page, HEADER, chunk);
        }
        number_u32(first)
    }

    /// Puts an item on a page if there is room for it and `reserve` more bytes.
    pub fn place(&mut self, number: usize, data: &[u8]) {
        let page = self.page(number);
        let entries = read_u16(page, 20);
        let offset = read_u16(page, 22) - data.len();
        put(page, offset, data);
        put_u16(page, HEADER + entries * 2, offset);
        put_u16(page, 20, entries + 1);
        put_u16(page, 22, offset);
    }

    /// Free bytes between the index and the items.
    pub fn room(&self, number: usize) -> usize {
        let page = &self.bytes[number];
        read_u16(page, 22) - (HEADER + read_u16(page, 20) * 2)
    }
}

/// A hash file with these records.
pub(crate) fn hash(records: &Records, identity: Identity) -> Vec<u8> {
    let total: usize = records.iter().map(|(key, value)| stored(key) + stored(value) + 4).sum();
    let buckets = (total / FILL).max(2).next_power_of_two();
    let mut pages = Pages { bytes: vec![vec![0; PAGE]] };
    for _ in 0..buckets {
        pages.add(kind::HASH, 0);
    }
    // The last page of each bucket's chain; bucket n starts at page n + 1. Keys come in order, as sorted pages want.
    let mut last: Vec<usize> = (1..=buckets).collect();
    let mask = number_u32(buckets - 1);
    for (key, value) in records {
        let bucket = usize::try_from(page::hash(key) & mask).unwrap_or(0);
        let (key, value) = (item(&mut pages, key), item(&mut pages, value));
        let mut page = last[bucket];
        if pages.room(page) < key.len() + value.len() + 4 {
            let next = pages.add(kind::HASH, 0);
            put_u32(pages.page(page), 16, number_u32(next));
            put_u32(pages.page(next), 12, number_u32(page));
            last[bucket] = next;
            page = next;
        }
        pages.place(page, &key);
        pages.place(page, &value);
    }
    let mut meta = metadata(page::HASH_MAGIC, kind::HASH_META, pages.bytes.len(), identity);
    put_u32(&mut meta, 72, mask);
    put_u32(&mut meta, 76, mask);
    put_u32(&mut meta, 80, mask >> 1);
    put_u32(&mut meta, 88, number_u32(records.len()));
    put_u32(&mut meta, 92, page::hash(b"%$sniglet^&\0"));
    for doubling in 0..=buckets.trailing_zeros() as usize {
        put_u32(&mut meta, 96 + doubling * 4, 1);
    }
    pages.bytes[0] = meta;
    pages.bytes.concat()
}

/// Longest item that stays on a hash page, in bytes.
const HASH_INLINE: usize = PAGE / 4;

fn stored(data: &[u8]) -> usize {
    if data.len() > HASH_INLINE { 12 } else { data.len() + 1 }
}

/// A hash item; long data goes to overflow pages.
fn item(pages: &mut Pages, data: &[u8]) -> Vec<u8> {
    if data.len() <= HASH_INLINE {
        let mut out = Vec::with_capacity(data.len() + 1);
        out.push(item::KEYDATA);
        out.extend_from_slice(data);
        return out;
    }
    let mut out = vec![0; 12];
    out[0] = item::OFFPAGE;
    put_u32(&mut out, 4, pages.overflow(data));
    put_u32(&mut out, 8, number_u32(data.len()));
    out
}

/// The common part of page 0.
pub(super) fn metadata(magic: u32, kind: u8, pages: usize, identity: Identity) -> Vec<u8> {
    let mut meta = vec![0; PAGE];
    put_u32(&mut meta, 4, NOT_LOGGED);
    put_u32(&mut meta, 12, magic);
    put_u32(&mut meta, 16, 9);
    put_u32(&mut meta, 20, number_u32(PAGE));
    put(&mut meta, 25, &[kind]);
    put_u32(&mut meta, 32, number_u32(pages - 1));
    put(&mut meta, 52, &identity.inode.to_ne_bytes());
    put(&mut meta, 60, &identity.device.to_ne_bytes()[..4]);
    put(&mut meta, 64, &identity.stamp.to_ne_bytes());
    meta
}

/// Page numbers and lengths are 32 bits wide in the file; larger files cannot be made from memory.
pub(super) fn number_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn put(page: &mut [u8], at: usize, data: &[u8]) {
    page[at..at + data.len()].copy_from_slice(data);
}

pub(super) fn put_u32(page: &mut [u8], at: usize, value: u32) {
    put(page, at, &value.to_ne_bytes());
}

pub(super) fn put_u16(page: &mut [u8], at: usize, value: usize) {
    put(page, at, &u16::try_from(value).unwrap_or(u16::MAX).to_ne_bytes());
}

pub(super) fn read_u16(page: &[u8], at: usize) -> usize {
    usize::from(u16::from_ne_bytes([page[at], page[at + 1]]))
}
