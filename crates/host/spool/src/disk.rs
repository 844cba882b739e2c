//! The seam between the spool and the disk: everything that changes the spool goes through [`Disk`].
//!
//! [`Real`] is the only implementation in programs; it is a unit type, so the seam costs nothing. Tests put a recorder
//! in its place and rebuild what a crash after each operation may leave (`tests/crash`). Reading is not part of the seam.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::SystemTime;

/// The operations that change the spool. Paths are those of [`crate::Spool`]; each operation is one system call.
pub trait Disk: Clone + Send + Sync + 'static {
    /// Creates a file that must not exist, open for reading and writing.
    ///
    /// # Errors
    /// Those of open(2).
    fn create(&self, path: &Path, mode: u32) -> io::Result<File>;
    /// Opens a file for reading and writing, creating it (mode 0600) when missing.
    ///
    /// # Errors
    /// Those of open(2).
    fn open_or_create(&self, path: &Path) -> io::Result<File>;
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// Those of pwrite(2).
    fn write(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Sets the permission bits of an open file.
    ///
    /// # Errors
    /// Those of fchmod(2).
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()>;
    /// Forces the file, and the directory operations on it so far, to stable storage (fsync(2)).
    ///
    /// # Errors
    /// Those of fsync(2): the data may be lost, nothing may be acknowledged.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Cuts the file at `length`.
    ///
    /// # Errors
    /// Those of ftruncate(2).
    fn truncate(&self, file: &File, length: u64) -> io::Result<()>;
    /// Renames; an existing target is replaced.
    ///
    /// # Errors
    /// Those of rename(2).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// Those of unlink(2).
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory with mode 0700.
    ///
    /// # Errors
    /// Those of mkdir(2).
    fn make_directory(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of rmdir(2).
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Sets the permission bits of a file by name.
    ///
    /// # Errors
    /// Those of chmod(2).
    fn set_mode_of(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// Sets access and modification time of a file by name.
    ///
    /// # Errors
    /// Those of utimensat(2).
    fn set_times(&self, path: &Path, time: SystemTime) -> io::Result<()>;
}

/// The file system itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Real;

impl Disk for Real {
    fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path)
    }

    fn open_or_create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
    }

    fn write(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        file.set_permissions(Permissions::from_mode(mode))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().mode(0o700).create(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn set_mode_of(&self, path: &Path, mode: u32) -> io::Result<()> {
        std::fs::set_permissions(path, Permissions::from_mode(mode))
    }

    fn set_times(&self, path: &Path, time: SystemTime) -> io::Result<()> {
        use nix::sys::time::{TimeSpec, TimeValLike};
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let nanoseconds = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        let spec = TimeSpec::nanoseconds(nanoseconds);
        let flag = nix::sys::stat::UtimensatFlags::FollowSymlink;
        Ok(nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, path, &spec, &spec, flag)?)
    }
}
