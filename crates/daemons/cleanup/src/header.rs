//! The primary header: rewriting of addresses, headers that are dropped, headers that are missing.

use host_resolve::RewriteRule;
use mail_address::{to_external, to_internal};
use mail_mime::{Header, Known, Role};
use mail_record::SendOptions;
use proto_ipc::cleanup::{flags, status};

use crate::content::logged_value;
use crate::mapping::Class;
use crate::message::{Context, Message};
use crate::settings::FromFormat;

/// Which headers there were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    known: Vec<Known>,
    resent: bool,
    /// Number of Received headers.
    pub received: usize,
}

impl Seen {
    fn has(&self, known: Known) -> bool {
        self.known.contains(&known)
    }

    fn note(&mut self, known: Known) {
        self.resent |= known.is_resent();
        if !self.has(known) {
            self.known.push(known);
        }
    }
}

impl Message<'_> {
    pub(crate) fn primary_header(&mut self, header: &Header<'_>) {
        let dropped = self.settings.drop_headers.contains(&header.name_text().to_ascii_lowercase());
        if let Some(known) = header.known {
            self.headers.note(known);
            self.note_known(known, header);
        }
        if dropped {
            return;
        }
        let role = header.known.map_or(Role::Other, Known::role);
        if role != Role::Other
            && let Some(rule) = self.header_rule()
            && let Some(text) = self.rewritten_header(role, rule, header)
        {
            return self.put_header(&text);
        }
        if header.text.get(header.name.len()) == Some(&b':') {
            self.put_header(header.text);
        } else {
            self.put_header(&[header.name, b":", header.value].concat());
        }
    }

    fn note_known(&mut self, known: Known, header: &Header<'_>) {
        match known {
            Known::Received => {
                self.headers.received += 1;
                if self.headers.received >= self.settings.hopcount_limit {
                    os_log::warning!("{}: message rejected: hopcount exceeded", self.id);
                    self.errors |= status::HOPS;
                }
            }
            Known::MessageId => {
                let id = logged_value(header);
                os_log::info!("{}: message-id={id}", self.id);
                if id.starts_with('<') && id.ends_with('>') {
                    self.message_id.get_or_insert(id);
                }
            }
            Known::ResentMessageId => {
                os_log::info!("{}: resent-message-id={}", self.id, logged_value(header))
            }
            Known::TlsRequired if self.settings.tls_required => self.tls_required(header),
            _ => {}
        }
    }

    fn tls_required(&mut self, header: &Header<'_>) {
        let value = logged_value(header);
        if value.eq_ignore_ascii_case("no") {
            self.send_options |= SendOptions::TLS_OPTIONAL;
        } else {
            os_log::warning!("{}: ignoring malformed header: '{}: {value}'", self.id, header.name_text());
        }
    }

    /// How header addresses are rewritten; `None`: not at all.
    fn header_rule(&self) -> Option<RewriteRule> {
        match self.context.unwrap_or_default() {
            Context::Local => Some(RewriteRule::Local),
            Context::Remote => self.settings.remote_header_rewrite_domain.then_some(RewriteRule::Remote),
        }
    }

    /// The header with its addresses rewritten and mapped; `None`: nothing changed.
    fn rewritten_header(&mut self, role: Role, rule: RewriteRule, header: &Header<'_>) -> Option<Vec<u8>> {
        let class = if role == Role::Sender { Class::HeaderSender } else { Class::HeaderRecipient };
        let (mapper, map) = (self.mapper, self.has(flags::MAP));
        let mut failed = None;
        let id = self.id.clone();
        let rewritten = header.with_addresses(&mut |address| {
            let rewrite = || {
                let internal = to_internal(&mapper.rewrite(rule, address)?);
                let mapped = if map { mapper.map(&id, class, &internal)? } else { internal };
                Ok(to_external(&mapped))
            };
            match rewrite() {
                Ok(new) => (new != address).then_some(new),
                Err(error) => {
                    failed = Some(error);
                    None
                }
            }
        });
        if let Some(error) = failed {
            self.mapped::<()>(Err(error));
        }
        rewritten
    }

    /// The end of the primary header: what is missing is added (`always_add_missing_headers`).
    pub(crate) fn complete_headers(&mut self) {
        let resent = if self.headers.resent { "Resent-" } else { "" };
        let add = self.header_rule().is_some() || self.settings.always_add_missing_headers;
        if add {
            self.add_message_id(resent);
            self.add_date(resent);
            self.add_from(resent);
            self.add_recipients();
        }
        if !self.headers.has(Known::MessageId) && !self.headers.has(Known::ResentMessageId) {
            os_log::info!("{}: message-id=<>", self.id);
        }
        if self.send_options & SendOptions::REQUIRETLS != 0 && self.settings.requiretls_header {
            self.put_header(b"Require-TLS-ESMTP: yes");
        }
    }

    fn add_message_id(&mut self, resent: &str) {
        let known = if resent.is_empty() { Known::MessageId } else { Known::ResentMessageId };
        if self.headers.has(known) {
            return;
        }
        let host = &self.settings.myhostname;
        let long = mail_record::QueueId::parse(&self.id).is_ok_and(|id| id.is_long());
        let id = if long {
            format!("<{}@{host}>", self.id)
        } else {
            format!("<{}.{}@{host}>", compact_utc(os_sys::time::now().as_secs()), self.id)
        };
        self.put_header(format!("{resent}Message-Id: {id}").as_bytes());
        os_log::info!("{}: {}message-id={id}", self.id, resent.to_ascii_lowercase());
        self.headers.note(known);
        if resent.is_empty() {
            self.message_id.get_or_insert(id);
        }
    }

    fn add_date(&mut self, resent: &str) {
        let known = if resent.is_empty() { Known::Date } else { Known::ResentDate };
        if !self.headers.has(known) {
            let date = host_spool::clock::local_time(self.arrival.map_or(0, |(seconds, _)| seconds)).header();
            self.put_header(format!("{resent}Date: {date}").as_bytes());
        }
    }

    fn add_from(&mut self, resent: &str) {
        let known = if resent.is_empty() { Known::From } else { Known::ResentFrom };
        if self.headers.has(known) {
            return;
        }
        let address = match self.sender.as_deref() {
            None | Some("") => "MAILER-DAEMON".to_owned(),
            Some(sender) => to_external(sender),
        };
        // The mail system has no full name.
        let null_sender = self.sender.as_deref().is_none_or(str::is_empty);
        let name = self.full_name.as_deref().filter(|_| !null_sender).unwrap_or_default();
        let address = address.as_bytes();
        let value = match self.settings.from_format {
            _ if name.is_empty() => address.to_vec(),
            FromFormat::Standard => match phrase(name) {
                phrase if phrase.is_empty() => [b"<", address, b">"].concat(),
                phrase => [phrase.as_slice(), b" <", address, b">"].concat(),
            },
            FromFormat::Obsolete => [address, b" (", &comment(name), b")"].concat(),
        };
        self.put_header(&[resent.as_bytes(), b"From: ", &value].concat());
    }

    fn add_recipients(&mut self) {
        let known = [Known::To, Known::Cc, Known::ResentTo, Known::ResentCc];
        let header = &self.settings.undisclosed_recipients_header;
        if !header.is_empty() && !known.into_iter().any(|k| self.headers.has(k)) {
            self.put_header(header.as_bytes());
        }
    }
}

/// A full name as an RFC 5322 phrase: atoms, or one quoted string.
fn phrase(name: &[u8]) -> Vec<u8> {
    const SPECIALS: &[u8] = b"()<>@,;:\\\".[]";
    if !name.iter().any(|b| SPECIALS.contains(b) || b.is_ascii_control()) {
        let words: Vec<&[u8]> = name.split(|b| *b == b' ').filter(|w| !w.is_empty()).collect();
        return words.join(&b' ');
    }
    let mut out = vec![b'"'];
    for &byte in name {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
    out
}

/// A full name inside a comment.
fn comment(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for &byte in name {
        if matches!(byte, b'(' | b')' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}

/// `YYYYMMDDhhmmss` in UTC (civil calendar from days, Howard Hinnant's algorithm).
fn compact_utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names_are_quoted_when_they_must() {
        for (name, result) in [
            ("Joe User", "Joe User"),
            ("Joe A. User", "\"Joe A. User\""),
            ("Joe \"U\", (x)", "\"Joe \\\"U\\\", (x)\""),
            ("  ", ""),
        ] {
            assert_eq!(phrase(name.as_bytes()), result.as_bytes(), "{name}");
        }
    }

    #[test]
    fn utc_stamps() {
        assert_eq!(compact_utc(1_795_320_874), "20261122041434");
        assert_eq!(compact_utc(951_782_400), "20000229000000");
    }
}
