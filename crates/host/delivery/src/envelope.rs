//! Lines that final deliveries put in front of a message, and the loop check that reads them back.

use std::time::Duration;

use host_spool::ReadError;
use mail_address::{fold, to_external, to_internal};
use mail_text::date::LocalTime;
use proto_ipc::delivery::RecipientInfo;

use crate::Job;

/// `Delivered-To:` headers looked at, at most.
const DELIVERED_LIMIT: usize = 1000;
/// Bytes of one header looked at, at most.
const HEADER_LIMIT: usize = 10_000;

/// Local time of a moment since the epoch.
#[must_use]
pub fn local_time(moment: Duration) -> LocalTime {
    let local = os_sys::time::local(moment.as_secs().cast_signed());
    LocalTime {
        year: local.year,
        month: local.month,
        day: local.day,
        weekday: local.weekday,
        hour: local.hour,
        minute: local.minute,
        second: local.second,
        offset_seconds: local.offset_seconds,
        zone: local.zone,
    }
}

/// The line that separates messages of an mbox: `From sender  Sun Nov 22 04:08:49 2026`. The null sender is
/// `MAILER-DAEMON`.
#[must_use]
pub fn from_line(sender: &str) -> String {
    let sender = if sender.is_empty() { "MAILER-DAEMON".to_owned() } else { to_external(sender) };
    format!("From {sender}  {}", local_time(os_sys::time::now()).ctime())
}

/// `Return-Path: <sender>`
#[must_use]
pub fn return_path(sender: &str) -> String {
    format!("Return-Path: <{}>", to_external(sender))
}

/// `X-Original-To: recipient`, if the original recipient is known.
#[must_use]
pub fn original_to(recipient: &RecipientInfo) -> Option<String> {
    let original = &recipient.original_recipient;
    (!original.is_empty()).then(|| format!("X-Original-To: {}", to_external(original)))
}

/// `Delivered-To: recipient`
#[must_use]
pub fn delivered_to(address: &str) -> String {
    format!("Delivered-To: {}", to_external(address))
}

impl Job {
    /// The addresses of the message's `Delivered-To:` headers, internal form, folded for comparison.
    ///
    /// # Errors
    /// The queue file cannot be read.
    pub fn delivered_to(&mut self) -> Result<Vec<String>, ReadError> {
        let mut found = Vec::new();
        let mut header = Vec::new();
        let offset = self.data_offset();
        let mut lines = self.message.content_lines(offset);
        let mut continued = false;
        while let Some(line) = lines.next_line()? {
            let folded = continued || line.bytes.first().is_some_and(|b| matches!(b, b' ' | b'\t'));
            if !folded {
                found.extend(delivered_header(&header));
                header.clear();
                if line.bytes.is_empty() || found.len() >= DELIVERED_LIMIT {
                    break;
                }
            }
            let room = HEADER_LIMIT.saturating_sub(header.len()).min(line.bytes.len());
            header.extend_from_slice(line.bytes.get(..room).unwrap_or_default());
            continued = !line.terminated;
        }
        found.extend(delivered_header(&header));
        Ok(found)
    }
}

fn delivered_header(header: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(header);
    let (name, value) = text.split_once(':')?;
    if !name.trim_end().eq_ignore_ascii_case("delivered-to") {
        return None;
    }
    let address = mail_address::token::addresses(value).into_iter().next()?;
    Some(fold(&to_internal(&address)))
}
