//! The cache with its table: changes are saved by a thread of its own, so that no client waits for the disk.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use host_config::{Config, ConfigError, param};
use host_tables::store::{Duplicate, Ending, Store};
use host_tables::{OpenError, split_spec};
use os_sys::identity::{self, Root};

use crate::cache::{Cache, Records, Times};

/// Changes are saved together with those of so much time.
const GATHER: Duration = Duration::from_secs(1);
/// A large table is saved so seldom that at most one in so many seconds goes into it.
const SHARE: u32 = 20;
/// Mode of a new table file.
const MODE: u32 = 0o600;

/// A table file; `name` is `type:path`.
struct Table {
    store: Store,
    name: String,
}

impl Records for Table {
    fn find(&self, key: &str) -> Option<String> {
        self.store.find(key)
    }
    fn put(&mut self, key: &str, value: &str) {
        self.store.put(key, value, Duplicate::Replace);
    }
    fn delete(&mut self, key: &str) {
        self.store.delete(key);
    }
    fn all(&self) -> Vec<(String, String)> {
        self.store.records().collect()
    }
    fn len(&self) -> usize {
        self.store.len()
    }
    fn is_changed(&self) -> bool {
        self.store.is_changed()
    }
    fn save(&mut self) -> Result<(), String> {
        self.store.save().map_err(|error| format!("{}: {}", self.name, os_sys::error_text(&error)))
    }
}

/// The table of `address_verify_map`, opened as the mail owner; memory if there is none, or if it cannot be opened.
pub(crate) fn records(config: &Config) -> Result<(String, Box<dyn Records>), ConfigError> {
    let spec = config.str(param::ADDRESS_VERIFY_MAP)?;
    let memory = Box::new(HashMap::<String, String>::new());
    if spec.is_empty() {
        return Ok(("internal:verify".into(), memory));
    }
    match open_as_owner(config, &spec)? {
        Ok(store) => Ok((spec.clone(), Box::new(Table { store, name: spec }))),
        Err(OpenError(reason)) => {
            os_log::error!("{reason}");
            os_log::warning!("{spec} is unavailable. {reason}");
            Ok((spec, memory))
        }
    }
}

fn open_as_owner(config: &Config, spec: &str) -> Result<Result<Store, OpenError>, ConfigError> {
    let owner = identity::user_by_name(&config.str(param::MAIL_OWNER)?).ok().flatten();
    let (Some(root), Some(owner)) = (Root::claim(), owner) else { return Ok(open(spec)) };
    let opened = root.acting_as(&owner.identity(), || open(spec));
    Ok(opened.unwrap_or_else(|error| Err(OpenError(os_sys::error_text(&error)))))
}

fn open(spec: &str) -> Result<Store, OpenError> {
    // This is the only process that writes the table, so nobody has to do it for us.
    let (kind, name) = split_spec(spec.strip_prefix("proxy:").unwrap_or(spec))?;
    if !Store::supports(kind) {
        return Err(match kind {
            "regexp" | "pcre" | "cidr" | "texthash" | "inline" | "static" => {
                OpenError(format!("{spec} map requires O_RDONLY access mode"))
            }
            _ => OpenError(format!("unsupported dictionary type: {kind}")),
        });
    }
    let mut store = Store::open(kind, name, false, true, MODE, Ending::Nul)?;
    store.unlock().map_err(|error| OpenError(os_sys::error_text(&error)))?;
    Ok(store)
}

struct State {
    cache: Cache,
    ended: bool,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// `type:path`, for the log.
    name: String,
    /// `address_verify_cache_cleanup_interval`; zero: never.
    interval: Duration,
}

/// Owns the cache. What has changed is saved when this is dropped, too.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub fn new(config: &Config, times: Times) -> Result<Self, ConfigError> {
        let (name, records) = records(config)?;
        let state = Mutex::new(State { cache: Cache::new(times, records), ended: false });
        let interval = config.time(param::ADDRESS_VERIFY_CACHE_CLEANUP_INTERVAL)?;
        Ok(Self { shared: Arc::new(Shared { state, wake: Condvar::new(), name, interval }), thread: None })
    }

    /// Cleans up if that is due, before the first client; then starts the thread that saves and cleans up.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(&mut self) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        shared.clean_if_due(&mut shared.state().cache);
        self.thread = Some(std::thread::Builder::new().name("keeper".into()).spawn(move || shared.keep())?);
        Ok(())
    }

    /// Works on the cache.
    pub fn with<T>(&self, work: impl FnOnce(&mut Cache) -> T) -> T {
        let mut state = self.shared.state();
        let result = work(&mut state.cache);
        if state.cache.is_changed() {
            self.shared.wake.notify_one();
        }
        result
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.shared.save(&mut self.shared.state());
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self) {
        let mut state = self.state();
        while !state.ended {
            self.clean_if_due(&mut state.cache);
            let pause = if state.cache.is_changed() {
                let begin = Instant::now();
                self.save(&mut state);
                Some((begin.elapsed() * SHARE).max(GATHER))
            } else {
                None
            };
            state = match pause {
                Some(pause) => self.wait(state, pause, |state| !state.ended),
                None => {
                    let pause = self.until_cleanup(&state.cache);
                    self.wait(state, pause, |state| !state.ended && !state.cache.is_changed())
                }
            };
        }
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        pause: Duration,
        waits: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self.wake.wait_timeout_while(state, pause, |state| waits(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn save(&self, state: &mut State) {
        if let Err(reason) = state.cache.save() {
            os_log::warning!("{reason}");
        }
    }

    fn clean_if_due(&self, cache: &mut Cache) {
        if self.interval.is_zero() || !self.until_cleanup(cache).is_zero() {
            return;
        }
        let (retained, dropped) = cache.clean(os_sys::time::now().as_secs());
        os_log::info!("cache {} full cleanup: retained={retained} dropped={dropped} entries", self.name);
    }

    /// The time until the next cleanup is due, or a day without one.
    fn until_cleanup(&self, cache: &Cache) -> Duration {
        if self.interval.is_zero() {
            return Duration::from_secs(86400);
        }
        let due = cache.cleaned().saturating_add(self.interval.as_secs());
        Duration::from_secs(due.saturating_sub(os_sys::time::now().as_secs()))
    }
}
