//! The extracted segment: what follows the content, up to the E record.

use mail_record::Kind;
use proto_ipc::cleanup::flags;

use crate::envelope::text;
use crate::message::{Message, Pending};

impl Message<'_> {
    /// One record after the content; `true`: the message is complete.
    pub(crate) fn extracted_record(&mut self, kind: Kind, data: &[u8]) -> bool {
        match kind {
            Kind::End => {
                self.end();
                return true;
            }
            Kind::Recipient => {
                self.put_content_attributes();
                self.recipients_begun = true;
                self.recipient_record(data);
            }
            Kind::Done | Kind::Canceled => self.pending = Pending::default(),
            Kind::OriginalRecipient => self.original_recipient(data),
            Kind::DsnOriginalRecipient => self.pending.dsn_original = Some(text(data)),
            Kind::DsnNotify => self.notify(&text(data), &text(data)),
            Kind::Flags => self.client_flags(data),
            Kind::Attribute => {
                if let Some((name, _)) = self.named_attribute(data)
                    && name != "create_time"
                {
                    self.put_other(kind, data);
                }
            }
            Kind::Priority
            | Kind::ReturnReceipt
            | Kind::ErrorsTo
            | Kind::FullName
            | Kind::Inspector
            | Kind::FilterOrText
            | Kind::Redirect
            | Kind::Killed => self.put_other(kind, data),
            Kind::Size
            | Kind::Time
            | Kind::Sender
            | Kind::WarnTime
            | Kind::Verp
            | Kind::Delay
            | Kind::MilterCount
            | Kind::Message
            | Kind::Line
            | Kind::Padding
            | Kind::Extracted
            | Kind::Pointer
            | Kind::DsnRet
            | Kind::DsnEnvelopeId => {
                self.refuse(format_args!("unexpected record type {} in extracted envelope", kind.byte()));
            }
        }
        false
    }

    /// What the content told: before the first recipient here, or at the end.
    fn put_content_attributes(&mut self) {
        if let Some(id) = self.message_id.take() {
            self.put_attribute("message_id", &id);
        }
        if let Some(encoding) = self.encoding.take() {
            self.put_attribute("encoding", &encoding);
        }
    }

    fn end(&mut self) {
        self.put_content_attributes();
        let always = &self.settings.always_bcc;
        if self.has(flags::BCC) && !always.is_empty() {
            let rewritten = self.mapper.rewrite_internal(&mail_address::to_internal(always));
            let address = self.mapped(rewritten);
            self.bcc(&address);
        }
        self.put(Kind::End, b"");
    }
}
