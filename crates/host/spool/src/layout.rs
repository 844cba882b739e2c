//! Where a file stands: queue directories, hash directories (`postconf(5) hash_queue_names`, `hash_queue_depth`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use mail_record::{IdStyle, QueueId};

/// A queue of message files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Local submissions, before pickup.
    Maildrop,
    /// New mail; what cleanup writes.
    Incoming,
    /// Opened by the queue manager.
    Active,
    /// Waiting for another try.
    Deferred,
    /// Held until `postsuper -H`.
    Hold,
    /// Unreadable; set aside.
    Corrupt,
    /// Nothing writes it; `postcat -q` looks here.
    Saved,
}

impl Queue {
    /// All queues.
    pub const ALL: [Self; 7] = [
        Self::Maildrop,
        Self::Incoming,
        Self::Active,
        Self::Deferred,
        Self::Hold,
        Self::Corrupt,
        Self::Saved,
    ];

    /// The name, which is the directory's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Maildrop => "maildrop",
            Self::Incoming => "incoming",
            Self::Active => "active",
            Self::Deferred => "deferred",
            Self::Hold => "hold",
            Self::Corrupt => "corrupt",
            Self::Saved => "saved",
        }
    }

    /// The mode bits that a file of this queue has beyond the owner's (maildrop: readable by all).
    #[must_use]
    pub const fn extra_mode(self) -> u32 {
        match self {
            Self::Maildrop => 0o044,
            Self::Incoming | Self::Active | Self::Deferred | Self::Hold | Self::Corrupt | Self::Saved => 0,
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no queue of message files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown queue name")]
pub struct UnknownQueue;

impl FromStr for Queue {
    type Err = UnknownQueue;

    fn from_str(text: &str) -> Result<Self, UnknownQueue> {
        Self::ALL.into_iter().find(|queue| queue.name() == text).ok_or(UnknownQueue)
    }
}

/// The logs of delivery attempts, one file a message, named as the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryLog {
    /// Recipients that failed.
    Bounce,
    /// Recipients that are delayed.
    Defer,
    /// Recipients whose success is to be reported.
    Trace,
}

impl DeliveryLog {
    /// All logs.
    pub const ALL: [Self; 3] = [Self::Bounce, Self::Defer, Self::Trace];

    /// The name, which is the directory's and the bounce service's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Defer => "defer",
            Self::Trace => "trace",
        }
    }
}

impl FromStr for DeliveryLog {
    type Err = UnknownQueue;

    fn from_str(text: &str) -> Result<Self, UnknownQueue> {
        Self::ALL.into_iter().find(|log| log.name() == text).ok_or(UnknownQueue)
    }
}

/// The names that need resolved configuration.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Directory that the queue directories stand in; empty: the current directory.
    pub base: PathBuf,
    /// `hash_queue_names`.
    pub hash_queue_names: Vec<String>,
    /// `hash_queue_depth`, 1 to 16.
    pub hash_queue_depth: usize,
    /// `enable_long_queue_ids`.
    pub id_style: IdStyle,
}

impl Layout {
    /// The reference's defaults (`deferred, defer` hashed one level deep, short IDs) in `base`.
    #[must_use]
    pub fn standard(base: impl Into<PathBuf>) -> Self {
        Self {
            base: base.into(),
            hash_queue_names: vec!["deferred".to_owned(), "defer".to_owned()],
            hash_queue_depth: 1,
            id_style: IdStyle::Short,
        }
    }

    /// Levels of hash directories of this directory: 0 unless it is listed in `hash_queue_names`.
    #[must_use]
    pub fn depth(&self, directory: &str) -> usize {
        let hashed = self.hash_queue_names.iter().any(|name| name.eq_ignore_ascii_case(directory));
        if hashed { self.hash_queue_depth } else { 0 }
    }

    /// The directory itself.
    #[must_use]
    pub fn directory(&self, directory: &str) -> PathBuf {
        self.base.join(directory)
    }

    /// The path of a file, hash directories included. `directory` may be any name, as `flush`.
    #[must_use]
    pub fn path(&self, directory: &str, id: &QueueId) -> PathBuf {
        self.base.join(self.relative(directory, id))
    }

    /// As [`Layout::path`], without the base: what postcat and postsuper print.
    #[must_use]
    pub fn relative(&self, directory: &str, id: &QueueId) -> PathBuf {
        self.relative_name(directory, id.as_str(), &id.hash_key())
    }

    /// The path of a file whose name is not (only) an ID, under the hash directories of `key`.
    #[must_use]
    pub fn relative_name(&self, directory: &str, name: &str, key: &str) -> PathBuf {
        let depth = self.depth(directory);
        let mut path = String::with_capacity(directory.len() + 2 * depth + name.len() + 1);
        path.push_str(directory);
        path.push('/');
        for c in key.chars().chain(std::iter::repeat('_')).take(depth) {
            path.push(c);
            path.push('/');
        }
        path.push_str(name);
        PathBuf::from(path)
    }

    /// `path` without the base.
    #[must_use]
    pub fn without_base<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.base).unwrap_or(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_queues_have_one_directory_a_character_of_the_key() {
        let mut layout = Layout::standard("");
        for (depth, directory, id, path) in [
            (1, "deferred", "BF73E9B4395", "deferred/B/BF73E9B4395"),
            (2, "deferred", "4jXFrF5C8hz1Tckk", "deferred/B/3/4jXFrF5C8hz1Tckk"),
            (2, "defer", "4jXFrF5C8hz1Tckk", "defer/B/3/4jXFrF5C8hz1Tckk"),
            (3, "deferred", "AB", "deferred/A/B/_/AB"),
            (1, "incoming", "BF73E9B4395", "incoming/BF73E9B4395"),
        ] {
            layout.hash_queue_depth = depth;
            let id = QueueId::parse(id).unwrap();
            assert_eq!(layout.path(directory, &id), Path::new(path), "{id}");
        }
        layout.hash_queue_names = vec!["DEFERRED".to_owned()];
        assert_eq!(layout.depth("deferred"), 1);
        assert_eq!(layout.depth("defer"), 0);
    }
}
