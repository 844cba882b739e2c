//! The spool: message files, queue directories, delivery logs. The only crate that knows where a queue file stands and how
//! it is changed; `docs/queue-states.md` lists every state a file can be in on disk.
//!
//! * [`Spool`]: names, renames, removal, times, modes, scans;
//! * [`Draft`]: a file being written, until [`Draft::commit`] puts it on stable storage;
//! * [`QueueFile`]: an existing file: records (pointers followed), content lines, locks, marks in place;
//! * [`LogEntry`], [`DeliveryLog`]: the bounce, defer and trace logs;
//! * [`Disk`]: the seam through which all changes go.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod clock;
mod disk;
mod draft;
mod file;
mod flush;
mod layout;
mod log;
mod scan;
mod spool;

pub use disk::{Disk, Real};
pub use draft::Draft;
pub use file::{AnyRecord, ContentLines, Follow, Line, QueueFile, ReadError, RecordRef};
pub use flush::flush_log_name;
pub use layout::{DeliveryLog, Layout, Queue, UnknownQueue};
pub use log::{LogEntry, LogSettings};
pub use scan::{Found, Scan, Walk, WalkEntry};
pub use spool::{Spool, is_ready};
