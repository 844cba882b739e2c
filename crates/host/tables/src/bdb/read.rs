//! Reading: by key, and all records in file order.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fs::File;
use std::os::unix::fs::FileExt;

use os_sys::lock::{self, Mode};

use super::page::{self, Order, Page, item, kind};
use super::{Broken, Method};

/// Files up to this size, in bytes, are kept in memory.
const IN_MEMORY: u64 = 4 << 20;
/// Longest value or key, in bytes.
const MAX_ITEM: usize = 64 << 20;

/// An open file.
#[derive(Debug)]
pub(crate) struct Database {
    store: Store,
    order: Order,
    page_size: usize,
    last_page: u32,
    layout: Layout,
}

#[derive(Debug)]
enum Store {
    Memory(Vec<u8>),
    File(File),
}

#[derive(Debug)]
enum Layout {
    Hash { max_bucket: u32, high_mask: u32, low_mask: u32, spares: [u32; 32] },
    Btree { root: u32 },
}

type Result<T> = std::result::Result<T, Broken>;
const SHORT: Broken = Broken::Format("page is too short");

impl Database {
    /// Reads the metadata (and, if it is small, the whole file) under a shared lock.
    pub fn open(file: File) -> Result<Self> {
        lock::flock(&file, Mode::Shared)?;
        let length = file.metadata()?.len();
        if length <= IN_MEMORY {
            return Self::under_lock(file);
        }
        let mut head = vec![0; page::META];
        file.read_exact_at(&mut head, 0)?;
        lock::unlock(&file)?;
        Self::from_parts(Store::File(file), &head)
    }

    /// The whole file in memory; the caller holds a lock.
    pub fn under_lock(file: File) -> Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).map_err(|_| SHORT)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        Self::from_bytes(bytes)
    }

    /// A file that is in memory already.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        let head: Vec<u8> = bytes.iter().take(page::META).copied().collect();
        Self::from_parts(Store::Memory(bytes), &head)
    }

    fn from_parts(store: Store, head: &[u8]) -> Result<Self> {
        let little = Page { bytes: head, order: Order::Little };
        let is_magic = |page: Page<'_>| matches!(page.u32(12), Some(page::HASH_MAGIC | page::BTREE_MAGIC));
        let big = Page { bytes: head, order: Order::Big };
        let meta = if is_magic(little) {
            little
        } else if is_magic(big) {
            big
        } else {
            return Err(Broken::Format("not a Berkeley DB file"));
        };
        let word = |at| meta.u32(at).ok_or(SHORT);
        let page_size = usize::try_from(word(20)?).map_err(|_| SHORT)?;
        if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
            return Err(Broken::Format("bad page size"));
        }
        let (version, hash) = (word(16)?, word(12)? == page::HASH_MAGIC);
        let known = if hash { page::HASH_VERSIONS } else { page::BTREE_VERSIONS };
        if !known.contains(&version) || head.get(24) != Some(&0) {
            return Err(Broken::Format("unsupported Berkeley DB version or encryption"));
        }
        let layout = if hash {
            let mut spares = [0; 32];
            for (index, spare) in spares.iter_mut().enumerate() {
                *spare = word(96 + index * 4)?;
            }
            Layout::Hash { max_bucket: word(72)?, high_mask: word(76)?, low_mask: word(80)?, spares }
        } else {
            Layout::Btree { root: word(88)? }
        };
        Ok(Self { store, order: meta.order, page_size, last_page: word(32)?, layout })
    }

    /// Hash or btree.
    pub const fn method(&self) -> Method {
        match self.layout {
            Layout::Hash { .. } => Method::Hash,
            Layout::Btree { .. } => Method::Btree,
        }
    }

    /// The value of `key`.
    pub fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.locked(|| match &self.layout {
            Layout::Hash { .. } => self.find_hash(key),
            Layout::Btree { root } => self.find_btree(*root, key),
        })
    }

    /// Gives all records in file order to `each`, until that says `false`.
    pub fn for_each(&self, each: &mut dyn FnMut(Vec<u8>, Vec<u8>) -> bool) -> Result<()> {
        self.locked(|| match &self.layout {
            Layout::Hash { max_bucket, .. } => {
                for bucket in 0..=(*max_bucket).min(self.last_page) {
                    if !self.walk_chain(self.bucket_page(bucket)?, each)? {
                        return Ok(());
                    }
                }
                Ok(())
            }
            Layout::Btree { root } => self.walk_chain(self.first_leaf(*root)?, each).map(|_| ()),
        })
    }

    /// Runs `work` under a shared lock when the file is not in memory.
    fn locked<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let Store::File(file) = &self.store else { return work() };
        lock::flock(file, Mode::Shared)?;
        let done = work();
        lock::unlock(file)?;
        done
    }

    fn page_bytes(&self, number: u32) -> Result<Cow<'_, [u8]>> {
        let start = u64::from(number) * self.page_size as u64;
        match &self.store {
            Store::Memory(bytes) => {
                let start = usize::try_from(start).map_err(|_| SHORT)?;
                bytes
                    .get(start..start + self.page_size)
                    .map(Cow::Borrowed)
                    .ok_or(Broken::Format("page outside of file"))
            }
            Store::File(file) => {
                let mut bytes = vec![0; self.page_size];
                file.read_exact_at(&mut bytes, start)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    fn bucket_page(&self, bucket: u32) -> Result<u32> {
        let Layout::Hash { spares, .. } = &self.layout else { return Err(SHORT) };
        // Rounded up logarithm of bucket + 1: which doubling of the file the bucket belongs to.
        let doubling = usize::try_from(u32::BITS - bucket.leading_zeros()).unwrap_or(0);
        let spare = spares.get(doubling).copied().ok_or(Broken::Format("bad bucket"))?;
        bucket.checked_add(spare).ok_or(Broken::Format("bad bucket"))
    }

    fn find_hash(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let Layout::Hash { max_bucket, high_mask, low_mask, .. } = &self.layout else { return Err(SHORT) };
        let hash = page::hash(key);
        let mut bucket = hash & high_mask;
        if bucket > *max_bucket {
            bucket &= low_mask;
        }
        let mut found = None;
        self.walk_pages(self.bucket_page(bucket)?, &mut |page| {
            for index in (0..page.entries()).step_by(2) {
                if self.hash_data_is(page, index, key)? {
                    found = Some(self.hash_data(page, index + 1)?);
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        Ok(found)
    }

    /// Follows a chain of pages; `each` says whether to go on.
    fn walk_pages(&self, first: u32, each: &mut dyn FnMut(Page<'_>) -> Result<bool>) -> Result<bool> {
        let mut number = first;
        for _ in 0..=self.last_page {
            let bytes = self.page_bytes(number)?;
            let page = Page { bytes: &bytes, order: self.order };
            if !each(page)? {
                return Ok(false);
            }
            number = page.next();
            if number == 0 {
                return Ok(true);
            }
        }
        Err(Broken::Format("endless page chain"))
    }

    fn walk_chain(&self, first: u32, each: &mut dyn FnMut(Vec<u8>, Vec<u8>) -> bool) -> Result<bool> {
        self.walk_pages(first, &mut |page| {
            for index in (0..page.entries()).step_by(2) {
                let (key, value) = match page.kind() {
                    kind::HASH | kind::HASH_UNSORTED => {
                        (self.hash_data(page, index)?, self.hash_data(page, index + 1)?)
                    }
                    kind::BTREE_LEAF => {
                        match (self.btree_data(page, index)?, self.btree_data(page, index + 1)?) {
                            (Some(key), Some(value)) => (key, value),
                            (None, _) | (_, None) => continue,
                        }
                    }
                    kind::INVALID => continue,
                    _ => return Err(Broken::Format("unexpected page type")),
                };
                if !each(key, value) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    fn hash_data_is(&self, page: Page<'_>, index: usize, key: &[u8]) -> Result<bool> {
        match page.hash_item(index).and_then(<[u8]>::split_first) {
            Some((&item::KEYDATA, data)) => Ok(data == key),
            Some(_) => Ok(self.hash_data(page, index)? == key),
            None => Err(SHORT),
        }
    }

    fn hash_data(&self, page: Page<'_>, index: usize) -> Result<Vec<u8>> {
        let bytes = page.hash_item(index).ok_or(SHORT)?;
        match bytes.split_first() {
            Some((&item::KEYDATA, data)) => Ok(data.to_vec()),
            Some((&item::OFFPAGE, _)) => {
                let item = Page { bytes, order: self.order };
                self.overflow(item.u32(4).ok_or(SHORT)?, item.u32(8).ok_or(SHORT)?)
            }
            Some(_) => Err(Broken::Format("duplicates are not supported")),
            None => Err(SHORT),
        }
    }

    /// Data of `length` bytes in a chain of overflow pages.
    fn overflow(&self, first: u32, length: u32) -> Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(|_| SHORT)?;
        if length > MAX_ITEM {
            return Err(Broken::Format("item is too long"));
        }
        let mut data = Vec::new();
        self.walk_pages(first, &mut |page| {
            if page.kind() != kind::OVERFLOW {
                return Err(Broken::Format("unexpected page type"));
            }
            let used = page.u16(22).map_or(0, usize::from);
            data.extend_from_slice(page.bytes.get(page::HEADER..page::HEADER + used).ok_or(SHORT)?);
            Ok(data.len() < length)
        })?;
        if data.len() == length { Ok(data) } else { Err(Broken::Format("overflow chain has a wrong length")) }
    }

    /// Data of a btree item; `None` when it is deleted.
    fn btree_data(&self, page: Page<'_>, index: usize) -> Result<Option<Vec<u8>>> {
        let at = page.btree_item(index).ok_or(SHORT)?;
        let kind = *at.bytes.get(2).ok_or(SHORT)?;
        if kind & item::DELETED != 0 {
            return Ok(None);
        }
        self.btree_item(at, kind, 3).map(Some)
    }

    fn btree_item(&self, at: Page<'_>, kind: u8, header: usize) -> Result<Vec<u8>> {
        match kind & !item::DELETED {
            item::BTREE_KEYDATA => {
                let length = usize::from(at.u16(0).ok_or(SHORT)?);
                Ok(at.bytes.get(header..header + length).ok_or(SHORT)?.to_vec())
            }
            item::BTREE_OVERFLOW => {
                // In leaves the reference stands in the item itself, in internal pages in the item's data.
                let start = if header == 3 { 0 } else { header };
                self.overflow(at.u32(start + 4).ok_or(SHORT)?, at.u32(start + 8).ok_or(SHORT)?)
            }
            _ => Err(Broken::Format("duplicates are not supported")),
        }
    }

    fn find_btree(&self, root: u32, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let leaf = self.descend(root, &mut |page| {
            let mut child = 0;
            for index in 1..page.entries() {
                let at = page.btree_item(index).ok_or(SHORT)?;
                let kind = *at.bytes.get(2).ok_or(SHORT)?;
                if self.btree_item(at, kind, 12)?.as_slice().cmp(key) == Ordering::Greater {
                    break;
                }
                child = index;
            }
            Ok(child)
        })?;
        let bytes = self.page_bytes(leaf)?;
        let page = Page { bytes: &bytes, order: self.order };
        for index in (0..page.entries()).step_by(2) {
            if self.btree_data(page, index)?.as_deref() == Some(key) {
                return self.btree_data(page, index + 1);
            }
        }
        Ok(None)
    }

    fn first_leaf(&self, root: u32) -> Result<u32> {
        self.descend(root, &mut |_| Ok(0))
    }

    /// From the root to a leaf; `choose` picks the child of an internal page.
    fn descend(&self, root: u32, choose: &mut dyn FnMut(Page<'_>) -> Result<usize>) -> Result<u32> {
        let mut number = root;
        for _ in 0..u8::MAX {
            let bytes = self.page_bytes(number)?;
            let page = Page { bytes: &bytes, order: self.order };
            match page.kind() {
                kind::BTREE_LEAF => return Ok(number),
                kind::BTREE_INTERNAL => {
                    let child = page.btree_item(choose(page)?).ok_or(SHORT)?;
                    number = child.u32(4).ok_or(SHORT)?;
                }
                _ => return Err(Broken::Format("unexpected page type")),
            }
        }
        Err(Broken::Format("tree is too deep"))
    }
}
