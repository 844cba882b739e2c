//! The clock and the local time zone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A broken-down local time, as localtime_r(3) gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Full year.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 = Sunday.
    pub weekday: u8,
    /// Hour.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second.
    pub second: u8,
    /// Seconds east of UTC.
    pub offset_seconds: i32,
    /// Zone abbreviation.
    pub zone: String,
}

/// Local time of seconds since the epoch.
#[must_use]
pub fn local(_seconds: i64) -> Local {
    todo!("os")
}

/// Time since the epoch.
#[must_use]
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
