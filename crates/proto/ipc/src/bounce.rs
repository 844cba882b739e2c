//! bounce, defer, trace: one program, three services.

use serde::{Deserialize, Serialize};

use crate::delivery::RecipientInfo;

/// Announced protocol name.
pub const PROTOCOL: &str = "delivery_status_protocol";

/// Values of `nrequest`.
pub mod command {
    /// Append to a log.
    pub const APPEND: i32 = 0;
    /// Send the notice, remove the log.
    pub const FLUSH: i32 = 1;
    /// Delay warning.
    pub const WARN: i32 = 2;
    /// As FLUSH, one notice a recipient.
    pub const VERP: i32 = 3;
    /// A notice for one recipient without a log.
    pub const ONE: i32 = 4;
    /// Delivery report.
    pub const TRACE: i32 = 5;
}

/// Request flags (besides [`crate::delivery::flags::TRACE_MASK`]).
pub mod flags {
    /// Remove the log on error.
    pub const CLEAN: i32 = 1;
    /// Mark recipients done through the logged offsets.
    pub const DELETE_RECIPIENTS: i32 = 2;
}

/// A delivery status as attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `D.S.N`.
    pub status: String,
    /// Diagnostic type.
    pub diag_type: String,
    /// Diagnostic text.
    pub diag_text: String,
    /// Remote MTA type.
    pub mta_type: String,
    /// Remote MTA name.
    pub mta_mname: String,
    /// Action.
    pub action: String,
    /// Reason.
    pub reason: String,
}

impl Status {
    /// From the story of a delivery attempt.
    #[must_use]
    pub fn new(detail: &mail_status::Detail, action: mail_status::Action) -> Self {
        let (diag_type, diag_text) = detail.diagnostic.clone().unwrap_or_default();
        let (mta_type, mta_mname) = detail.remote_mta.clone().unwrap_or_default();
        Self {
            status: detail.dsn.to_string(),
            diag_type,
            diag_text: crate::clean(&diag_text),
            mta_type,
            mta_mname,
            action: action.as_str().into(),
            reason: crate::clean(&detail.reason),
        }
    }

    /// The story back; a bad code becomes `default`.
    #[must_use]
    pub fn detail(&self, default: mail_status::Dsn) -> mail_status::Detail {
        let pair = |a: &String, b: &String| (!a.is_empty() && !b.is_empty()).then(|| (a.clone(), b.clone()));
        mail_status::Detail {
            dsn: self.status.parse().unwrap_or(default),
            reason: self.reason.clone(),
            diagnostic: pair(&self.diag_type, &self.diag_text),
            remote_mta: pair(&self.mta_type, &self.mta_mname),
        }
    }
}

/// APPEND.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// [`command::APPEND`].
    pub nrequest: i32,
    /// [`flags`].
    pub flags: i32,
    /// Queue ID.
    pub queue_id: String,
    /// Whose.
    pub recipient: RecipientInfo,
    /// What.
    pub status: Status,
}

/// The message that FLUSH, WARN, VERP, ONE and TRACE are about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageInfo {
    /// [`flags`].
    pub flags: i32,
    /// Queue of the message.
    pub queue_name: String,
    /// Queue ID.
    pub queue_id: String,
    /// `7bit`, `8bit` or empty.
    pub encoding: String,
    /// Send options.
    pub sendopts: u32,
    /// Sender, internal form.
    pub sender: String,
    /// ENVID.
    pub envelope_id: String,
    /// RET.
    pub ret_flags: i32,
}

/// FLUSH, WARN, TRACE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// [`command`].
    pub nrequest: i32,
    /// Which message.
    pub message: MessageInfo,
}

/// VERP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerpNotice {
    /// [`command::VERP`].
    pub nrequest: i32,
    /// Which message.
    pub message: MessageInfo,
    /// Two characters.
    pub verp_delimiters: String,
}

/// ONE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneNotice {
    /// [`command::ONE`].
    pub nrequest: i32,
    /// Which message.
    pub message: MessageInfo,
    /// Whose.
    pub recipient: RecipientInfo,
    /// What.
    pub status: Status,
}

/// Any request to this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// APPEND.
    Append(Append),
    /// FLUSH.
    Flush(MessageInfo),
    /// WARN.
    Warn(MessageInfo),
    /// VERP and its delimiters.
    Verp(MessageInfo, String),
    /// ONE.
    One(MessageInfo, RecipientInfo, Status),
    /// TRACE.
    Trace(MessageInfo),
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = AnyRequest::deserialize(deserializer)?;
        all.into_request().map_err(serde::de::Error::custom)
    }
}

/// All attributes that can follow `nrequest`, each optional: the command tells which must be there.
#[derive(Deserialize)]
struct AnyRequest {
    nrequest: i32,
    flags: i32,
    queue_name: Option<String>,
    queue_id: String,
    encoding: Option<String>,
    sendopts: Option<u32>,
    sender: Option<String>,
    envelope_id: Option<String>,
    ret_flags: Option<i32>,
    verp_delimiters: Option<String>,
    original_recipient: Option<String>,
    recipient: Option<String>,
    offset: Option<i64>,
    dsn_orig_rcpt: Option<String>,
    notify_flags: Option<u32>,
    status: Option<String>,
    diag_type: Option<String>,
    diag_text: Option<String>,
    mta_type: Option<String>,
    mta_mname: Option<String>,
    action: Option<String>,
    reason: Option<String>,
}

impl AnyRequest {
    fn into_request(self) -> Result<Request, String> {
        let nrequest = self.nrequest;
        let verp = self.verp_delimiters.clone();
        if nrequest == command::APPEND {
            let (flags, queue_id) = (self.flags, self.queue_id.clone());
            let (recipient, status) = self.recipient_and_status().ok_or("missing recipient or status")?;
            return Ok(Request::Append(Append { nrequest, flags, queue_id, recipient, status }));
        }
        let message = self.message().ok_or("missing message attribute")?;
        match nrequest {
            command::FLUSH => Ok(Request::Flush(message)),
            command::WARN => Ok(Request::Warn(message)),
            command::TRACE => Ok(Request::Trace(message)),
            command::VERP => Ok(Request::Verp(message, verp.ok_or("missing attribute verp_delimiters")?)),
            command::ONE => {
                let (recipient, status) = self.recipient_and_status().ok_or("missing recipient or status")?;
                Ok(Request::One(message, recipient, status))
            }
            other => Err(format!("unknown command: {other}")),
        }
    }

    fn message(&self) -> Option<MessageInfo> {
        Some(MessageInfo {
            flags: self.flags,
            queue_name: self.queue_name.clone()?,
            queue_id: self.queue_id.clone(),
            encoding: self.encoding.clone()?,
            sendopts: self.sendopts?,
            sender: self.sender.clone()?,
            envelope_id: self.envelope_id.clone()?,
            ret_flags: self.ret_flags?,
        })
    }

    fn recipient_and_status(self) -> Option<(RecipientInfo, Status)> {
        let recipient = RecipientInfo {
            original_recipient: self.original_recipient?,
            recipient: self.recipient?,
            offset: self.offset?,
            dsn_orig_rcpt: self.dsn_orig_rcpt?,
            notify_flags: self.notify_flags?,
        };
        let status = Status {
            status: self.status?,
            diag_type: self.diag_type?,
            diag_text: self.diag_text?,
            mta_type: self.mta_type?,
            mta_mname: self.mta_mname?,
            action: self.action?,
            reason: self.reason?,
        };
        Some((recipient, status))
    }
}
