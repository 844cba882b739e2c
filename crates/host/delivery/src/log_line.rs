//! The line that tells what became of a recipient.

use std::fmt::Write as _;

use mail_address::to_external;
use mail_status::Dsn;
use proto_ipc::delivery::{MessageStats, RecipientInfo};

use crate::stats::{Delays, format_delay};

/// By which way a delivery went, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Via {
    /// `host[address]:port`, a service name, or empty for none.
    pub relay: String,
    /// Feature status (`tls=`), smtp and lmtp only.
    pub tls: Option<String>,
}

impl Via {
    /// No relay: `relay=none`.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// This relay or service.
    #[must_use]
    pub fn relay(name: impl Into<String>) -> Self {
        Self { relay: name.into(), tls: None }
    }

    pub(crate) fn relay_text(&self) -> &str {
        if self.relay.is_empty() { "none" } else { &self.relay }
    }
}

/// All that the line says.
pub struct LogLine<'a> {
    /// Queue ID.
    pub queue_id: &'a str,
    /// Whose.
    pub recipient: &'a RecipientInfo,
    /// By which way.
    pub via: &'a Via,
    /// Time stamps.
    pub stats: &'a MessageStats,
    /// `delay_logging_resolution_limit`.
    pub resolution: u32,
    /// Enhanced status code.
    pub dsn: Dsn,
    /// sent, deferred, bounced, SOFTBOUNCE, deliverable, undeliverable
    pub word: &'a str,
    /// Text in parentheses.
    pub reason: &'a str,
}

impl LogLine<'_> {
    /// Writes it.
    pub fn emit(&self) {
        os_log::info!("{}", self.text());
    }

    fn text(&self) -> String {
        let recipient = self.recipient;
        let mut line = format!("{}: to=<{}>", self.queue_id, to_external(&recipient.recipient));
        let original = &recipient.original_recipient;
        if !original.is_empty() && !original.eq_ignore_ascii_case(&recipient.recipient) {
            let _ = write!(line, ", orig_to=<{}>", to_external(original));
        }
        let _ = write!(line, ", relay={}", self.via.relay_text());
        if self.stats.reuse_count > 0 {
            let _ = write!(line, ", conn_use={}", self.stats.reuse_count + 1);
        }
        let delays = Delays::new(self.stats);
        let shown = |microseconds| format_delay(microseconds, self.resolution);
        let _ = write!(
            line,
            ", delay={}, delays={}/{}/{}/{}",
            shown(delays.total),
            shown(delays.before_queue_manager),
            shown(delays.in_queue_manager),
            shown(delays.connection),
            shown(delays.transmission)
        );
        if let Some(tls) = &self.via.tls {
            let _ = write!(line, ", tls={tls}");
        }
        let _ = write!(line, ", dsn={}, status={} ({})", self.dsn, self.word, self.reason);
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_original_recipient_is_named_when_it_differs() {
        let mut recipient = RecipientInfo {
            recipient: "a@x.test".into(),
            original_recipient: "A@X.test".into(),
            ..Default::default()
        };
        let stats = MessageStats::default();
        let via = Via::none();
        let text = |recipient: &RecipientInfo| {
            LogLine {
                queue_id: "Q1",
                recipient,
                via: &via,
                stats: &stats,
                resolution: 2,
                dsn: Dsn::new(2, 0, 0),
                word: "sent",
                reason: "ok",
            }
            .text()
        };
        assert_eq!(
            text(&recipient),
            "Q1: to=<a@x.test>, relay=none, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (ok)"
        );
        recipient.original_recipient = "b@x.test".into();
        assert!(text(&recipient).contains("to=<a@x.test>, orig_to=<b@x.test>, relay="));
    }
}
