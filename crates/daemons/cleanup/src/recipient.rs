//! From a recipient as received to recipient records: rewriting, mapping, expansion, duplicates, BCC copies.

use mail_record::{Kind, SendOptions};
use mail_status::{Action, Detail, Dsn, Notify};
use proto_ipc::cleanup::{flags, status};
use proto_ipc::delivery::{RecipientInfo, flags as delivery_flags};

use crate::mapping::Class;
use crate::message::{Message, Pending, Written};

impl Message<'_> {
    /// A recipient from the client (internal form).
    pub(crate) fn recipient(&mut self, address: &str, pending: Pending) {
        self.any_recipient = true;
        let given = if address.is_empty() { self.settings.empty_address_recipient.as_str() } else { address };
        let rewritten = self.mapper.rewrite_internal(given);
        let mut clean = self.mapped(rewritten);
        if self.has(flags::MAP) {
            let mapped = self.mapper.map(&self.id, Class::EnvelopeRecipient, &clean);
            clean = self.mapped(mapped);
        }
        if !clean.is_ascii() && self.settings.smtputf8 && self.has(flags::AUTOUTF8) {
            self.send_options |= SendOptions::UTF8_REQUESTED;
        }
        let original = pending.original.unwrap_or_else(|| address.to_owned());
        let dsn_original = pending.dsn_original.unwrap_or_else(|| self.invented_dsn_original(&clean));
        self.aliases(&clean, &original, &dsn_original, pending.notify);
        if self.has(flags::BCC) {
            let copies = self.mapper.recipient_bcc(&clean);
            for copy in self.mapped(copies) {
                self.bcc(&copy);
            }
        }
    }

    /// A copy that the sender does not know of: no notice about it.
    pub(crate) fn bcc(&mut self, address: &str) {
        if !self.is_good() {
            return;
        }
        let mut clean = address.to_owned();
        if self.has(flags::MAP) {
            let mapped = self.mapper.map(&self.id, Class::EnvelopeRecipient, &clean);
            clean = self.mapped(mapped);
        }
        let original = clean.clone();
        self.aliases(&clean, &original, "", Notify::NEVER);
    }

    fn invented_dsn_original(&self, address: &str) -> String {
        let utf8 = self.send_options & SendOptions::UTF8_REQUESTED != 0 && !address.is_ascii();
        format!("{};{address}", if utf8 { "utf-8" } else { "rfc822" })
    }

    fn aliases(&mut self, address: &str, original: &str, dsn_original: &str, notify: u32) {
        if !self.has(flags::MAP) || !self.is_good() {
            return self.put_recipient(address, original, dsn_original, notify);
        }
        let expanded = self.mapper.expand(address);
        let list = self.mapped(expanded);
        let is_alias = list.len() > 1 || list.first().is_some_and(|only| only != address);
        if self.trace_flags & delivery_flags::MTA_VERIFY != 0 && list.len() > 1 {
            return self.verified(address, original, dsn_original, notify);
        }
        let mut notify = notify;
        if notify & Notify::SUCCESS != 0 && is_alias {
            self.trace_expansion(address, original, dsn_original, notify);
            notify &= !Notify::SUCCESS;
            if notify == 0 {
                notify = Notify::NEVER;
            }
        }
        for recipient in &list {
            self.put_recipient(recipient, original, dsn_original, notify);
        }
    }

    fn put_recipient(&mut self, recipient: &str, original: &str, dsn_original: &str, notify: u32) {
        if self.is_duplicate(recipient, original, dsn_original) {
            return;
        }
        if notify != 0 {
            self.put_attribute("notify_flags", &notify.to_string());
        }
        if !dsn_original.is_empty() {
            self.put_attribute("dsn_orig_rcpt", dsn_original);
        }
        self.put(Kind::OriginalRecipient, original.as_bytes());
        let offset = if self.is_good() { i64::try_from(self.position()).unwrap_or(0) } else { -1 };
        self.put(Kind::Recipient, recipient.as_bytes());
        self.size.recipients += 1;
        if self.has(flags::BOUNCE) {
            self.written.push(Written {
                recipient: recipient.to_owned(),
                original: original.to_owned(),
                dsn_original: dsn_original.to_owned(),
                notify,
                offset,
            });
        }
    }

    /// `duplicate_filter_limit`: the same recipient for the same original recipient is written once.
    fn is_duplicate(&mut self, recipient: &str, original: &str, dsn_original: &str) -> bool {
        let key = if self.settings.enable_original_recipient {
            format!("{dsn_original}\n{original}\n{recipient}").to_lowercase()
        } else {
            format!("{dsn_original}\n{recipient}").to_lowercase()
        };
        if self.seen.contains(&key) {
            return true;
        }
        let limit = self.settings.duplicate_filter_limit;
        if limit == 0 || self.seen.len() < limit {
            self.seen.insert(key);
        }
        false
    }

    fn info(recipient: &str, original: &str, dsn_original: &str, notify: u32) -> RecipientInfo {
        RecipientInfo {
            original_recipient: original.to_owned(),
            recipient: recipient.to_owned(),
            offset: 0,
            dsn_orig_rcpt: dsn_original.to_owned(),
            notify_flags: notify,
        }
    }

    /// The sender wants to know of success, and the alias ends the story of this recipient.
    fn trace_expansion(&mut self, recipient: &str, original: &str, dsn_original: &str, notify: u32) {
        if !self.is_good() {
            return;
        }
        let detail = Detail::new(Dsn::new(2, 0, 0), "alias expanded");
        let info = Self::info(recipient, original, dsn_original, notify);
        let socket = &self.settings.trace_socket;
        if let Err(error) = self.append(socket, info, &detail, Action::Expanded) {
            os_log::warning!("{}: trace logfile update error: {error}", self.id);
            self.errors |= status::WRITE;
        }
    }

    /// An address probe of an alias with several targets is not expanded: it is deliverable.
    fn verified(&mut self, recipient: &str, original: &str, dsn_original: &str, notify: u32) {
        let detail = Detail::new(Dsn::new(2, 0, 0), "aliased to multiple recipients");
        self.log_delivery(recipient, original, &detail, "deliverable");
        let info = Self::info(recipient, original, dsn_original, notify);
        if let Err(error) = self.update_verify(&info, &detail) {
            os_log::warning!("{}: address verify service failure: {error}", self.id);
            self.errors |= status::WRITE;
        }
    }
}
