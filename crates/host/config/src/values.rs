//! Typed getters: expansion, syntax, range, in this order, with the reference's fatal texts (`config.md` §4).

use std::path::PathBuf;
use std::time::Duration;

use crate::param::{self, Bool, Int, Kind, Long, Raw, Row, Str, Time};
use crate::{Config, Result, fail};

impl Config {
    /// A text.
    ///
    /// # Errors
    /// Bad expansion or length.
    pub fn str(&self, parameter: Str) -> Result<String> {
        let row = parameter.row();
        let value = self.expanded(row)?;
        let (name, length) = (row.name, length(&value));
        match (row.min, row.max) {
            (Some(min), _) if length < min => {
                fail(format!("bad string length {length} < {min}: {name} = {value}"))
            }
            (_, Some(max)) if length > max => {
                fail(format!("bad string length {length} > {max}: {name} = {value}"))
            }
            _ => Ok(value),
        }
    }

    /// A text that is not expanded here.
    ///
    /// # Errors
    /// Bad length.
    pub fn raw(&self, parameter: Raw) -> Result<String> {
        let row = parameter.row();
        let value = self.text(row.name)?.unwrap_or_default().into_owned();
        let (name, length) = (row.name, length(&value));
        match (row.min, row.max) {
            (Some(min), _) if length < min => {
                fail(format!("bad string length ({length} < {min}): {name} = {value}"))
            }
            (_, Some(max)) if length > max => {
                fail(format!("bad string length ({length} > {max}): {name} = {value}"))
            }
            _ => Ok(value),
        }
    }

    /// A 32-bit number.
    ///
    /// # Errors
    /// Not a number, out of range.
    pub fn int(&self, parameter: Int) -> Result<i64> {
        let row = parameter.row();
        number(row, row.name, &self.expanded(row)?, i64::from(i32::MIN)..=i64::from(i32::MAX))
    }

    /// A 64-bit number.
    ///
    /// # Errors
    /// As [`Config::int`].
    pub fn long(&self, parameter: Long) -> Result<i64> {
        let row = parameter.row();
        number(row, row.name, &self.expanded(row)?, i64::MIN..=i64::MAX)
    }

    /// `yes` or `no`.
    ///
    /// # Errors
    /// Anything else.
    pub fn bool(&self, parameter: Bool) -> Result<bool> {
        let row = parameter.row();
        let value = self.expanded(row)?;
        if value.eq_ignore_ascii_case("yes") {
            Ok(true)
        } else if value.eq_ignore_ascii_case("no") {
            Ok(false)
        } else {
            fail(format!("bad boolean configuration: {} = {value}", row.name))
        }
    }

    /// A time.
    ///
    /// # Errors
    /// Bad number or unit, out of range.
    pub fn time(&self, parameter: Time) -> Result<Duration> {
        let row = parameter.row();
        let value = self.expanded(row)?;
        time(row, row.name, &value)
    }

    /// Reads a value as its kind wants it, for its error alone.
    pub(crate) fn check_value(&self, row: &'static Row) -> Result<()> {
        let index = param::TABLE
            .iter()
            .position(|other| std::ptr::eq(other, row))
            .and_then(|at| u16::try_from(at).ok());
        let Some(index) = index else { return Ok(()) };
        match row.kind {
            Kind::Str => self.str(Str(index)).map(drop),
            Kind::Raw => self.raw(Raw(index)).map(drop),
            Kind::Int => self.int(Int(index)).map(drop),
            Kind::Long => self.long(Long(index)).map(drop),
            Kind::Time => self.time(Time(index)).map(drop),
            Kind::Bool => self.bool(Bool(index)).map(drop),
        }
    }

    pub(crate) fn expanded(&self, row: &Row) -> Result<String> {
        match self.settings().get(row.name) {
            Some(value) => self.expand(value),
            None => match self.default_text(row.name)? {
                Some(value) => self.expand(&value),
                None => Ok(String::new()),
            },
        }
    }

    /// `queue_directory`.
    ///
    /// # Errors
    /// As [`Config::str`].
    pub fn queue_directory(&self) -> Result<PathBuf> {
        self.str(param::QUEUE_DIRECTORY).map(PathBuf::from)
    }

    /// Where this installation logs (`syslog_facility`, `maillog_file`).
    ///
    /// # Errors
    /// A bad value of these parameters.
    pub fn log_destination(&self) -> Result<os_log::Destination> {
        let facility = self.str(param::SYSLOG_FACILITY)?;
        let file = self.str(param::MAILLOG_FILE)?;
        let hostname = self.str(param::MYHOSTNAME)?;
        let mut destination = os_log::Destination {
            facility,
            hostname: hostname.split('.').next().unwrap_or_default().to_owned(),
            ..os_log::Destination::default()
        };
        if !file.is_empty() {
            let prefixes = self.str(param::MAILLOG_FILE_PREFIXES)?;
            if !mail_text::list::words(&prefixes).any(|prefix| file.starts_with(prefix)) {
                return fail(format!(
                    "maillog_file value '{file}' does not match any prefix in maillog_file_prefixes"
                ));
            }
            let service = self.str(param::POSTLOG_SERVICE_NAME)?;
            destination.postlog_socket = Some(self.queue_directory()?.join("public").join(service));
            destination.fallback_file = Some(PathBuf::from(file));
        }
        Ok(destination)
    }
}

fn length(value: &str) -> i64 {
    i64::try_from(value.len()).unwrap_or(i64::MAX)
}

pub(crate) fn number(
    row: &Row,
    name: &str,
    value: &str,
    range: std::ops::RangeInclusive<i64>,
) -> Result<i64> {
    let digits = value.strip_prefix('+').filter(|rest| !rest.starts_with(['+', '-'])).unwrap_or(value);
    let Some(number) = digits.parse::<i64>().ok().filter(|number| range.contains(number)) else {
        return fail(format!("bad numerical configuration: {name} = {value}"));
    };
    if let Some(min) = row.min.filter(|min| number < *min) {
        return fail(format!("invalid {name} parameter value {number} < {min}"));
    }
    if let Some(max) = row.max.filter(|max| number > *max) {
        return fail(format!("invalid {name} parameter value {number} > {max}"));
    }
    Ok(number)
}

pub(crate) fn time(row: &Row, name: &str, value: &str) -> Result<Duration> {
    let Some(seconds) = seconds(value, row.unit) else {
        return fail(format!("parameter {name}: bad time value or unit: {value}"));
    };
    if let Some(min) = row.min.filter(|min| seconds < *min) {
        return fail(format!("invalid {name}: {seconds} (min {min})"));
    }
    if let Some(max) = row.max.filter(|max| seconds > *max) {
        return fail(format!("invalid {name}: {seconds} (max {max})"));
    }
    Ok(Duration::from_secs(seconds.unsigned_abs()))
}

/// Digits and one unit letter; what stands behind the letter is not looked at. At most 2³¹-1 seconds.
fn seconds(value: &str, default_unit: &str) -> Option<i64> {
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (digits, rest) = value.split_at(end);
    let number: i64 = digits.parse().ok()?;
    let unit = rest.chars().next().or_else(|| default_unit.chars().next()).unwrap_or('s');
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    number.checked_mul(factor).filter(|seconds| *seconds <= i64::from(i32::MAX))
}
