//! The disk that writes down what is done to it.
#![allow(missing_docs)] // fields of operations are named like the arguments of the calls

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use host_spool::{Disk, Real};

/// A file, whatever its name is at the time (inode numbers are used again, these are not).
pub type Serial = usize;

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new file.
    Create { file: Serial, path: PathBuf, mode: u32 },
    /// Data.
    Write { file: Serial, offset: u64, bytes: Vec<u8> },
    /// Length.
    Truncate { file: Serial, length: u64 },
    /// Permission bits.
    Mode { file: Serial, mode: u32 },
    /// fsync.
    Sync { file: Serial },
    /// Another name.
    Rename { file: Serial, to: PathBuf },
    /// No name.
    Unlink { file: Serial },
    /// Not of the disk: a promise was made to the outside.
    Promise(String),
}

impl Operation {
    /// The file that it changes.
    #[must_use]
    pub fn file(&self) -> Option<Serial> {
        match self {
            Self::Create { file, .. }
            | Self::Write { file, .. }
            | Self::Truncate { file, .. }
            | Self::Mode { file, .. }
            | Self::Sync { file }
            | Self::Rename { file, .. }
            | Self::Unlink { file } => Some(*file),
            Self::Promise(_) => None,
        }
    }

    /// It changes names or modes, which the journal orders.
    #[must_use]
    pub fn is_metadata(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Mode { .. } | Self::Rename { .. } | Self::Unlink { .. })
    }
}

#[derive(Debug, Default)]
struct Journal {
    operations: Vec<Operation>,
    serials: HashMap<u64, Serial>,
    next: Serial,
}

/// The real disk, with a journal.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Journal>>);

impl Recorder {
    /// What has been done so far.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.0.lock().unwrap().operations.clone()
    }

    /// Notes that something was promised to the outside: what follows in time may rely on it.
    pub fn promise(&self, text: impl Into<String>) {
        self.0.lock().unwrap().operations.push(Operation::Promise(text.into()));
    }

    fn created(&self, file: &File, path: &Path, mode: u32) {
        let inode = file.metadata().unwrap().ino();
        let mut journal = self.0.lock().unwrap();
        let serial = journal.next;
        journal.next += 1;
        journal.serials.insert(inode, serial);
        journal.operations.push(Operation::Create { file: serial, path: path.to_owned(), mode });
    }

    fn note(&self, inode: u64, operation: impl FnOnce(Serial) -> Operation) {
        let mut journal = self.0.lock().unwrap();
        let serial = *journal.serials.get(&inode).expect("a file made through this disk");
        journal.operations.push(operation(serial));
    }

    fn note_file(&self, file: &File, operation: impl FnOnce(Serial) -> Operation) {
        self.note(file.metadata().unwrap().ino(), operation);
    }
}

fn inode_of(path: &Path) -> io::Result<u64> {
    Ok(std::fs::symlink_metadata(path)?.ino())
}

impl Disk for Recorder {
    fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        let file = Real.create(path, mode)?;
        self.created(&file, path, mode);
        Ok(file)
    }

    fn open_or_create(&self, path: &Path) -> io::Result<File> {
        let existed = path.exists();
        let file = Real.open_or_create(path)?;
        if !existed {
            self.created(&file, path, 0o600);
        }
        Ok(file)
    }

    fn write(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        Real.write(file, offset, bytes)?;
        self.note_file(file, |file| Operation::Write { file, offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        Real.set_mode(file, mode)?;
        self.note_file(file, |file| Operation::Mode { file, mode });
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.note_file(file, |file| Operation::Sync { file });
        Ok(())
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        Real.truncate(file, length)?;
        self.note_file(file, |file| Operation::Truncate { file, length });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = inode_of(from)?;
        Real.rename(from, to)?;
        self.note(inode, |file| Operation::Rename { file, to: to.to_owned() });
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let inode = inode_of(path)?;
        Real.unlink(path)?;
        self.note(inode, |file| Operation::Unlink { file });
        Ok(())
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        Real.make_directory(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        Real.remove_directory(path)
    }

    fn set_mode_of(&self, path: &Path, mode: u32) -> io::Result<()> {
        let inode = inode_of(path)?;
        Real.set_mode_of(path, mode)?;
        self.note(inode, |file| Operation::Mode { file, mode });
        Ok(())
    }

    fn set_times(&self, path: &Path, time: SystemTime) -> io::Result<()> {
        Real.set_times(path, time)
    }
}
