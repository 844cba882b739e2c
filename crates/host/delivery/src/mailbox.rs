//! Delivery to mailbox files and Maildirs. The caller has already taken the identity that the file is written as.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mail_status::{Detail, Dsn};
use nix::errno::Errno;

use crate::Job;
use crate::content::{CopyError, CopyRules, copy_message};

/// Bytes collected before a write.
const BLOCK: usize = 64 * 1024;

/// `mailbox_delivery_lock`, `virtual_mailbox_lock` and how they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // one flag a lock style
pub struct LockStyle {
    /// `flock`
    pub flock: bool,
    /// `fcntl`
    pub fcntl: bool,
    /// `dotlock`
    pub dotlock: bool,
    /// A dot lock that cannot be made is only warned about (`/file` aliases).
    pub dotlock_optional: bool,
    /// `deliver_lock_attempts`
    pub attempts: u32,
    /// `deliver_lock_delay`
    pub delay: Duration,
    /// `stale_lock_time`
    pub stale: Duration,
}

impl LockStyle {
    /// Styles by the words of the parameter. Unknown words are an error.
    ///
    /// # Errors
    /// The unknown word.
    pub fn parse(words: &str, attempts: u32, delay: Duration, stale: Duration) -> Result<Self, String> {
        let mut style = Self {
            flock: false,
            fcntl: false,
            dotlock: false,
            dotlock_optional: false,
            attempts,
            delay,
            stale,
        };
        for word in mail_text::list::words(words) {
            match word {
                "flock" => style.flock = true,
                "fcntl" => style.fcntl = true,
                "dotlock" => style.dotlock = true,
                other => return Err(other.to_owned()),
            }
        }
        Ok(style)
    }
}

/// Which status an odd failure gets: local bounces it, virtual defers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    /// local(8): 5.2.0
    Local,
    /// virtual(8): 4.2.0
    Virtual,
}

impl Personality {
    const fn odd(self) -> Dsn {
        match self {
            Self::Local => Dsn::new(5, 2, 0),
            Self::Virtual => Dsn::new(4, 2, 0),
        }
    }

    const fn not_regular(self) -> Dsn {
        match self {
            Self::Local => Dsn::new(5, 2, 0),
            Self::Virtual => Dsn::new(5, 3, 5),
        }
    }
}

/// The status of an operating system error on a mailbox.
#[must_use]
pub fn errno_status(error: &io::Error, odd: Dsn) -> Dsn {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EAGAIN | Errno::ESTALE) => Dsn::new(4, 2, 0),
        Some(Errno::ENOSPC) => Dsn::new(4, 3, 0),
        Some(Errno::EDQUOT | Errno::EFBIG) => Dsn::new(5, 2, 2),
        _ => odd,
    }
}

/// strerror(3) of an error, without Rust's `(os error N)`.
#[must_use]
pub fn os_text(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |code| Errno::from_raw(code).desc().to_owned())
}

/// What a mailbox file must be like.
#[derive(Clone, Debug)]
pub struct MboxRules<'a> {
    /// Locks.
    pub locks: &'a LockStyle,
    /// Statuses.
    pub personality: Personality,
    /// The owner that the file must have (`strict_mailbox_ownership`).
    pub owner: Option<u32>,
    /// A file with an execute bit is refused (`/file` aliases).
    pub refuse_executable: bool,
    /// A new file is given to this user and group (mailbox spool directories that only root can write).
    pub give_to: Option<(u32, u32)>,
    /// Only regular files; else devices such as `/dev/null` are written to as well (`/file` aliases).
    pub regular_only: bool,
}

/// Appends the message to a mailbox file; on failure the file has its old length.
///
/// # Errors
/// Status and the REASON part of the text (the caller puts its `cannot update mailbox …` in front).
pub fn append_mbox(
    job: &mut Job,
    path: &Path,
    rules: &MboxRules<'_>,
    copy: &CopyRules,
) -> Result<(), Detail> {
    OpenMbox::open(path, rules)?.append(job, path, rules.personality, copy)
}

/// A mailbox file that is open and locked until this is dropped. Opening and dropping it may need other rights than
/// writing: a dot lock stands in the directory.
#[derive(Debug)]
pub struct OpenMbox {
    file: File,
    _dot_lock: DotLock,
}

impl OpenMbox {
    /// Opens or creates the file and locks it.
    ///
    /// # Errors
    /// As [`append_mbox`].
    pub fn open(path: &Path, rules: &MboxRules<'_>) -> Result<Self, Detail> {
        let dot_lock = DotLock::take(path, rules.locks, rules.personality)?;
        let file = open_mbox(path, rules)?;
        check(&file, path, rules)?;
        lock(&file, rules.locks, rules.personality)?;
        check(&file, path, rules)?;
        Ok(Self { file, _dot_lock: dot_lock })
    }

    /// Appends the message; on failure the file has its old length.
    ///
    /// # Errors
    /// As [`append_mbox`].
    pub fn append(
        &self,
        job: &mut Job,
        path: &Path,
        personality: Personality,
        copy: &CopyRules,
    ) -> Result<(), Detail> {
        append(job, &self.file, path, personality, copy)
    }
}

fn append(
    job: &mut Job,
    mut file: &File,
    path: &Path,
    personality: Personality,
    copy: &CopyRules,
) -> Result<(), Detail> {
    let failed = |dsn, what: &str, error: &io::Error| {
        Detail::new(errno_status(error, dsn), format!("{what}: {}", os_text(error)))
    };
    let regular = file.metadata().is_ok_and(|m| m.is_file());
    let length = file.seek(SeekFrom::End(0)).or_else(|error| if regular { Err(error) } else { Ok(0) });
    let length = length.map_err(|error| failed(personality.odd(), "error writing message", &error))?;
    let offset = job.data_offset();
    let mut out = BufWriter::with_capacity(BLOCK, file);
    let copied = copy_message(&mut job.message, offset, copy, &mut out);
    let copied = copied.and_then(|()| out.flush().map_err(CopyError::Write));
    drop(out);
    let synced =
        copied.and_then(|()| if regular { file.sync_all().map_err(CopyError::Write) } else { Ok(()) });
    synced.map_err(|error| {
        if regular && let Err(error) = file.set_len(length) {
            os_log::warning!("truncate mailbox {}: {error}", path.display());
        }
        copy_failure(job, error, personality)
    })
}

/// The status of a copy that failed.
pub fn copy_failure(job: &mut Job, error: CopyError, personality: Personality) -> Detail {
    let detail = match error {
        CopyError::Write(error) => {
            let odd = match personality {
                Personality::Local => Dsn::new(5, 3, 0),
                Personality::Virtual => Dsn::new(4, 2, 0),
            };
            Detail::new(errno_status(&error, odd), format!("error writing message: {}", os_text(&error)))
        }
        CopyError::Read(error) => {
            if error.is_corrupt() {
                job.mark_corrupt(&error.to_string());
            }
            Detail::new(Dsn::new(4, 3, 0), format!("error reading message: {error}"))
        }
    };
    // What a command with the status EX_IOERR (sysexits.h) would get.
    Detail { diagnostic: Some(("x-unix".into(), "input/output error".into())), ..detail }
}

fn open_mbox(path: &Path, rules: &MboxRules<'_>) -> Result<File, Detail> {
    let odd = rules.personality.odd();
    let existing = OpenOptions::new()
        .append(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path);
    match existing {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_mbox(path, rules),
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
            Err(Detail::new(odd, "file is a symbolic link"))
        }
        Err(error) if error.raw_os_error() == Some(nix::libc::EISDIR) => {
            Err(Detail::new(odd, "file is a directory"))
        }
        Err(error) => {
            Err(Detail::new(errno_status(&error, odd), format!("cannot open file: {}", os_text(&error))))
        }
    }
}

fn create_mbox(path: &Path, rules: &MboxRules<'_>) -> Result<File, Detail> {
    let created = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path);
    let failed = |error: io::Error| {
        let text = format!("cannot create file exclusively: {}", os_text(&error));
        Detail::new(errno_status(&error, rules.personality.odd()), text)
    };
    let file = created.map_err(failed)?;
    if let Some((uid, gid)) = rules.give_to {
        std::os::unix::fs::fchown(&file, Some(uid), Some(gid)).map_err(failed)?;
    }
    Ok(file)
}

fn check(file: &File, path: &Path, rules: &MboxRules<'_>) -> Result<(), Detail> {
    let odd = rules.personality.odd();
    let metadata = file
        .metadata()
        .map_err(|error| Detail::new(odd, format!("cannot open file: {}", os_text(&error))))?;
    if rules.refuse_executable && metadata.is_file() && metadata.mode() & 0o111 != 0 {
        return Err(Detail::new(Dsn::new(5, 7, 1), "file is executable"));
    }
    if rules.regular_only && !metadata.is_file() {
        let text = format!("destination {} is not a regular file", path.display());
        return Err(Detail::new(rules.personality.not_regular(), text));
    }
    if metadata.is_file() && metadata.nlink() > 1 {
        return Err(Detail::new(odd, format!("file has {} hard links", metadata.nlink())));
    }
    if metadata.is_file() && replaced(&metadata, path) {
        return Err(Detail::new(Dsn::new(4, 2, 0), "target file status changed unexpectedly"));
    }
    match rules.owner {
        Some(owner) if metadata.uid() != owner => {
            os_log::warning!(
                "specify \"strict_mailbox_ownership = no\" to ignore mailbox ownership mismatch"
            );
            let text = format!("destination {} is not owned by recipient", path.display());
            Err(Detail::new(Dsn::new(4, 2, 0), text))
        }
        Some(_) | None => Ok(()),
    }
}

/// Somebody moved the mailbox away while we waited for its lock.
fn replaced(open: &Metadata, path: &Path) -> bool {
    std::fs::symlink_metadata(path)
        .map_or(true, |named| (named.dev(), named.ino()) != (open.dev(), open.ino()))
}

fn lock(file: &File, style: &LockStyle, personality: Personality) -> Result<(), Detail> {
    use os_sys::lock::{Mode, try_fcntl, try_flock};
    let attempt = || -> io::Result<bool> {
        Ok((!style.flock || try_flock(file, Mode::Exclusive)?)
            && (!style.fcntl || try_fcntl(file, Mode::Exclusive)?))
    };
    for _ in 0..style.attempts.max(1) {
        match attempt() {
            Ok(true) => return Ok(()),
            Ok(false) => wait(style.delay),
            Err(error) => {
                let text = format!("unable to lock for exclusive access: {}", os_text(&error));
                return Err(Detail::new(errno_status(&error, personality.odd()), text));
            }
        }
    }
    let text = format!("unable to lock for exclusive access: {}", Errno::EAGAIN.desc());
    Err(Detail::new(Dsn::new(4, 2, 0), text))
}

/// `deliver_lock_delay`, a quarter more or less.
fn wait(delay: Duration) {
    let part = u32::from((os_sys::time::now().subsec_nanos() >> 8) as u8);
    std::thread::sleep(delay * (192 + part / 2) / 256);
}

/// `FILE.lock`, removed when dropped.
#[derive(Debug)]
struct DotLock(Option<PathBuf>);

impl DotLock {
    fn take(path: &Path, style: &LockStyle, personality: Personality) -> Result<Self, Detail> {
        if !style.dotlock || style.dotlock_optional && path.starts_with("/dev") {
            return Ok(Self(None));
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock = PathBuf::from(name);
        let mut last = io::Error::from_raw_os_error(nix::libc::EEXIST);
        for _ in 0..style.attempts.max(1) {
            match OpenOptions::new().write(true).create_new(true).mode(0o000).open(&lock) {
                Ok(_) => return Ok(Self(Some(lock))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    last = error;
                    if !remove_stale(&lock, style.stale) {
                        wait(style.delay);
                    }
                }
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
        let text = format!("unable to create lock file {}: {}", lock.display(), os_text(&last));
        if last.kind() == io::ErrorKind::AlreadyExists {
            return Err(Detail::new(Dsn::new(4, 2, 0), text));
        }
        if style.dotlock_optional {
            os_log::warning!("{text}");
            return Ok(Self(None));
        }
        Err(Detail::new(errno_status(&last, personality.odd()), text))
    }
}

/// A mailbox that nobody else writes until this is dropped.
#[derive(Debug)]
pub struct LockedMailbox {
    _dot_lock: DotLock,
    _file: File,
}

/// Opens (or creates, mode 0600) and locks a mailbox, for postlock(1).
///
/// # Errors
/// `open file …: reason`.
pub fn lock_mailbox(path: &Path, style: &LockStyle) -> Result<LockedMailbox, String> {
    let failed = |reason: String| format!("open file {}: {reason}", path.display());
    let dot_lock = DotLock::take(path, style, Personality::Local).map_err(|detail| failed(detail.reason))?;
    let file = OpenOptions::new().append(true).read(true).create(true).mode(0o600).open(path);
    let file = file.map_err(|error| failed(os_text(&error)))?;
    lock(&file, style, Personality::Local).map_err(|detail| failed(detail.reason))?;
    Ok(LockedMailbox { _dot_lock: dot_lock, _file: file })
}

/// Removes a lock file that somebody left behind long ago; `true`: removed.
fn remove_stale(lock: &Path, stale: Duration) -> bool {
    let age = std::fs::symlink_metadata(lock).ok().and_then(|metadata| {
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(metadata.ctime()).ok()?);
        SystemTime::now().duration_since(changed).ok()
    });
    age.is_some_and(|age| age > stale) && std::fs::remove_file(lock).is_ok()
}

impl Drop for DotLock {
    fn drop(&mut self) {
        if let Some(lock) = &self.0
            && let Err(error) = std::fs::remove_file(lock)
        {
            os_log::warning!("remove lock file {}: {error}", lock.display());
        }
    }
}

/// Delivers the message to a Maildir; missing directories are made.
///
/// # Errors
/// Status and full text.
pub fn maildir(
    job: &mut Job,
    directory: &Path,
    copy: &CopyRules,
    personality: Personality,
) -> Result<(), Detail> {
    let start = os_sys::time::now();
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = directory.join("tmp").join(format!("{}.P{}.{host}", start.as_secs(), unique()));
    let file = create_in_maildir(directory, &temporary).map_err(|error| {
        let text = format!(
            "maildir delivery failed: create maildir file {}: {}",
            temporary.display(),
            os_text(&error)
        );
        if error.kind() == io::ErrorKind::PermissionDenied {
            let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
            os_log::warning!(
                "maildir access problem for UID/GID={uid}/{gid}: {}",
                text.split_once(": ").map_or("", |t| t.1)
            );
            os_log::warning!("perhaps you need to create the maildirs in advance");
        }
        Detail::new(errno_status(&error, personality.odd()), text)
    })?;
    let written = write_maildir_file(job, &file, copy, personality).and_then(|()| {
        let metadata = file.metadata().map_err(|error| delivery_failed(&error, personality))?;
        let name = format!(
            "{}.V{:x}I{:x}M{}.{host}",
            start.as_secs(),
            metadata.dev(),
            metadata.ino(),
            start.subsec_micros()
        );
        let target = directory.join("new").join(name);
        std::fs::hard_link(&temporary, &target).map_err(|error| delivery_failed(&error, personality))
    });
    if let Err(error) = std::fs::remove_file(&temporary) {
        os_log::warning!("remove {}: {error}", temporary.display());
    }
    written
}

/// The process ID, and for agents with threads a counter: the name must be unique on this host.
fn unique() -> String {
    static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    match COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => std::process::id().to_string(),
        number => format!("{}Q{number}", std::process::id()),
    }
}

fn delivery_failed(error: &io::Error, personality: Personality) -> Detail {
    Detail::new(
        errno_status(error, personality.odd()),
        format!("maildir delivery failed: {}", os_text(error)),
    )
}

fn create_in_maildir(directory: &Path, temporary: &Path) -> io::Result<File> {
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            for part in ["tmp", "new", "cur"] {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory.join(part))?;
            }
            create()
        }
        other => other,
    }
}

fn write_maildir_file(
    job: &mut Job,
    file: &File,
    copy: &CopyRules,
    personality: Personality,
) -> Result<(), Detail> {
    let offset = job.data_offset();
    let mut out = BufWriter::with_capacity(BLOCK, file);
    let copied = copy_message(&mut job.message, offset, copy, &mut out)
        .and_then(|()| out.flush().map_err(CopyError::Write))
        .and_then(|()| file.sync_all().map_err(CopyError::Write));
    copied.map_err(|error| {
        let detail = copy_failure(job, error, personality);
        Detail { reason: format!("maildir delivery failed: {}", detail.reason), ..detail }
    })
}
