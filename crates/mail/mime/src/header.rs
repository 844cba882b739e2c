//! Header names that a mail system knows, and logical headers.

/// What the addresses in a header are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sender addresses (`header_sender`).
    Sender,
    /// Recipient addresses (`header_recipient`).
    Recipient,
    /// No addresses that are rewritten.
    Other,
}

macro_rules! known {
    ($($variant:ident $name:literal $role:ident;)*) => {
        /// Headers with a meaning of their own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Known { $(#[doc = concat!("`", $name, ":`")] $variant,)* }

        impl Known {
            /// The header of this name, in any case.
            #[must_use]
            pub fn of(name: &[u8]) -> Option<Self> {
                $(if name.eq_ignore_ascii_case($name.as_bytes()) { return Some(Self::$variant); })*
                None
            }

            /// The usual spelling.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whose addresses it holds.
            #[must_use]
            pub const fn role(self) -> Role {
                match self { $(Self::$variant => Role::$role,)* }
            }
        }
    };
}

known! {
    Received "Received" Other;
    From "From" Sender;
    To "To" Recipient;
    Subject "Subject" Other;
    Date "Date" Other;
    MessageId "Message-Id" Other;
    Cc "Cc" Recipient;
    Bcc "Bcc" Recipient;
    Sender "Sender" Sender;
    ReplyTo "Reply-To" Sender;
    ErrorsTo "Errors-To" Sender;
    ReturnPath "Return-Path" Sender;
    ReturnReceiptTo "Return-Receipt-To" Sender;
    MailFollowupTo "Mail-Followup-To" Sender;
    DispositionNotificationTo "Disposition-Notification-To" Sender;
    ApparentlyTo "Apparently-To" Recipient;
    ResentFrom "Resent-From" Sender;
    ResentSender "Resent-Sender" Sender;
    ResentTo "Resent-To" Recipient;
    ResentCc "Resent-Cc" Recipient;
    ResentBcc "Resent-Bcc" Recipient;
    ResentReplyTo "Resent-Reply-To" Recipient;
    ResentDate "Resent-Date" Other;
    ResentMessageId "Resent-Message-Id" Other;
    DeliveredTo "Delivered-To" Other;
    ContentType "Content-Type" Other;
    ContentTransferEncoding "Content-Transfer-Encoding" Other;
    ContentLength "Content-Length" Other;
    ContentDescription "Content-Description" Other;
    ContentDisposition "Content-Disposition" Other;
    ContentId "Content-Id" Other;
    MimeVersion "MIME-Version" Other;
    TlsRequired "TLS-Required" Other;
}

impl Known {
    /// One of the `Resent-` headers: their presence makes added headers `Resent-` ones as well.
    #[must_use]
    pub const fn is_resent(self) -> bool {
        matches!(
            self,
            Self::ResentFrom
                | Self::ResentSender
                | Self::ResentTo
                | Self::ResentCc
                | Self::ResentBcc
                | Self::ResentReplyTo
                | Self::ResentDate
                | Self::ResentMessageId
        )
    }

    /// Describes MIME structure, also when it stands in the primary header (`postconf(5) mime_header_checks`).
    #[must_use]
    pub const fn is_mime(self) -> bool {
        matches!(
            self,
            Self::ContentType
                | Self::ContentTransferEncoding
                | Self::ContentDescription
                | Self::ContentDisposition
                | Self::ContentId
                | Self::MimeVersion
        )
    }
}

/// A logical header: physical lines joined by line feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Name, without blanks.
    pub name: &'a [u8],
    /// What follows the colon, blanks included.
    pub value: &'a [u8],
    /// The whole header.
    pub text: &'a [u8],
    /// Which one it is.
    pub known: Option<Known>,
}

impl<'a> Header<'a> {
    /// Splits the text of a header; `None` when it is none.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let length = name_length(text)?;
        let (name, rest) = text.split_at_checked(length)?;
        let colon = rest.iter().position(|&b| b == b':')?;
        let value = rest.get(colon + 1..)?;
        Some(Self { name, value, text, known: Known::of(name) })
    }

    /// The value on one line, outer blanks removed, invalid UTF-8 replaced.
    #[must_use]
    pub fn unfolded(&self) -> String {
        String::from_utf8_lossy(self.value).replace('\n', "").trim().to_owned()
    }

    /// The whole header with each of its addresses (external form) replaced by what `rewrite` makes of it, folded anew;
    /// `None`: nothing changed. Bytes that are no UTF-8 are kept.
    pub fn with_addresses(&self, rewrite: &mut dyn FnMut(&str) -> Option<String>) -> Option<Vec<u8>> {
        let name = self.name_text();
        // The null address has no other form in a header.
        let rewrite: &mut dyn FnMut(&str) -> Option<String> =
            &mut |address| rewrite(address).map(|new| if new.is_empty() { "\"\"".to_owned() } else { new });
        if let Ok(value) = std::str::from_utf8(self.value) {
            let rewritten = mail_address::token::rewrite_header(&name, value, rewrite)?;
            return Some(format!("{name}: {rewritten}").into_bytes());
        }
        let latin1: String = self.value.iter().map(|&b| char::from(b)).collect();
        let rewritten = mail_address::token::rewrite_header(&name, &latin1, rewrite)?;
        let text = format!("{name}: {rewritten}");
        Some(text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect())
    }

    /// The name as text.
    #[must_use]
    pub fn name_text(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }
}

/// Whether a Content-Transfer-Encoding value says 8bit or binary.
#[must_use]
pub fn is_eight_bit_encoding(value: &[u8]) -> bool {
    crate::media::Encoding::parse(value).is_eight_bit()
}

/// Length of the header name at the start of a line; `None`: the line starts no header (RFC 5322 §2.2: printable ASCII
/// but the colon; blanks before the colon are tolerated).
#[must_use]
pub fn name_length(line: &[u8]) -> Option<usize> {
    let length = line.iter().position(|&b| !(33..=126).contains(&b) || b == b':').unwrap_or(line.len());
    let after = line.get(length..)?.iter().find(|&&b| b != b' ' && b != b'\t')?;
    (length > 0 && *after == b':').then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_are_told_from_others() {
        for (line, length) in [
            (&b"Subject: x"[..], Some(7)),
            (b"Subject : x", Some(7)),
            (b"Subject\t:", Some(7)),
            (b"Subject", None),
            (b"Foo Bar: x", None),
            (b": x", None),
            (b"", None),
            (b" x: y", None),
            (b"S\xe9: y", None),
        ] {
            assert_eq!(name_length(line), length, "{line:?}");
        }
    }

    #[test]
    fn a_header_is_split_and_known_in_any_case() {
        let header = Header::parse(b"message-ID:\n <a@b>").unwrap();
        assert_eq!(header.known, Some(Known::MessageId));
        assert_eq!(header.unfolded(), "<a@b>");
        assert_eq!(Known::ResentReplyTo.role(), Role::Recipient);
        assert!(Known::ResentReplyTo.is_resent() && !Known::To.is_resent());
    }
}
