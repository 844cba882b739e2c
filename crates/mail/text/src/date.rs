//! Dates as text, from a broken-down local time that the caller took from the system.

/// A local time with its zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// Full year, as 2026.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 = Sunday.
    pub weekday: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
    /// Seconds east of UTC.
    pub offset_seconds: i32,
    /// Zone abbreviation, as `UTC`.
    pub zone: String,
}

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl LocalTime {
    /// `Sun`.
    #[must_use]
    pub fn weekday_name(&self) -> &'static str {
        DAYS.get(usize::from(self.weekday)).copied().unwrap_or("Sun")
    }
    /// `Nov`.
    #[must_use]
    pub fn month_name(&self) -> &'static str {
        MONTHS.get(usize::from(self.month.saturating_sub(1))).copied().unwrap_or("Jan")
    }
    /// The date of a message header: `Sun, 22 Nov 2026 04:08:49 +0000 (UTC)` (RFC 5322 §3.3; day with two digits).
    #[must_use]
    pub fn header(&self) -> String {
        let sign = if self.offset_seconds < 0 { '-' } else { '+' };
        let minutes = self.offset_seconds.unsigned_abs() / 60;
        format!(
            "{}, {:02} {} {} {:02}:{:02}:{:02} {sign}{:02}{:02} ({})",
            self.weekday_name(),
            self.day,
            self.month_name(),
            self.year,
            self.hour,
            self.minute,
            self.second,
            minutes / 60,
            minutes % 60,
            self.zone
        )
    }
    /// ctime(3) without its line feed: `Sun Nov 22 04:08:49 2026` (day blank padded).
    #[must_use]
    pub fn ctime(&self) -> String {
        format!(
            "{} {} {:2} {:02}:{:02}:{:02} {}",
            self.weekday_name(),
            self.month_name(),
            self.day,
            self.hour,
            self.minute,
            self.second,
            self.year
        )
    }
    /// The time stamp of a log line: `Nov 22 04:08:49` (day blank padded).
    #[must_use]
    pub fn syslog(&self) -> String {
        format!("{} {:2} {:02}:{:02}:{:02}", self.month_name(), self.day, self.hour, self.minute, self.second)
    }
}
