//! Talking to the bounce, trace and verify services: what cleanup returns itself (client flag 1), and reports of expansions.

use std::path::Path;

use mail_address::to_external;
use mail_status::{Action, Detail};
use proto_ipc::bounce::{self, Append, MessageInfo, Notice, Status, command};
use proto_ipc::delivery::{RecipientInfo, flags as delivery_flags};
use proto_ipc::{Connection, Error, StatusReply, verify};

use crate::message::{Message, Written};

impl Message<'_> {
    /// Appends one entry to a delivery log.
    pub(crate) fn append(
        &self,
        socket: &Path,
        recipient: RecipientInfo,
        detail: &Detail,
        action: Action,
    ) -> Result<(), Error> {
        let request = Append {
            nrequest: command::APPEND,
            flags: self.trace_flags & delivery_flags::TRACE_MASK,
            queue_id: self.id.clone(),
            recipient,
            status: Status::new(detail, action),
        };
        self.ask(socket, &request)
    }

    fn ask<T: serde::Serialize>(&self, socket: &Path, request: &T) -> Result<(), Error> {
        let mut connection = Connection::connect(socket, self.settings.format, self.settings.ipc_timeout)?;
        connection.expect_announcement(bounce::PROTOCOL)?;
        connection.send(request)?;
        match connection.receive::<StatusReply>()?.status {
            0 => Ok(()),
            other => Err(Error::Malformed(format!("status {other}"))),
        }
    }

    /// Returns the message to its sender: an entry for each recipient, then the notice.
    pub(crate) fn return_to_sender(&self, recipients: &[Written], detail: &Detail) -> Result<(), Error> {
        let socket = &self.settings.bounce_socket;
        for recipient in recipients {
            let info = RecipientInfo {
                original_recipient: recipient.original.clone(),
                recipient: recipient.recipient.clone(),
                offset: recipient.offset,
                dsn_orig_rcpt: recipient.dsn_original.clone(),
                notify_flags: recipient.notify,
            };
            self.append(socket, info, detail, Action::Failed)?;
            self.log_delivery(&recipient.recipient, &recipient.original, detail, "bounced");
        }
        let message = MessageInfo {
            flags: bounce::flags::CLEAN,
            queue_name: "incoming".to_owned(),
            queue_id: self.id.clone(),
            encoding: self.encoding.clone().unwrap_or_default(),
            sendopts: self.send_options,
            sender: self.sender.clone().unwrap_or_default(),
            envelope_id: self.envelope_id.clone(),
            ret_flags: self.return_flags,
        };
        self.ask(socket, &Notice { nrequest: command::FLUSH, message })
    }

    /// The delivery line of a recipient that no agent will see.
    pub(crate) fn log_delivery(&self, recipient: &str, original: &str, detail: &Detail, status: &str) {
        let original = if original.is_empty() || original.eq_ignore_ascii_case(recipient) {
            String::new()
        } else {
            format!(", orig_to=<{}>", to_external(original))
        };
        let arrival = self.arrival.map_or(0, |(s, us)| s.saturating_mul(1_000_000).saturating_add(us));
        let now = i64::try_from(os_sys::time::now().as_micros()).unwrap_or(i64::MAX);
        let delay = host_delivery::format_delay((now - arrival).max(0), self.settings.delay_resolution);
        os_log::info!(
            "{}: to=<{}>{original}, relay=none, delay={delay}, delays={delay}/0/0/0, dsn={}, status={status} ({})",
            self.id,
            to_external(recipient),
            detail.dsn,
            detail.reason
        );
    }

    /// Tells the verify service the result of a probe.
    pub(crate) fn update_verify(&self, recipient: &RecipientInfo, detail: &Detail) -> Result<(), Error> {
        let settings = self.settings;
        let mut connection =
            Connection::connect(&settings.verify_socket, settings.format, settings.ipc_timeout)?;
        connection.expect_announcement(verify::PROTOCOL)?;
        let mut addresses = vec![&recipient.original_recipient];
        if !recipient.original_recipient.eq_ignore_ascii_case(&recipient.recipient) {
            addresses.push(&recipient.recipient);
        }
        for address in addresses {
            connection.send(&verify::Update {
                request: "update".to_owned(),
                address: address.clone(),
                recipient_status: verify::OK,
                reason: detail.reason.clone(),
            })?;
            connection.receive::<StatusReply>()?;
        }
        Ok(())
    }
}
