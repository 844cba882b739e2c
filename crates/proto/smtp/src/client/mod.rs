//! The client side of SMTP and LMTP: replies, capabilities, commands. No IO.

mod command;
mod features;
mod reply;

pub use command::{MailParameters, RecipientParameters, mail_command, rcpt_command};
pub use features::{Features, XforwardSupport};
pub use reply::{MalformedReply, Reply, ReplyReader};
