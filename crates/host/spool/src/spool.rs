//! The spool as a whole: creation, moves, removal, times and modes of queue files by name.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use host_config::{Config, ConfigError, param};
use mail_record::{IdStyle, QueueId};
use mail_text::list::words;

use crate::log::LogSettings;
use crate::{DeliveryLog, Disk, Draft, Found, Layout, Queue, QueueFile, Real, Scan, Walk};

/// How often a temporary name that exists already is replaced by another one.
const NAME_ATTEMPTS: u32 = 100;

/// All queues and logs under one queue directory. Cheap to clone; every method may be called from any thread.
#[derive(Clone, Debug)]
pub struct Spool<D: Disk = Real> {
    inner: Arc<Inner>,
    disk: D,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    log: LogSettings,
    next_name: AtomicU32,
}

/// Complete: all three owner bits are set. Group and other bits are not part of the test.
#[must_use]
pub fn is_ready(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & 0o700 == 0o700
}

impl Spool<Real> {
    /// The spool of this configuration: `hash_queue_names`, `hash_queue_depth`, `enable_long_queue_ids`,
    /// `backwards_bounce_logfile_compatibility`, `deliver_lock_attempts`, `deliver_lock_delay`.
    ///
    /// Paths are relative when the current directory is `queue_directory` (daemons, after a chroot too),
    /// absolute otherwise.
    ///
    /// # Errors
    /// [`ConfigError`] of one of these parameters.
    pub fn open(config: &Config) -> Result<Self, ConfigError> {
        let depth = config.int(param::HASH_QUEUE_DEPTH)?.clamp(1, 16);
        let layout = Layout {
            base: base_of(&config.queue_directory()?),
            hash_queue_names: words(&config.str(param::HASH_QUEUE_NAMES)?).map(str::to_owned).collect(),
            hash_queue_depth: usize::try_from(depth).unwrap_or(1),
            id_style: if config.bool(param::ENABLE_LONG_QUEUE_IDS)? { IdStyle::Long } else { IdStyle::Short },
        };
        let log = LogSettings {
            backwards_compatible: config.bool(param::BACKWARDS_BOUNCE_LOGFILE_COMPATIBILITY)?,
            lock_attempts: u32::try_from(config.int(param::DELIVER_LOCK_ATTEMPTS)?).unwrap_or(1),
            lock_delay: config.time(param::DELIVER_LOCK_DELAY)?,
        };
        Ok(Self::with_layout(layout, log))
    }

    /// The spool with this layout on the real disk. See [`LogSettings`] for the second part.
    #[must_use]
    pub fn with_layout(layout: Layout, log: LogSettings) -> Self {
        Self::on(Real, layout, log)
    }
}

impl<D: Disk> Spool<D> {
    /// The spool with this layout on this disk.
    #[must_use]
    pub fn on(disk: D, layout: Layout, log: LogSettings) -> Self {
        Self { inner: Arc::new(Inner { layout, log, next_name: AtomicU32::new(0) }), disk }
    }

    /// Names and hashing.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    pub(crate) fn log_settings(&self) -> &LogSettings {
        &self.inner.log
    }

    /// The disk that changes go to.
    #[must_use]
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// The path of a message file.
    #[must_use]
    pub fn path(&self, queue: Queue, id: &QueueId) -> PathBuf {
        self.layout().path(queue.name(), id)
    }

    /// The path of a delivery log.
    #[must_use]
    pub fn log_path(&self, log: DeliveryLog, id: &QueueId) -> PathBuf {
        self.layout().path(log.name(), id)
    }

    /// Starts a new queue file: mode 0600 with `extra_mode`'s read bits, its ID made from its inode and the time now.
    /// `extra_mode` is 0, or [`Queue::extra_mode`] for maildrop files, and stays with the file when it is committed.
    ///
    /// # Errors
    /// Those of open(2), fstat(2), rename(2).
    pub fn draft(&self, queue: Queue, extra_mode: u32) -> io::Result<Draft<D>> {
        let (file, temporary) = self.create_temporary(queue, 0o600 | extra_mode)?;
        match self.name_new(&file, &temporary, queue, extra_mode) {
            Ok(id) => Ok(Draft::new(self.clone(), file, queue, id, extra_mode)),
            Err(error) => {
                let _ = self.disk.unlink(&temporary);
                Err(error)
            }
        }
    }

    /// Opens a message file for reading and for marks in place.
    ///
    /// # Errors
    /// Those of open(2); `InvalidData` for something that is no regular file.
    pub fn open_file(&self, queue: Queue, id: &QueueId) -> io::Result<QueueFile<D>> {
        self.open_path(&self.path(queue, id), true)
    }

    /// Opens a message file for reading only.
    ///
    /// # Errors
    /// As [`Spool::open_file`].
    pub fn open_read_only(&self, queue: Queue, id: &QueueId) -> io::Result<QueueFile<D>> {
        self.open_path(&self.path(queue, id), false)
    }

    /// Opens a message file by its path.
    ///
    /// # Errors
    /// As [`Spool::open_file`].
    pub fn open_path(&self, path: &Path, writable: bool) -> io::Result<QueueFile<D>> {
        let (file, metadata) = open_regular(path, writable)?;
        Ok(QueueFile::opened(self.disk.clone(), file, metadata))
    }

    /// Status of a message file, by name.
    ///
    /// # Errors
    /// Those of lstat(2).
    pub fn metadata(&self, queue: Queue, id: &QueueId) -> io::Result<Metadata> {
        std::fs::symlink_metadata(self.path(queue, id))
    }

    /// Moves a message file to another queue; missing hash directories are made.
    ///
    /// # Errors
    /// Those of rename(2) and mkdir(2).
    pub fn rename(&self, id: &QueueId, from: Queue, to: Queue) -> io::Result<()> {
        self.move_path(&self.path(from, id), &self.path(to, id))
    }

    /// Renames by path; missing hash directories of the target are made.
    ///
    /// # Errors
    /// As [`Spool::rename`].
    pub fn move_path(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self.disk.rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if std::fs::symlink_metadata(from).is_err() || !self.make_parents(to)? {
                    return Err(error);
                }
                self.disk.rename(from, to)
            }
            result => result,
        }
    }

    /// Removes a message file.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn remove(&self, queue: Queue, id: &QueueId) -> io::Result<()> {
        self.disk.unlink(&self.path(queue, id))
    }

    /// Sets both times of a message file: when it is due (`deferred`, `incoming`).
    ///
    /// # Errors
    /// Those of utimensat(2).
    pub fn set_times(&self, queue: Queue, id: &QueueId, time: SystemTime) -> io::Result<()> {
        self.disk.set_times(&self.path(queue, id), time)
    }

    /// Sets the mode of a message file: 0400 corrupt, +0040 unthrottle, +0010 expire.
    ///
    /// # Errors
    /// Those of chmod(2).
    pub fn chmod(&self, queue: Queue, id: &QueueId, mode: u32) -> io::Result<()> {
        self.disk.set_mode_of(&self.path(queue, id), mode)
    }

    /// The files of a queue, in directory order, hash directories included, foreign names left out.
    #[must_use]
    pub fn scan(&self, queue: Queue) -> Scan {
        Scan::new(self.walk(queue.name()))
    }

    /// Everything in a directory of the spool (a queue, a log, `flush`), whatever its name.
    #[must_use]
    pub fn walk(&self, directory: &str) -> Walk {
        Walk::new(self.layout().directory(directory))
    }

    /// Looks for a message file in these queues, in this order.
    #[must_use]
    pub fn find(&self, queues: &[Queue], id: &QueueId) -> Option<Found> {
        queues.iter().find_map(|&queue| {
            let path = self.path(queue, id);
            std::fs::symlink_metadata(&path).ok()?;
            Some(Found { id: id.clone(), path })
        })
    }

    /// Makes the hash directories above `path`; `false` when the queue directory itself is missing.
    pub(crate) fn make_parents(&self, path: &Path) -> io::Result<bool> {
        let Some(parent) = path.parent() else { return Ok(false) };
        if is_hash_directory(parent) {
            self.make_parents(parent)?;
            match self.disk.make_directory(parent) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => return Ok(true),
            }
        }
        Ok(parent.is_dir())
    }

    /// A file of a name that no scan looks at (it has a dot), as `postconf(5) queue_directory` programs make them.
    fn create_temporary(&self, queue: Queue, mode: u32) -> io::Result<(File, PathBuf)> {
        let directory = self.layout().directory(queue.name());
        let mut last = None;
        for _ in 0..NAME_ATTEMPTS {
            let serial = self.inner.next_name.fetch_add(1, Ordering::Relaxed);
            let microseconds = os_sys::time::now().subsec_micros();
            let path = directory.join(format!("{microseconds}{serial:03}.{}", std::process::id()));
            match self.disk.create(&path, mode) {
                Ok(file) => return Ok((file, path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists)))
    }

    fn name_new(&self, file: &File, temporary: &Path, queue: Queue, extra_mode: u32) -> io::Result<QueueId> {
        let metadata = file.metadata()?;
        if metadata.permissions().mode() & 0o777 != 0o600 | extra_mode {
            self.disk.set_mode(file, 0o600 | extra_mode)?;
        }
        let now = os_sys::time::now();
        let id = QueueId::new(self.layout().id_style, now.as_secs(), now.subsec_micros(), metadata.ino());
        self.move_path(temporary, &self.path(queue, &id))?;
        Ok(id)
    }
}

/// The empty path when the current directory is the queue directory, or when that cannot be seen (after a chroot).
fn base_of(queue_directory: &Path) -> PathBuf {
    let identity =
        |path: &Path| std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    match identity(queue_directory) {
        None => PathBuf::new(),
        there if there == identity(Path::new(".")) => PathBuf::new(),
        Some(_) => queue_directory.to_owned(),
    }
}

/// A directory whose name is one character stands below a queue directory.
fn is_hash_directory(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.len() == 1)
}

fn open_regular(path: &Path, writable: bool) -> io::Result<(File, Metadata)> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).write(writable).custom_flags(flags.bits()).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"))
    }
}
