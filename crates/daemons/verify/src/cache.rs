//! The cache, without IO: seconds since the epoch are passed in.

use std::collections::HashMap;
use std::time::Duration;

use proto_ipc::verify::{OK, TODO};

/// Addresses remembered at the most; beyond that expired ones are dropped, then nothing new is remembered.
const LIMIT: usize = 1_000_000;
/// A probe without a result is repeated after this time, seconds.
const PROBE_LIFE: u64 = 1000;
const IN_PROGRESS: &str = "Address verification in progress";

/// The parameters `address_verify_*_time` and `address_verify_negative_cache`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub positive_expire: Duration,
    pub positive_refresh: Duration,
    pub negative_expire: Duration,
    pub negative_refresh: Duration,
    pub negative_cache: bool,
}

/// What is known about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub status: i32,
    probed: u64,
    updated: u64,
    pub text: String,
}

/// The cache.
#[derive(Debug)]
pub(crate) struct Cache {
    times: Times,
    entries: HashMap<String, Entry>,
}

impl Cache {
    pub fn new(times: Times) -> Self {
        Self { times, entries: HashMap::new() }
    }

    /// What is known, and whether a probe must be sent now.
    pub fn query(&mut self, address: &str, now: u64) -> (Entry, bool) {
        let key = key(address);
        let known = self.entries.get(&key).filter(|entry| !self.is_expired(entry, now)).cloned();
        let mut entry =
            known.unwrap_or_else(|| Entry { status: TODO, probed: 0, updated: 0, text: IN_PROGRESS.into() });
        let forgets = entry.status != OK && entry.status != TODO && !self.times.negative_cache;
        let wants_probe = self.wants_probe(&entry, now);
        if wants_probe {
            entry.probed = now;
        }
        if forgets {
            self.entries.remove(&key);
        } else if self.entries.len() < LIMIT || self.entries.contains_key(&key) {
            self.entries.insert(key, entry.clone());
        } else {
            self.drop_expired(now);
        }
        (entry, wants_probe && !forgets)
    }

    /// A result from a delivery agent. A good result is not overwritten by a bad one before it expires.
    pub fn update(&mut self, address: &str, status: i32, text: &str, now: u64) {
        let key = key(address);
        if let Some(old) = self.entries.get_mut(&key)
            && old.status == OK
            && status != OK
            && now < old.updated.saturating_add(self.times.positive_expire.as_secs())
        {
            old.probed = 0;
            return;
        }
        if self.entries.len() >= LIMIT && !self.entries.contains_key(&key) {
            return self.drop_expired(now);
        }
        self.entries.insert(key, Entry { status, probed: 0, updated: now, text: text.to_owned() });
    }

    fn drop_expired(&mut self, now: u64) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|_, entry| !self.is_expired(entry, now));
        self.entries = entries;
    }

    fn is_expired(&self, entry: &Entry, now: u64) -> bool {
        let life = match entry.status {
            OK => self.times.positive_expire,
            TODO => return false,
            _ => self.times.negative_expire,
        };
        now >= entry.updated.saturating_add(life.as_secs())
    }

    fn wants_probe(&self, entry: &Entry, now: u64) -> bool {
        let refresh = match entry.status {
            OK => self.times.positive_refresh.as_secs(),
            TODO => 0,
            _ => self.times.negative_refresh.as_secs(),
        };
        let is_old = now >= entry.updated.saturating_add(refresh);
        is_old && now >= entry.probed.saturating_add(PROBE_LIFE)
    }
}

/// Addresses are kept with `_` for `:`, as in the reference's cache files.
fn key(address: &str) -> String {
    mail_address::fold(address).replace(':', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_ipc::verify::BOUNCE;

    const DAY: u64 = 86400;

    fn cache(negative_cache: bool) -> Cache {
        let days = |n| Duration::from_secs(n * DAY);
        Cache::new(Times {
            positive_expire: days(31),
            positive_refresh: days(7),
            negative_expire: days(3),
            negative_refresh: Duration::from_secs(3 * 3600),
            negative_cache,
        })
    }

    #[test]
    fn an_unknown_address_is_probed_once() {
        let mut cache = cache(true);
        let now = 1_000_000;
        let (entry, probe) = cache.query("a@b", now);
        assert_eq!(
            (entry.status, entry.text.as_str(), probe),
            (TODO, "Address verification in progress", true)
        );
        assert!(!cache.query("A@B", now + 1).1);
        assert!(cache.query("a@b", now + PROBE_LIFE).1);
        cache.update("a@b", OK, "250 2.1.5 Ok", now + 5);
        let (entry, probe) = cache.query("a@b", now + 6);
        assert_eq!((entry.status, entry.text.as_str(), probe), (OK, "250 2.1.5 Ok", false));
    }

    #[test]
    fn results_are_refreshed_and_expire() {
        let mut cache = cache(true);
        let now = 1_000_000;
        cache.update("good", OK, "x", now);
        cache.update("bad", BOUNCE, "y", now);
        assert_eq!(
            (cache.query("good", now + 8 * DAY).0.status, cache.query("good", now + 32 * DAY).0.status),
            (OK, TODO)
        );
        assert!(cache.query("bad", now + 4 * 3600).1);
        assert_eq!(cache.query("bad", now + 4 * DAY).0.status, TODO);
        cache.update("good", OK, "x", now);
        cache.update("good", BOUNCE, "y", now + 1);
        assert_eq!(cache.query("good", now + 2).0.status, OK);
    }

    #[test]
    fn bad_results_can_be_forgotten() {
        let mut cache = cache(false);
        cache.update("bad", BOUNCE, "y", 1000);
        assert_eq!(cache.query("bad", 1001).0.status, BOUNCE);
        assert_eq!(cache.query("bad", 1002).0.status, TODO);
    }
}
