//! The list as text (`-p`) or as JSON, one object a line (`-j`).

use std::io::Write;

use host_config::{Config, param};
use host_spool::clock::local_time;
use proto_ipc::showq::{Event, Message, Recipient};

use crate::options::Format;
use crate::source::Source;
use crate::{Failure, fatal};

/// Width of the columns; which one is used depends on `enable_long_queue_ids`.
struct Columns {
    heading: &'static str,
    id: usize,
    size: usize,
    time: usize,
    indent: usize,
}

const SHORT: Columns = Columns {
    heading: "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------",
    id: 11,
    size: 7,
    time: 20,
    indent: 41,
};
const LONG: Columns = Columns {
    heading: "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------",
    id: 17,
    size: 8,
    time: 19,
    indent: 47,
};
/// Reasons end at this column.
const REASON_COLUMN: usize = 76;

/// Prints the whole list.
pub fn print(
    config: &Config,
    format: Format,
    source: &mut Source,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match format {
        Format::Json => json(source, out),
        Format::Traditional => {
            let long = config.bool(param::ENABLE_LONG_QUEUE_IDS).map_err(fatal)?;
            traditional(source, if long { &LONG } else { &SHORT }, out)
        }
    }
}

fn traditional(source: &mut Source, columns: &Columns, out: &mut dyn Write) -> Result<(), Failure> {
    let (mut messages, mut bytes) = (0u64, 0i64);
    let mut reason = String::new();
    loop {
        match source.next_event()? {
            Event::Message(message) => {
                if messages == 0 {
                    writeln!(out, "{}", columns.heading)?;
                } else {
                    writeln!(out)?;
                }
                messages += 1;
                bytes = bytes.saturating_add(message.size);
                reason.clear();
                sender_line(&message, columns, out)?;
            }
            Event::Recipient(recipient) => recipient_lines(&recipient, &mut reason, columns, out)?,
            Event::EndOfMessage => {}
            Event::EndOfListing => break,
        }
    }
    if messages == 0 {
        writeln!(out, "Mail queue is empty")?;
    } else {
        let plural = if messages == 1 { "" } else { "s" };
        writeln!(out, "\n-- {} Kbytes in {messages} Request{plural}.", bytes / 1024)?;
    }
    Ok(())
}

fn sender_line(message: &Message, columns: &Columns, out: &mut dyn Write) -> Result<(), Failure> {
    let state = match message.queue_name.as_str() {
        "active" => "*",
        "hold" => "!",
        _ => "",
    };
    let id = format!("{}{state}{}", message.queue_id, if message.forced_expire == 0 { "" } else { "#" });
    let time = format!("{} ", local_time(message.time).ctime());
    let time = time.get(..columns.time).unwrap_or(&time);
    writeln!(
        out,
        "{id:<id_width$} {:size_width$} {time} {}",
        message.size,
        message.sender,
        id_width = columns.id,
        size_width = columns.size
    )?;
    Ok(())
}

/// A reason stands before the first of the recipients that share it.
fn recipient_lines(
    recipient: &Recipient,
    last_reason: &mut String,
    columns: &Columns,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if recipient.reason != *last_reason {
        let reason = if recipient.reason.is_empty() { "reason unavailable" } else { &recipient.reason };
        let padding = REASON_COLUMN.saturating_sub(reason.len());
        writeln!(out, "{:padding$}({reason})", "")?;
        last_reason.clone_from(&recipient.reason);
    }
    writeln!(out, "{:indent$}{}", "", recipient.recipient, indent = columns.indent)?;
    Ok(())
}

fn json(source: &mut Source, out: &mut dyn Write) -> Result<(), Failure> {
    let mut first = true;
    loop {
        match source.next_event()? {
            Event::Message(m) => {
                first = true;
                write!(
                    out,
                    "{{\"queue_name\": {}, \"queue_id\": {}, \"arrival_time\": {}, \"message_size\": {}, \
                     \"forced_expire\": {}, \"sender\": {}, \"recipients\": [",
                    quoted(&m.queue_name),
                    quoted(&m.queue_id),
                    m.time,
                    m.size,
                    m.forced_expire != 0,
                    quoted(&m.sender)
                )?;
            }
            Event::Recipient(recipient) => {
                if !std::mem::replace(&mut first, false) {
                    write!(out, ", ")?;
                }
                write!(
                    out,
                    "{{\"orig_address\": {}, \"address\": {}",
                    quoted(&recipient.original_recipient),
                    quoted(&recipient.recipient)
                )?;
                if !recipient.reason.is_empty() {
                    let key = if recipient.log_class == "bounce" { "bounce_reason" } else { "delay_reason" };
                    write!(out, ", \"{key}\": {}", quoted(&recipient.reason))?;
                }
                write!(out, "}}")?;
            }
            Event::EndOfMessage => writeln!(out, "]}}")?,
            Event::EndOfListing => return Ok(()),
        }
    }
}

/// A JSON string; showq has no invalid UTF-8, replaced characters become `?` as in its other output.
fn quoted(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char::REPLACEMENT_CHARACTER => out.push('?'),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        lines(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(
            quoted("a\"\\\u{8}\u{c}\n\r\t\u{1}\u{1f}ä"),
            "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001Fä\""
        );
    }

    #[test]
    fn reasons_stand_before_those_they_concern() {
        let recipient = |name: &str, reason: &str| Recipient {
            original_recipient: String::new(),
            recipient: name.to_owned(),
            log_class: String::new(),
            reason: reason.to_owned(),
        };
        let found = text(|out| {
            let mut last = String::new();
            for one in [recipient("a", "why"), recipient("b", "why"), recipient("c", "")] {
                recipient_lines(&one, &mut last, &SHORT, out).unwrap();
            }
        });
        let pad = " ".repeat(41);
        let expected = format!(
            "{}(why)\n{pad}a\n{pad}b\n{}(reason unavailable)\n{pad}c\n",
            " ".repeat(73),
            " ".repeat(58)
        );
        assert_eq!(found, expected);
    }
}
