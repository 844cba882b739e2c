//! What MAIL and RCPT say.

use super::Reply;

/// `BODY=` of MAIL (RFC 6152).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `7BIT`
    SevenBit,
    /// `8BITMIME`
    EightBit,
}

impl Encoding {
    /// The value of the queue file's `encoding` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SevenBit => "7bit",
            Self::EightBit => "8bit",
        }
    }
}

/// `RET=` of MAIL (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// `FULL`
    Full,
    /// `HDRS`
    Headers,
}

/// A MAIL command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailCommand {
    /// Sender in internal form; empty for `<>`.
    pub sender: String,
    /// `BODY=`.
    pub encoding: Option<Encoding>,
    /// `SMTPUTF8`.
    pub smtputf8: bool,
    /// `AUTH=`, unless `<>`.
    pub auth: Option<String>,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `ENVID=`, decoded.
    pub envelope_id: Option<String>,
    /// `XVERP`: the two delimiters.
    pub verp: Option<String>,
    /// What is wrong with the command, if anything; said when the rate limits have been asked.
    pub fault: Option<Reply>,
}

/// A RCPT command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RcptCommand {
    /// Recipient in internal form.
    pub recipient: String,
    /// `NOTIFY=` flags; 0 when not given.
    pub notify: u32,
    /// `ORCPT=` as `type;address`, decoded.
    pub original: Option<String>,
    /// As in [`MailCommand`].
    pub fault: Option<Reply>,
}

/// A mail transaction: there is one from an accepted MAIL on.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// What MAIL said.
    pub mail: MailCommand,
    /// `SIZE=` of MAIL, or 0.
    pub declared_size: u64,
    /// Accepted recipients.
    pub recipients: u32,
    /// The recipient, when there is exactly one (internal form).
    pub only_recipient: Option<String>,
    /// Queue ID, from the first accepted recipient on.
    pub queue_id: Option<String>,
    /// Refusals for too many recipients.
    pub(crate) overshoot: u32,
    /// Content has begun to arrive by BDAT.
    pub(crate) bdat: Bdat,
}

/// Progress of BDAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bdat {
    /// No chunk yet.
    None,
    /// Chunks are being accepted.
    Running,
}

impl Transaction {
    pub(crate) fn new(mail: MailCommand, declared_size: u64) -> Self {
        Self {
            mail,
            declared_size,
            recipients: 0,
            only_recipient: None,
            queue_id: None,
            overshoot: 0,
            bdat: Bdat::None,
        }
    }
}
