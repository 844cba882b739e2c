//! Which records a local user may submit (`queue-and-spool` §3). Pure.

use mail_record::{Kind, split_attribute};

/// Attributes that are kept, with the values they may have (empty: any).
const ATTRIBUTES: [(&str, &[&str]); 8] = [
    ("encoding", &["7bit", "8bit", ""]),
    ("envelope_id", &[]),
    ("ret_flags", &[]),
    ("notify_flags", &[]),
    ("dsn_orig_rcpt", &[]),
    ("create_time", &[]),
    ("rewrite_context", &["local", "remote"]),
    ("trace_flags", &["512", "1024"]),
];

/// What to do with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes into the file.
    Keep,
    /// It is left out.
    Drop,
    /// It goes into the file and is the last one.
    Complete,
    /// The submission ends here, with this fatal text.
    Refuse(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    Envelope,
    Content,
    Extracted,
}

/// The state of a submission.
#[derive(Debug)]
pub(crate) struct Filter {
    uid: u32,
    payload_limit: usize,
    segment: Segment,
    sender: bool,
    recipient: bool,
}

impl Filter {
    /// For this user; `payload_limit` = `line_length_limit` (bytes).
    pub(crate) const fn new(uid: u32, payload_limit: usize) -> Self {
        Self { uid, payload_limit, segment: Segment::Envelope, sender: false, recipient: false }
    }

    pub(crate) const fn uid(&self) -> u32 {
        self.uid
    }

    /// A sender and a recipient were there.
    pub(crate) const fn is_complete(&self) -> bool {
        self.sender && self.recipient
    }

    /// Judges the next record.
    pub(crate) fn judge(&mut self, kind: Kind, data: &[u8]) -> Verdict {
        if data.len() > self.payload_limit {
            return Verdict::Refuse(format!("uid={}: malformed input", self.uid));
        }
        if !self.allows(kind) {
            return Verdict::Refuse(format!("uid={}: unexpected record type: {}", self.uid, kind.byte()));
        }
        if self.segment != Segment::Content
            && let Some(what) = named(kind)
            && data.iter().any(|b| matches!(b, 0 | b'\r' | b'\n'))
        {
            return Verdict::Refuse(format!("uid={}: null or line break in '{what}' record type", self.uid));
        }
        match kind {
            Kind::Sender => self.sender = true,
            Kind::Recipient => self.recipient = true,
            Kind::Message => self.segment = Segment::Content,
            Kind::Extracted => self.segment = Segment::Extracted,
            Kind::Attribute => return self.attribute(data),
            Kind::End => return Verdict::Complete,
            _ => {}
        }
        Verdict::Keep
    }

    fn attribute(&self, data: &[u8]) -> Verdict {
        let uid = self.uid;
        let Some((name, value)) = split_attribute(data) else {
            let name = String::from_utf8_lossy(data);
            os_log::warning!(
                "uid={uid}: ignoring malformed record: missing '=' after attribute name: {name}"
            );
            return Verdict::Drop;
        };
        let known = ATTRIBUTES.iter().find(|(known, _)| *known == name);
        if known.is_some_and(|(_, values)| values.is_empty() || values.contains(&value.as_str())) {
            return Verdict::Keep;
        }
        os_log::warning!("uid={uid}: ignoring attribute record: {name}={value}");
        Verdict::Drop
    }

    const fn allows(&self, kind: Kind) -> bool {
        match self.segment {
            Segment::Envelope => matches!(
                kind,
                Kind::Message
                    | Kind::FullName
                    | Kind::Sender
                    | Kind::Recipient
                    | Kind::Verp
                    | Kind::Attribute
                    | Kind::DsnEnvelopeId
                    | Kind::DsnNotify
                    | Kind::Size
            ),
            Segment::Content => matches!(kind, Kind::Extracted | Kind::FilterOrText | Kind::Line),
            Segment::Extracted => matches!(kind, Kind::End | Kind::Attribute | Kind::Recipient),
        }
    }
}

/// The name of a record type in messages.
const fn named(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::FullName => Some("sender_fullname"),
        Kind::Sender => Some("sender"),
        Kind::Recipient => Some("recipient"),
        Kind::Verp => Some("verp_delimiters"),
        Kind::Attribute => Some("named_attribute"),
        Kind::DsnEnvelopeId => Some("dsn_envelope_id"),
        Kind::DsnNotify => Some("dsn_notify_flags"),
        Kind::Size => Some("message_size"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_submission_passes() {
        let mut filter = Filter::new(5, 2048);
        for (kind, data) in [
            (Kind::Attribute, "rewrite_context=local"),
            (Kind::FullName, "Ann"),
            (Kind::Sender, "a@b"),
            (Kind::Attribute, "notify_flags=2"),
            (Kind::Recipient, "c@d"),
            (Kind::Message, ""),
            (Kind::Line, "S: x\r"),
            (Kind::FilterOrText, "\0"),
            (Kind::Extracted, ""),
            (Kind::Recipient, "e@f"),
        ] {
            assert_eq!(filter.judge(kind, data.as_bytes()), Verdict::Keep, "{kind:?}");
        }
        assert_eq!(filter.judge(Kind::End, b""), Verdict::Complete);
        assert!(filter.is_complete());
    }

    #[test]
    fn what_a_user_may_not_say_is_refused_or_dropped() {
        for (kind, data, verdict) in [
            (Kind::Time, "1 2", Verdict::Refuse("uid=5: unexpected record type: 84".into())),
            (Kind::WarnTime, "1", Verdict::Refuse("uid=5: unexpected record type: 87".into())),
            (Kind::FilterOrText, "x:y", Verdict::Refuse("uid=5: unexpected record type: 76".into())),
            (
                Kind::Recipient,
                "a\nb",
                Verdict::Refuse("uid=5: null or line break in 'recipient' record type".into()),
            ),
            (Kind::Attribute, "sasl_username=x", Verdict::Drop),
            (Kind::Attribute, "trace_flags=256", Verdict::Drop),
            (Kind::Attribute, "rewrite_context=other", Verdict::Drop),
        ] {
            assert_eq!(Filter::new(5, 2048).judge(kind, data.as_bytes()), verdict);
        }
        let long = "x".repeat(2049);
        assert!(matches!(Filter::new(5, 2048).judge(Kind::Sender, long.as_bytes()), Verdict::Refuse(_)));
    }
}
