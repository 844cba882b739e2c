//! The cache, without IO: seconds since the epoch are passed in.

use std::collections::HashMap;
use std::time::Duration;

use proto_ipc::verify::{OK, TODO};

/// Addresses remembered at the most; beyond that expired ones are dropped, then nothing new is remembered.
const LIMIT: usize = 1_000_000;
/// A probe without a result is repeated after this time, seconds.
const PROBE_LIFE: u64 = 1000;
const IN_PROGRESS: &str = "Address verification in progress";
/// The record that says when the last cleanup ended.
const CLEANED: &str = "_LAST_CACHE_CLEANUP_COMPLETED_";

/// The parameters `address_verify_*_time` and `address_verify_negative_cache`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub positive_expire: Duration,
    pub positive_refresh: Duration,
    pub negative_expire: Duration,
    pub negative_refresh: Duration,
    pub negative_cache: bool,
}

/// Where entries are, as text.
pub(crate) trait Records: Send {
    fn find(&self, key: &str) -> Option<String>;
    fn put(&mut self, key: &str, value: &str);
    fn delete(&mut self, key: &str);
    fn all(&self) -> Vec<(String, String)>;
    fn len(&self) -> usize;
    /// Whether something is to be saved.
    fn is_changed(&self) -> bool;
    /// Saves what has changed.
    fn save(&mut self) -> Result<(), String>;
}

impl Records for HashMap<String, String> {
    fn find(&self, key: &str) -> Option<String> {
        self.get(key).cloned()
    }
    fn put(&mut self, key: &str, value: &str) {
        self.insert(key.to_owned(), value.to_owned());
    }
    fn delete(&mut self, key: &str) {
        self.remove(key);
    }
    fn all(&self) -> Vec<(String, String)> {
        self.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
    fn len(&self) -> usize {
        Self::len(self)
    }
    fn is_changed(&self) -> bool {
        false
    }
    fn save(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// What is known about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub status: i32,
    probed: u64,
    updated: u64,
    pub text: String,
}

impl Entry {
    /// `STATUS:PROBED:UPDATED:TEXT`; `None`: something else.
    fn parse(value: &str) -> Option<Self> {
        let mut fields = value.splitn(4, ':');
        let status = fields.next()?.parse().ok().filter(|status| (0..=TODO).contains(status))?;
        let (probed, updated) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { status, probed, updated, text: fields.next()?.to_owned() })
    }

    fn format(&self) -> String {
        format!("{}:{}:{}:{}", self.status, self.probed, self.updated, self.text)
    }
}

/// The cache.
pub(crate) struct Cache {
    times: Times,
    records: Box<dyn Records>,
}

impl Cache {
    pub fn new(times: Times, records: Box<dyn Records>) -> Self {
        Self { times, records }
    }

    /// What is known, and whether a probe must be sent now.
    pub fn query(&mut self, address: &str, now: u64) -> (Entry, bool) {
        let key = key(address);
        let known = self.find(&key).filter(|entry| !self.is_expired(entry, now));
        let is_known = known.is_some();
        let mut entry =
            known.unwrap_or_else(|| Entry { status: TODO, probed: 0, updated: 0, text: IN_PROGRESS.into() });
        let forgets = entry.status != OK && entry.status != TODO && !self.times.negative_cache;
        let wants_probe = self.wants_probe(&entry, now);
        if wants_probe {
            entry.probed = now;
        }
        if forgets {
            self.records.delete(&key);
        } else if wants_probe && (is_known || self.has_room(now)) {
            self.records.put(&key, &entry.format());
        }
        (entry, wants_probe && !forgets)
    }

    /// A result from a delivery agent. A good result is not overwritten by a bad one before it expires.
    pub fn update(&mut self, address: &str, status: i32, text: &str, now: u64) {
        let key = key(address);
        let old = self.find(&key);
        if let Some(old) = &old
            && old.status == OK
            && status != OK
            && now < old.updated.saturating_add(self.times.positive_expire.as_secs())
        {
            self.records.put(&key, &Entry { probed: 0, ..old.clone() }.format());
            return;
        }
        if old.is_some() || self.has_room(now) {
            let entry = Entry { status, probed: 0, updated: now, text: text.to_owned() };
            self.records.put(&key, &entry.format());
        }
    }

    /// Drops what has expired, and remembers when; how many entries are kept and dropped.
    pub fn clean(&mut self, now: u64) -> (usize, usize) {
        let (mut kept, mut dropped) = (0, 0);
        for (key, value) in self.records.all() {
            if key == CLEANED {
                continue;
            }
            if Entry::parse(&value).is_some_and(|entry| !self.is_stale(&entry, now)) {
                kept += 1;
            } else {
                self.records.delete(&key);
                dropped += 1;
            }
        }
        self.records.put(CLEANED, &now.to_string());
        (kept, dropped)
    }

    /// When the last cleanup ended; 0: never.
    pub fn cleaned(&self) -> u64 {
        self.records.find(CLEANED).and_then(|time| time.parse().ok()).unwrap_or(0)
    }

    pub fn is_changed(&self) -> bool {
        self.records.is_changed()
    }

    pub fn save(&mut self) -> Result<(), String> {
        self.records.save()
    }

    fn find(&self, key: &str) -> Option<Entry> {
        self.records.find(key).and_then(|value| Entry::parse(&value))
    }

    /// Whether another address may be remembered; makes room for later ones if not.
    fn has_room(&mut self, now: u64) -> bool {
        let has_room = self.records.len() < LIMIT;
        if !has_room {
            self.clean(now);
        }
        has_room
    }

    /// Nobody misses it: expired, or a probe that nothing was heard of.
    fn is_stale(&self, entry: &Entry, now: u64) -> bool {
        if entry.status == TODO {
            return now >= entry.probed.saturating_add(PROBE_LIFE);
        }
        self.is_expired(entry, now)
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

/// Addresses are kept with `_` for `:`, as in the reference's cache files. Upper and lower case are told apart.
fn key(address: &str) -> String {
    address.replace(':', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_ipc::verify::BOUNCE;

    const DAY: u64 = 86400;

    fn cache(negative_cache: bool) -> Cache {
        let days = |n| Duration::from_secs(n * DAY);
        Cache::new(
            Times {
                positive_expire: days(31),
                positive_refresh: days(7),
                negative_expire: days(3),
                negative_refresh: Duration::from_secs(3 * 3600),
                negative_cache,
            },
            Box::new(HashMap::<String, String>::new()),
        )
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
        assert!(!cache.query("a@b", now + 1).1);
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

    #[test]
    fn a_cleanup_drops_what_nobody_misses() {
        let mut cache = cache(true);
        let now = 1_000_000;
        cache.update("old", OK, "x", now);
        cache.update("bad", BOUNCE, "a:b", now + 30 * DAY);
        cache.query("todo", now + 30 * DAY);
        assert_eq!(cache.clean(now + 31 * DAY), (1, 2));
        assert_eq!(cache.cleaned(), now + 31 * DAY);
        assert_eq!(cache.query("bad", now + 31 * DAY).0.text, "a:b");
        assert_eq!(cache.clean(now + 40 * DAY), (0, 1));
    }

    #[test]
    fn odd_records_are_no_entries() {
        for value in ["", "0", "0:0:0", "x:0:0:t", "4:0:0:t", "-1:0:0:t", "0:a:0:t"] {
            assert_eq!(Entry::parse(value), None, "{value}");
        }
        assert_eq!(Entry::parse("2:0:7:a:b").map(|entry| entry.format()), Some("2:0:7:a:b".into()));
    }
}
