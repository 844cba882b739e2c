//! Files that are replaced as a whole: a reader sees the old content or the new one, also after a crash.
//!
//! The directory is kept open, so that this works in a chroot jail that the path leads out of.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode as Bits, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use os_sys::lock::{self, Mode};

/// What a file under construction is called: at most one exists, as its writer holds the lock of the file itself.
const SUFFIX: &str = ".new";

/// Where a file is.
pub(crate) struct Place {
    dir: File,
    path: PathBuf,
}

impl Place {
    /// Opens the file at `path` and locks it exclusively. `create`: with this mode, if it does not exist.
    pub fn open(path: &Path, create: Option<u32>) -> io::Result<(Self, File)> {
        // A link stays, and what it leads to is replaced.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(create.is_some())
                .mode(create.unwrap_or(0))
                .open(&path)?;
            lock::flock(&file, Mode::Exclusive)?;
            let place = Self { dir: File::open(parent)?, path: path.clone() };
            // Whoever had the lock before may have put another file in its place.
            if place.holds(&file)? {
                return Ok((place, file));
            }
        }
    }

    fn name(&self) -> io::Result<&OsStr> {
        self.path.file_name().ok_or_else(|| Errno::EISDIR.into())
    }

    /// Whether this is still the file that the name leads to.
    fn holds(&self, file: &File) -> io::Result<bool> {
        let own = fstat(file)?;
        match fstatat(&self.dir, self.name()?, nix::fcntl::AtFlags::empty()) {
            Ok(named) => Ok((own.st_dev, own.st_ino) == (named.st_dev, named.st_ino)),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Puts a file with the content that `content` makes (of the new file's metadata) in the place of `old`, durably and
    /// with the same owner and mode. Who may not make files in the directory, or not of that owner, writes into the old
    /// file. Gives the file that is in place then, locked if `locked`.
    pub fn replace(
        &self,
        old: &File,
        locked: bool,
        content: &dyn Fn(&std::fs::Metadata) -> Vec<u8>,
    ) -> io::Result<File> {
        match self.fresh(old)? {
            None => {
                let bytes = content(&old.metadata()?);
                old.write_all_at(&bytes, 0)?;
                old.set_len(bytes.len() as u64)?;
                old.sync_data()?;
                old.try_clone()
            }
            Some(mut new) => {
                new.write_all(&content(&new.metadata()?))?;
                if locked {
                    lock::flock(&new, Mode::Exclusive)?;
                }
                new.sync_all()?;
                renameat(&self.dir, self.temporary()?.as_os_str(), &self.dir, self.name()?)?;
                self.dir.sync_all()?;
                Ok(new)
            }
        }
    }

    fn temporary(&self) -> io::Result<std::ffi::OsString> {
        let mut name = self.name()?.to_owned();
        name.push(SUFFIX);
        Ok(name)
    }

    /// An empty file like `old` beside it; `None`: not permitted.
    fn fresh(&self, old: &File) -> io::Result<Option<File>> {
        let metadata = old.metadata()?;
        let name = self.temporary()?;
        // What a crash has left, or somebody else has put there, is not written into.
        let _ = unlinkat(&self.dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let new = match openat(&self.dir, name.as_os_str(), flags, Bits::from_bits_truncate(0o600)) {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::EACCES | Errno::EPERM | Errno::EROFS) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let made = new.metadata()?;
        let like_old = if (made.uid(), made.gid()) == (metadata.uid(), metadata.gid()) {
            Ok(())
        } else {
            std::os::unix::fs::fchown(&new, Some(metadata.uid()), Some(metadata.gid()))
        };
        let like_old =
            like_old.and_then(|()| new.set_permissions(PermissionsExt::from_mode(metadata.mode() & 0o7777)));
        if like_old.is_err() {
            unlinkat(&self.dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir)?;
            return Ok(None);
        }
        Ok(Some(new))
    }
}
