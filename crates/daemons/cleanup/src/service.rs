//! The dialogue with one client: greeting, flags, records, reply.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use host_daemon::{Client, Error, FlowPipe, PoolService, Startup, Stream};
use host_spool::{DeliveryLog, Draft, Queue, Spool};
use mail_mime::Parser;
use mail_record::Kind;
use proto_ipc::Connection;
use proto_ipc::cleanup::{Greeting, Head, PROTOCOL, Reply, status};
use proto_ipc::trigger::Bell;

use crate::content::{is_content, without_stray_line_ends};
use crate::finish::Finished;
use crate::mapping::Mapper;
use crate::message::Message;
use crate::settings::{Settings, warn_of_missing_features};

/// How long a refused client may take to stop sending.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// The service.
pub(crate) struct Cleanup {
    settings: Settings,
    mapper: Mapper,
    spool: Spool,
    flow: FlowPipe,
    queue_manager: Bell,
}

/// Where in the stream a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    Envelope,
    Content,
    Extracted,
}

/// How a record stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamEnd {
    /// With its `E` record.
    Complete,
    /// With something that is no record.
    Malformed,
    /// The client is gone.
    Lost,
}

impl Cleanup {
    pub(crate) fn new(startup: &mut Startup) -> Result<Self, Error> {
        warn_of_missing_features(&startup.config)?;
        let settings = Settings::load(&startup.config)?;
        Ok(Self {
            queue_manager: Bell::new(settings.qmgr_socket.clone()),
            settings,
            mapper: Mapper::load(&startup.config)?,
            spool: Spool::open(&startup.config)?,
            flow: startup.flow.clone(),
        })
    }

    fn session(&self, stream: UnixStream) -> Result<(), proto_ipc::Error> {
        self.wait_for_token();
        let mut connection = Connection::from_stream(stream, self.settings.format);
        connection.set_timeout(self.settings.ipc_timeout)?;
        let draft = self.draft();
        let greeting = Greeting { protocol: PROTOCOL.to_owned(), queue_id: draft.id().to_string() };
        connection.send(&greeting)?;
        let mut message = Message::new(&self.settings, &self.mapper, draft);
        let head: Head = match connection.receive() {
            Ok(head) => head,
            Err(error) => {
                let finished = message.cancel();
                let _ = reply(&mut connection, &finished.reply);
                return if matches!(error, proto_ipc::Error::Closed) { Ok(()) } else { Err(error) };
            }
        };
        message.begin(head.flags);
        let finished = match self.records(&mut connection, &mut message) {
            StreamEnd::Complete => message.finish(),
            StreamEnd::Malformed => {
                reply(&mut connection, &message.cancel().reply)?;
                connection.set_timeout(DRAIN_TIME)?;
                return connection.wait_for_close();
            }
            StreamEnd::Lost => {
                message.cancel();
                return Ok(());
            }
        };
        self.wake_queue_manager(&finished);
        reply(&mut connection, &finished.reply)
    }

    /// Waits a little when mail arrives faster than it leaves (`postconf(5) in_flow_delay`).
    fn wait_for_token(&self) {
        if !self.settings.in_flow_delay.is_zero() && self.flow.take(1) == 0 {
            std::thread::sleep(self.settings.in_flow_delay);
        }
    }

    /// A new queue file; there is no service without one, so it is tried until there is.
    fn draft(&self) -> Draft {
        loop {
            match self.spool.draft(Queue::Incoming, 0) {
                Ok(draft) => {
                    self.remove_stale_logs(&draft);
                    return draft;
                }
                Err(error) => {
                    os_log::warning!("create queue file in incoming: {}", os_sys::error_text(&error));
                    std::thread::sleep(DRAIN_TIME);
                }
            }
        }
    }

    fn remove_stale_logs(&self, draft: &Draft) {
        for log in DeliveryLog::ALL {
            if matches!(self.spool.remove_log(log, draft.id()), Ok(true)) {
                os_log::warning!("{}: removed spurious {} log", log.name(), draft.id());
            }
        }
    }

    fn records(&self, connection: &mut Connection, message: &mut Message<'_>) -> StreamEnd {
        let mut segment = Segment::Envelope;
        let mut parser = Parser::new(self.settings.mime);
        let result = connection.each_record(&mut |kind, data| match segment {
            Segment::Envelope => {
                if kind == Kind::End {
                    message.envelope_record(kind, data);
                    return false;
                }
                if message.envelope_record(kind, data) {
                    segment = Segment::Content;
                }
                true
            }
            Segment::Content => {
                if is_content(kind) {
                    self.content(message, &mut parser, kind, data);
                    return true;
                }
                parser.finish(message);
                message.end_content(kind);
                segment = Segment::Extracted;
                kind != Kind::End
            }
            Segment::Extracted => !message.extracted_record(kind, data),
        });
        match result {
            Ok(true) => StreamEnd::Complete,
            Ok(false) => StreamEnd::Lost,
            Err(proto_ipc::Error::Malformed(text)) => {
                os_log::warning!("{}: message rejected: {text}", message.id);
                StreamEnd::Malformed
            }
            Err(_) => StreamEnd::Lost,
        }
    }

    fn content(&self, message: &mut Message<'_>, parser: &mut Parser, kind: Kind, data: &[u8]) {
        let terminated = kind == Kind::Line;
        if self.settings.replace_stray_cr_lf
            && let Some(clean) = without_stray_line_ends(data)
        {
            return parser.feed(terminated, &clean, message);
        }
        parser.feed(terminated, data, message);
    }

    fn wake_queue_manager(&self, finished: &Finished) {
        if finished.held {
            self.flow.put(1);
        }
        if let Some(id) = &finished.queued
            && let Err(error) = self.queue_manager.ring(id, b"W")
        {
            os_log::warning!(
                "unable to look up {}: {}",
                self.queue_manager.path().display(),
                os_sys::error_text(&error)
            );
        }
    }
}

impl PoolService for Cleanup {
    fn serve(&self, client: Client) {
        let Stream::Unix(stream) = client.stream else {
            return os_log::warning!("a client is not on a UNIX-domain socket");
        };
        if let Err(error) = self.session(stream) {
            os_log::warning!("cleanup socket: {error}");
        }
    }

    fn tables_changed(&self) -> Option<String> {
        self.mapper.changed()
    }
}

fn reply(connection: &mut Connection, reply: &Reply) -> Result<(), proto_ipc::Error> {
    debug_assert!(reply.status >= 0 && reply.status < status::BARE_LF);
    connection.send(reply)?;
    connection.flush()
}
