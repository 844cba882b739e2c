//! The clock and the local time zone.

use std::ffi::CStr;
use std::mem::MaybeUninit;
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
pub fn local(seconds: i64) -> Local {
    let mut tm = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: localtime_r reads one time_t and writes the structure it is given; an all-zero tm is valid in case it
    // fails (years beyond the int range). tm_zone, if set, points to a string of the C library that lives on.
    let (tm, zone) = unsafe {
        libc::localtime_r(&raw const seconds, tm.as_mut_ptr());
        let tm = tm.assume_init();
        let zone = if tm.tm_zone.is_null() { c"" } else { CStr::from_ptr(tm.tm_zone) };
        (tm, zone.to_string_lossy().into_owned())
    };
    let small = |value: libc::c_int| u8::try_from(value).unwrap_or_default();
    Local {
        year: tm.tm_year.saturating_add(1900),
        month: small(tm.tm_mon + 1),
        day: small(tm.tm_mday),
        weekday: small(tm.tm_wday),
        hour: small(tm.tm_hour),
        minute: small(tm.tm_min),
        second: small(tm.tm_sec),
        offset_seconds: i32::try_from(tm.tm_gmtoff).unwrap_or_default(),
        zone,
    }
}

/// Time since the epoch.
#[must_use]
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_epoch_is_a_thursday_near_1970() {
        let local = super::local(43_200);
        assert_eq!((local.year, local.month, local.day, local.weekday), (1970, 1, 1, 4));
        assert_eq!(
            i64::from(local.hour) * 3600,
            43_200 + i64::from(local.offset_seconds) - i64::from(local.minute) * 60
        );
    }
}
