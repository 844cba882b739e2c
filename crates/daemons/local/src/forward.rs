//! Hands recipients back to the queue, as new messages.

use engine_expand::Deed;
use host_delivery::{Disposition, RecipientInfo, envelope};
use mail_record::{Kind, SendOptions};
use mail_status::{Action, Detail, Dsn, Notify, Outcome};
use proto_ipc::cleanup::{self, Greeting, Head};
use proto_ipc::{Connection, Error};

use crate::state::State;
use crate::trip::Trip;

/// Recipients to hand back: a message for each `Delivered-To:` and sender.
#[derive(Debug, Default)]
pub(crate) struct Forwards(Vec<Forward>);

#[derive(Debug)]
struct Forward {
    delivered: String,
    sender: String,
    recipients: Vec<RecipientInfo>,
}

impl Trip<'_> {
    /// Notes the address at hand for a new message.
    pub(crate) fn indirect(&mut self, state: &State) -> Disposition {
        let folded = mail_address::fold(&state.recipient.recipient);
        if self.done.seen(Deed::Indirect(folded)) {
            return Disposition::Finished;
        }
        if self.job.is_probe() {
            return self.sent(state, format!("forwards to {}", state.recipient.recipient));
        }
        let delivered = mail_address::fold(&state.delivered);
        let same = |forward: &&mut Forward| forward.delivered == delivered && forward.sender == state.sender;
        match self.forwards.0.iter_mut().find(same) {
            Some(forward) => forward.recipients.push(state.recipient.clone()),
            None => self.forwards.0.push(Forward {
                delivered,
                sender: state.sender.clone(),
                recipients: vec![state.recipient.clone()],
            }),
        }
        Disposition::Finished
    }

    /// Posts the new messages. Each gets a line in the log.
    pub(crate) fn hand_back(&mut self) -> Disposition {
        let mut all = Disposition::Finished;
        for forward in std::mem::take(&mut self.forwards.0) {
            let outcome = match self.post(&forward) {
                Ok(id) => Outcome::Sent(Detail::new(Dsn::new(2, 0, 0), format!("forwarded as {id}"))),
                Err(error) => {
                    os_log::warning!("{}: unable to forward message: {error}", self.queue_id());
                    Outcome::Deferred(Detail::new(Dsn::new(4, 3, 0), "unable to forward message"))
                }
            };
            let mut top = self.top.clone();
            // The expansion has told who asked to hear of success.
            let told = !forward.recipients.iter().any(|r| Notify(r.notify_flags).has(Notify::SUCCESS));
            if told && matches!(outcome, Outcome::Sent(_)) {
                top.notify_flags &= !Notify::SUCCESS;
            }
            if self.job.report_as(&top, &self.via, &outcome, Action::Relayed) == Disposition::Remains {
                all = Disposition::Remains;
            }
        }
        all
    }

    fn post(&mut self, forward: &Forward) -> Result<String, Error> {
        let context = &self.agent.context;
        let mut cleanup = Connection::connect(&context.cleanup_service, context.format, context.ipc_timeout)?;
        let greeting: Greeting = cleanup.receive()?;
        let options = self.job.request.sendopts;
        let mut flags = cleanup::flags::BOUNCE | cleanup::flags::MAP;
        if options & SendOptions::UTF8_REQUESTED != 0 {
            flags |= cleanup::flags::SMTPUTF8 | cleanup::flags::AUTOUTF8;
        }
        cleanup.send(&Head { flags })?;
        self.put_envelope(&mut cleanup, forward)?;
        cleanup.put_record(Kind::Message, b"")?;
        self.put_content(&mut cleanup, forward, &greeting.queue_id)?;
        cleanup.put_record(Kind::Extracted, b"")?;
        cleanup.put_record(Kind::End, b"")?;
        let reply: cleanup::Reply = cleanup.receive()?;
        if reply.status != 0 {
            return Err(Error::Malformed(format!("cleanup status {} {}", reply.status, reply.reason)));
        }
        Ok(greeting.queue_id)
    }

    fn put_envelope(&self, cleanup: &mut Connection, forward: &Forward) -> Result<(), Error> {
        let request = &self.job.request;
        let arrival = self.job.stats.incoming_arrival;
        let attribute = |cleanup: &mut Connection, name: &str, value: &str| -> Result<(), Error> {
            if value.is_empty() {
                return Ok(());
            }
            cleanup.put_record(Kind::Attribute, format!("{name}={value}").as_bytes())
        };
        cleanup.put_record(Kind::Time, format!("{} {}", arrival.seconds, arrival.microseconds).as_bytes())?;
        cleanup.put_record(Kind::Sender, forward.sender.as_bytes())?;
        if request.ret_flags != 0 {
            attribute(cleanup, "ret_flags", &request.ret_flags.to_string())?;
        }
        attribute(cleanup, "envelope_id", &request.envelope_id)?;
        for (name, value) in [
            ("log_client_name", &request.log_client_name),
            ("log_client_address", &request.log_client_address),
            ("log_protocol_name", &request.log_protocol_name),
            ("log_helo_name", &request.log_helo_name),
            ("sasl_method", &request.sasl_method),
            ("sasl_username", &request.sasl_username),
            ("sasl_sender", &request.sasl_sender),
            ("log_ident", &request.log_ident),
            ("rewrite_context", &request.rewrite_context),
        ] {
            attribute(cleanup, name, value)?;
        }
        for recipient in &forward.recipients {
            attribute(cleanup, "dsn_orig_rcpt", &recipient.dsn_orig_rcpt)?;
            if recipient.notify_flags != 0 {
                attribute(cleanup, "notify_flags", &recipient.notify_flags.to_string())?;
            }
            if !recipient.original_recipient.is_empty() {
                cleanup.put_record(Kind::OriginalRecipient, recipient.original_recipient.as_bytes())?;
            }
            cleanup.put_record(Kind::Recipient, recipient.recipient.as_bytes())?;
        }
        Ok(())
    }

    fn put_content(&mut self, cleanup: &mut Connection, forward: &Forward, id: &str) -> Result<(), Error> {
        let context = &self.agent.context;
        let date = envelope::local_time(os_sys::time::now()).header();
        let received = format!("Received: by {} ({})", context.myhostname, context.mail_name);
        cleanup.put_record(Kind::Line, received.as_bytes())?;
        cleanup.put_record(Kind::Line, format!("\tid {id}; {date}").as_bytes())?;
        if self.agent.settings.prepend.forward {
            cleanup.put_record(Kind::Line, envelope::delivered_to(&forward.delivered).as_bytes())?;
        }
        let offset = self.job.data_offset();
        let mut corrupt = None;
        {
            let mut lines = self.job.message.content_lines(offset);
            loop {
                match lines.next_line() {
                    Ok(Some(line)) => {
                        let kind = if line.terminated { Kind::Line } else { Kind::FilterOrText };
                        cleanup.put_record(kind, line.bytes)?;
                    }
                    Ok(None) => break,
                    Err(error) => {
                        corrupt = Some(error);
                        break;
                    }
                }
            }
        }
        match corrupt {
            None => Ok(()),
            Some(error) => {
                if error.is_corrupt() {
                    self.job.mark_corrupt(&error.to_string());
                }
                Err(Error::Malformed(format!("read message: {error}")))
            }
        }
    }
}
