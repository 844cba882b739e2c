//! Hands one recipient to another transport: this agent acts as a queue manager for it (`mailbox_transport`,
//! `fallback_transport`).

use std::path::Path;

use mail_address::to_external;
use mail_status::{Detail, Dsn, Outcome};
use proto_ipc::delivery::{DeliveryReply, DeliveryRequest, PROTOCOL, RecipientInfo};
use proto_ipc::{Connection, Error};

use crate::{Disposition, Job, Via};

impl Job {
    /// Passes a recipient to `transport` (`transport` or `transport:nexthop`; without a next hop, `default_nexthop`).
    /// The other agent does all accounting, marking included.
    pub fn pass(&mut self, transport: &str, default_nexthop: &str, recipient: &RecipientInfo) -> Disposition {
        let (service, nexthop) = transport.split_once(':').unwrap_or((transport, ""));
        let nexthop = if nexthop.is_empty() { default_nexthop } else { nexthop };
        os_log::info!(
            "{}: passing <{}> to transport={service}",
            self.request.queue_id,
            to_external(&recipient.recipient)
        );
        match self.pass_request(service, nexthop, recipient) {
            Ok(reply) if reply.status == 0 => Disposition::Finished,
            Ok(_) => {
                self.note_remaining();
                Disposition::Remains
            }
            Err(error) => {
                os_log::warning!("connect to transport private/{service}: {error}");
                let detail = Detail::new(Dsn::new(4, 3, 0), "mail transport unavailable");
                let disposition = self.report(recipient, &Via::none(), &Outcome::Deferred(detail));
                self.note_remaining();
                disposition
            }
        }
    }

    fn pass_request(
        &self,
        service: &str,
        nexthop: &str,
        recipient: &RecipientInfo,
    ) -> Result<DeliveryReply, Error> {
        // A service name is one path component of the socket directory.
        if service.is_empty() || service.contains('/') {
            return Err(Error::Malformed(format!("bad transport name: {service}")));
        }
        let path = Path::new("private").join(service);
        let mut connection = Connection::connect(&path, self.context.format, self.context.ipc_timeout)?;
        connection.expect_announcement(PROTOCOL)?;
        connection.send(&DeliveryRequest {
            nexthop: nexthop.to_owned(),
            time: self.stats.to_data(),
            recipient_count: 1,
            ..self.request.clone()
        })?;
        connection.send(recipient)?;
        connection.receive()
    }
}
