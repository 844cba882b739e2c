//! The content segment: headers and body, line by line.

use mail_mime::{Content, Declared, Ending, Header, Known, Part, Problem, Sink};
use mail_record::{Kind, SendOptions};
use mail_text::printable::{printable, truncated};
use proto_ipc::cleanup::{flags, status};

use crate::envelope::text;
use crate::message::Message;
use crate::settings::NonEmptyEnd;

/// Characters of offending data that are logged.
const LOGGED: usize = 100;

impl Sink for Message<'_> {
    fn header(&mut self, part: Part, header: &Header<'_>) {
        if header.known == Some(Known::ContentTransferEncoding)
            && mail_mime::header::is_eight_bit_encoding(header.value)
        {
            self.encoding = Some("8bit".to_owned());
        }
        if !header.text.is_ascii() {
            self.note_utf8(SendOptions::UTF8_HEADER);
            if self.has(flags::AUTOUTF8) {
                self.note_utf8(SendOptions::UTF8_REQUESTED);
            }
        }
        match part {
            Part::Primary => self.primary_header(header),
            Part::Multipart | Part::Nested => self.put_header(header.text),
        }
    }

    fn headers_end(&mut self, part: Part, ending: Ending, _: Declared) {
        if part != Part::Primary {
            return;
        }
        let text = ending == Ending::Text;
        match self.settings.non_empty_end {
            NonEmptyEnd::Reject if text => {
                self.refuse_content("5.6.0", "primary header was terminated with non-empty line", b"");
            }
            NonEmptyEnd::AddHeader | NonEmptyEnd::FixQuietly | NonEmptyEnd::Reject => {}
        }
        self.complete_headers();
        if text && self.settings.non_empty_end == NonEmptyEnd::AddHeader {
            self.put_header(b"MIME-Error: message header was not terminated by empty line");
        }
    }

    fn body(&mut self, _: Content, terminated: bool, bytes: &[u8]) {
        self.unterminated = !terminated;
        self.put_text(terminated, bytes);
    }

    fn problem(&mut self, problem: Problem, data: &[u8]) {
        let strict = self.settings.strict;
        let (refused, text) = match problem {
            Problem::EightBitHeader => {
                (strict.seven_bit_headers, "improper use of 8-bit data in message header")
            }
            Problem::EightBitBody => (strict.eight_bit_body, "improper use of 8-bit data in message body"),
            Problem::EncodingDomain => {
                (strict.encoding_domain, "invalid message/* or multipart/* encoding domain")
            }
            Problem::Nesting => (strict.nesting, "MIME nesting exceeds safety limit"),
        };
        if refused && self.has(flags::FILTER) {
            self.refuse_content("5.6.0", text, data);
        }
    }
}

impl Message<'_> {
    fn refuse_content(&mut self, dsn: &str, reason: &str, data: &[u8]) {
        if self.errors & status::CONTENT != 0 {
            return;
        }
        let data = printable(data, self.settings.smtputf8);
        let sender = mail_address::to_external(self.sender.as_deref().unwrap_or_default());
        os_log::info!(
            "{}: reject: mime-error {reason}: {}; from=<{sender}>",
            self.id,
            truncated(&data, LOGGED)
        );
        self.errors |= status::CONTENT;
        self.set_reason("550", &format!("{dsn} {reason}"));
    }

    /// The content is over: only `X` may follow it.
    pub(crate) fn end_content(&mut self, kind: Kind) {
        if kind != Kind::Extracted {
            return self.refuse(format_args!("unexpected record type {} in message content", kind.byte()));
        }
        if self.unterminated {
            self.put(Kind::Line, b"");
        }
        if self.headers.received == 0 {
            return self.refuse(format_args!("no Received: header"));
        }
        let end = i64::try_from(self.position()).unwrap_or(0);
        self.size.data_size = end - self.size.data_offset;
        self.size.content_length = self.size.data_size;
        self.put(Kind::Extracted, b"");
        self.recipients_begun = false;
    }
}

/// Whether this record is content.
pub(crate) const fn is_content(kind: Kind) -> bool {
    matches!(kind, Kind::Line | Kind::FilterOrText)
}

/// Stray carriage returns and line feeds become blanks (`cleanup_replace_stray_cr_lf`).
pub(crate) fn without_stray_line_ends(data: &[u8]) -> Option<Vec<u8>> {
    let is_stray = |byte: &u8| matches!(byte, b'\r' | b'\n');
    data.iter().any(is_stray).then(|| data.iter().map(|b| if is_stray(b) { b' ' } else { *b }).collect())
}

/// The unfolded value of a header, for the log.
pub(crate) fn logged_value(header: &Header<'_>) -> String {
    printable(text(header.value).replace('\n', "").trim().as_bytes(), true)
}
