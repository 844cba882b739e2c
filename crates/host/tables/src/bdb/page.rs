//! Pages: layout constants and checked access.

/// Byte order of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

pub(super) const HASH_MAGIC: u32 = 0x0006_1561;
pub(super) const BTREE_MAGIC: u32 = 0x0005_3162;
/// Versions whose layout is known (Berkeley DB 4.x to 6.x).
pub(super) const HASH_VERSIONS: std::ops::RangeInclusive<u32> = 7..=10;
pub(super) const BTREE_VERSIONS: std::ops::RangeInclusive<u32> = 8..=10;
/// Bytes of a page header.
pub(super) const HEADER: usize = 26;
/// Bytes of the metadata part of page 0.
pub(super) const META: usize = 512;

/// Page types.
pub(super) mod kind {
    pub const INVALID: u8 = 0;
    pub const HASH_UNSORTED: u8 = 2;
    pub const BTREE_INTERNAL: u8 = 3;
    pub const BTREE_LEAF: u8 = 5;
    pub const OVERFLOW: u8 = 7;
    pub const HASH_META: u8 = 8;
    pub const BTREE_META: u8 = 9;
    pub const HASH: u8 = 13;
}

/// Item types of hash pages.
pub(super) mod item {
    pub const KEYDATA: u8 = 1;
    pub const OFFPAGE: u8 = 3;
    /// Item type of btree pages: the data is in overflow pages.
    pub const BTREE_OVERFLOW: u8 = 3;
    pub const BTREE_KEYDATA: u8 = 1;
    /// Flag of btree items.
    pub const DELETED: u8 = 0x80;
}

/// A page, or any stretch of bytes in the file's byte order.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    pub bytes: &'a [u8],
    pub order: Order,
}

impl<'a> Page<'a> {
    pub fn u16(self, at: usize) -> Option<u16> {
        let bytes: [u8; 2] = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(match self.order {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        })
    }

    pub fn u32(self, at: usize) -> Option<u32> {
        let bytes: [u8; 4] = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(match self.order {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        })
    }

    pub fn kind(self) -> u8 {
        self.bytes.get(25).copied().unwrap_or(kind::INVALID)
    }

    pub fn next(self) -> u32 {
        self.u32(16).unwrap_or(0)
    }

    pub fn entries(self) -> usize {
        self.u16(20).map_or(0, usize::from)
    }

    /// Offset of item `index`.
    pub fn offset(self, index: usize) -> Option<usize> {
        self.u16(HEADER + index * 2).map(usize::from)
    }

    /// Item `index` of a hash page: it ends where its predecessor starts.
    pub fn hash_item(self, index: usize) -> Option<&'a [u8]> {
        let start = self.offset(index)?;
        let end = match index.checked_sub(1) {
            Some(before) => self.offset(before)?,
            None => self.bytes.len(),
        };
        self.bytes.get(start..end)
    }

    /// Bytes from item `index` of a btree page to the end of the page.
    pub fn btree_item(self, index: usize) -> Option<Self> {
        let start = self.offset(index)?;
        Some(Self { bytes: self.bytes.get(start..)?, order: self.order })
    }
}

/// The hash function of all files since 2.x (Fowler, Noll, Vo, multiply first).
pub(super) fn hash(key: &[u8]) -> u32 {
    key.iter().fold(0, |h: u32, &byte| h.wrapping_mul(16_777_619) ^ u32::from(byte))
}
