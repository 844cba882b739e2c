//! Delivery requests: queue manager to delivery agent.

use serde::{Deserialize, Serialize};

use crate::Data;

/// Announced protocol name.
pub const PROTOCOL: &str = "delivery_request_protocol";

/// Request flags.
pub mod flags {
    /// Mark done recipients in the queue file.
    pub const SUCCESS: i32 = 1;
    /// Bounce undeliverable recipients.
    pub const BOUNCE: i32 = 2;
    /// Address verification probe.
    pub const MTA_VERIFY: i32 = 256;
    /// `sendmail -bv`.
    pub const USER_VERIFY: i32 = 512;
    /// `sendmail -v`.
    pub const RECORD: i32 = 1024;
    /// Connection cache: look up.
    pub const CACHE_LOAD: i32 = 2048;
    /// Connection cache: save.
    pub const CACHE_STORE: i32 = 4096;
    /// A delay notice was sent.
    pub const DELAY_SENT: i32 = 8192;
    /// Flags that also travel to bounce, defer and trace.
    pub const TRACE_MASK: i32 = 9984;
}

/// Everything but the recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRequest {
    /// [`flags`].
    pub flags: i32,
    /// `active`.
    pub queue_name: String,
    /// Queue ID.
    pub queue_id: String,
    /// Offset of the first content record.
    pub offset: i64,
    /// Content size in bytes.
    pub size: i64,
    /// Next hop.
    pub nexthop: String,
    /// `7bit`, `8bit` or empty.
    pub encoding: String,
    /// [`mail_record::SendOptions`] bits (`smtputf8` in the 3.7 dialect).
    pub sendopts: u32,
    /// Sender, internal form.
    pub sender: String,
    /// ENVID, decoded.
    pub envelope_id: String,
    /// RET: 1 FULL, 2 HDRS.
    pub ret_flags: i32,
    /// [`MessageStats`] as bytes.
    pub time: Data,
    /// Client name for logs and XFORWARD.
    pub log_client_name: String,
    /// Client address.
    pub log_client_address: String,
    /// Client port.
    pub log_client_port: String,
    /// Protocol name.
    pub log_protocol_name: String,
    /// HELO name.
    pub log_helo_name: String,
    /// SASL method.
    pub sasl_method: String,
    /// SASL user.
    pub sasl_username: String,
    /// SASL sender.
    pub sasl_sender: String,
    /// Queue ID of the first host.
    pub log_ident: String,
    /// `local` or `remote`.
    pub rewrite_context: String,
    /// Recipient lists that follow.
    pub recipient_count: i32,
}

/// One recipient of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientInfo {
    /// Address before cleanup's rewriting, or empty.
    pub original_recipient: String,
    /// Address, internal form.
    pub recipient: String,
    /// Offset of its R record; −1: nothing to mark.
    pub offset: i64,
    /// `type;address` or empty.
    pub dsn_orig_rcpt: String,
    /// [`mail_status::Notify`].
    pub notify_flags: u32,
}

/// An agent's reply. All strings are empty unless the destination as a whole is unusable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryReply {
    /// `D.S.N` or empty.
    #[serde(rename = "status")]
    pub hop_status: String,
    /// Diagnostic type.
    pub diag_type: String,
    /// Diagnostic text.
    pub diag_text: String,
    /// Remote MTA type.
    pub mta_type: String,
    /// Remote MTA name.
    pub mta_mname: String,
    /// Action, unused.
    pub action: String,
    /// Why the destination is unusable, or empty.
    pub reason: String,
    /// 0: every recipient is finished; else some remain.
    #[serde(rename(serialize = "status", deserialize = "status "))]
    pub status: i32,
}

/// A time stamp; zero: unset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Seconds since the epoch.
    pub seconds: i64,
    /// Microseconds.
    pub microseconds: i64,
}

impl Stamp {
    /// From a duration since the epoch.
    #[must_use]
    pub fn from_duration(time: std::time::Duration) -> Self {
        Self { seconds: time.as_secs().cast_signed(), microseconds: i64::from(time.subsec_micros()) }
    }
    /// Never set.
    #[must_use]
    pub const fn is_unset(self) -> bool {
        self.seconds == 0 && self.microseconds == 0
    }
}

/// The stages of a delivery (`MSG_STATS`): a native structure of 88 bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageStats {
    /// T record.
    pub incoming_arrival: Stamp,
    /// Moved to active.
    pub active_arrival: Stamp,
    /// Given to an agent.
    pub agent_handoff: Stamp,
    /// Connection ready.
    pub conn_setup_done: Stamp,
    /// Delivered.
    pub deliver_done: Stamp,
    /// Reuses of the connection.
    pub reuse_count: i32,
}

impl MessageStats {
    /// Bytes of the native structure.
    pub const LENGTH: usize = 88;

    /// The native structure.
    #[must_use]
    pub fn to_data(self) -> Data {
        let mut out = Vec::with_capacity(Self::LENGTH);
        for stamp in [
            self.incoming_arrival,
            self.active_arrival,
            self.agent_handoff,
            self.conn_setup_done,
            self.deliver_done,
        ] {
            out.extend_from_slice(&stamp.seconds.to_ne_bytes());
            out.extend_from_slice(&stamp.microseconds.to_ne_bytes());
        }
        out.extend_from_slice(&self.reuse_count.to_ne_bytes());
        out.resize(Self::LENGTH, 0);
        Data(out)
    }

    /// Reads the native structure; `None` for another size.
    #[must_use]
    pub fn from_data(data: &Data) -> Option<Self> {
        if data.0.len() != Self::LENGTH {
            return None;
        }
        let word = |i: usize| -> Option<i64> {
            Some(i64::from_ne_bytes(data.0.get(i * 8..i * 8 + 8)?.try_into().ok()?))
        };
        let stamp = |i: usize| Some(Stamp { seconds: word(2 * i)?, microseconds: word(2 * i + 1)? });
        Some(Self {
            incoming_arrival: stamp(0)?,
            active_arrival: stamp(1)?,
            agent_handoff: stamp(2)?,
            conn_setup_done: stamp(3)?,
            deliver_done: stamp(4)?,
            reuse_count: i32::from_ne_bytes(data.0.get(80..84)?.try_into().ok()?),
        })
    }
}
