//! The dialogue with the queue manager.

use std::io::ErrorKind;
use std::sync::Arc;

use host_daemon::{Client, PoolService, Spec, Stream};
use host_spool::{Queue, is_ready};
use mail_record::QueueId;
use proto_ipc::delivery::{DeliveryReply, DeliveryRequest, MessageStats, PROTOCOL, RecipientInfo, Stamp};
use proto_ipc::{Connection, Error};

use crate::{Context, Job};

/// What every delivery agent announces; agents take it as the base of their own constant.
pub const SPEC: Spec = Spec { announce: Some(PROTOCOL), ..Spec::new("agent") };

/// Recipients of one request at the most.
const RECIPIENT_LIMIT: i32 = 10_000;
/// Requests on one connection at the most, so that a busy process ends some day (`max_use` counts connections).
const REQUEST_LIMIT: usize = 100;

/// A delivery agent that may serve several requests at a time.
pub trait Agent: Send + Sync {
    /// Delivers: each recipient of the job is finished, or noted as remaining, when this returns.
    fn deliver(&self, job: &mut Job);

    /// Name of a table that has changed on disk.
    fn tables_changed(&self) -> Option<String> {
        None
    }
}

/// An [`Agent`] as a service of the pool loop.
#[derive(Debug)]
pub struct AgentService<A> {
    /// Settings and services.
    pub context: Arc<Context>,
    /// The agent.
    pub agent: A,
}

impl<A: Agent> PoolService for AgentService<A> {
    fn serve(&self, client: Client) {
        let more = || self.agent.tables_changed().is_none();
        serve_kept(&self.context, client, &mut |job| self.agent.deliver(job), &more);
    }

    fn tables_changed(&self) -> Option<String> {
        self.agent.tables_changed()
    }
}

/// Serves one queue manager connection: one request, one reply.
pub fn serve(context: &Arc<Context>, client: Client, deliver: &mut dyn FnMut(&mut Job)) {
    serve_kept(context, client, deliver, &|| false);
}

/// Serves one queue manager connection, and announces itself again after each reply as long as `more` says so: our queue
/// manager then sends the next request on the same connection, the reference's closes it.
pub fn serve_kept(
    context: &Arc<Context>,
    client: Client,
    deliver: &mut dyn FnMut(&mut Job),
    more: &dyn Fn() -> bool,
) {
    let Stream::Unix(stream) = client.stream else {
        os_log::warning!("delivery request on a network socket");
        return;
    };
    let mut session = client.session;
    let mut connection = Connection::from_stream(stream, context.format);
    let mut dialogue = || -> Result<(), Error> {
        connection.set_timeout(context.ipc_timeout)?;
        for _ in 1..REQUEST_LIMIT {
            serve_request(context, &mut connection, deliver)?;
            if !more() {
                return connection.wait_for_close();
            }
            connection.announce(PROTOCOL)?;
            connection.flush()?;
            if !session.wait_for_request(connection.stream())? {
                return Ok(());
            }
        }
        serve_request(context, &mut connection, deliver)?;
        connection.wait_for_close()
    };
    match dialogue() {
        // The queue manager connects ahead of time and may leave without a request; one that is told to end (reload) does
        // not wait for replies: what was delivered is marked in the queue file.
        Ok(()) | Err(Error::Closed) => {}
        Err(Error::Io(error))
            if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
        Err(error) => os_log::warning!("delivery request: {error}"),
    }
}

/// One request and its reply (buffered), after the announcement.
fn serve_request(
    context: &Arc<Context>,
    connection: &mut Connection,
    deliver: &mut dyn FnMut(&mut Job),
) -> Result<(), Error> {
    let reply = match read_request(connection) {
        Err(error @ (Error::Malformed(_) | Error::TooLarge)) => {
            os_log::warning!("malformed delivery request: {error}");
            connection.send(&DeliveryReply { status: -1, ..DeliveryReply::default() })?;
            connection.wait_for_close()?;
            return Err(Error::Closed);
        }
        Err(error) => return Err(error),
        Ok((request, recipients)) => perform(context, request, recipients, deliver),
    };
    connection.send(&reply)
}

fn read_request(connection: &mut Connection) -> Result<(DeliveryRequest, Vec<RecipientInfo>), Error> {
    let request: DeliveryRequest = connection.receive()?;
    if !(1..=RECIPIENT_LIMIT).contains(&request.recipient_count) {
        return Err(Error::Malformed(format!("recipient count {}", request.recipient_count)));
    }
    let mut recipients = Vec::new();
    for _ in 0..request.recipient_count {
        recipients.push(connection.receive()?);
    }
    Ok((request, recipients))
}

fn perform(
    context: &Arc<Context>,
    request: DeliveryRequest,
    recipients: Vec<RecipientInfo>,
    deliver: &mut dyn FnMut(&mut Job),
) -> DeliveryReply {
    match open_job(context, request, recipients) {
        Err(why) => {
            os_log::warning!("{why}");
            DeliveryReply { status: -1, ..DeliveryReply::default() }
        }
        Ok(mut job) => {
            deliver(&mut job);
            job.reply()
        }
    }
}

fn open_job(
    context: &Arc<Context>,
    request: DeliveryRequest,
    recipients: Vec<RecipientInfo>,
) -> Result<Job, String> {
    let id = QueueId::parse(&request.queue_id).map_err(|_| format!("bad queue id: {}", request.queue_id))?;
    let queue = Queue::ALL.into_iter().find(|q| q.name() == request.queue_name);
    let queue = queue.ok_or_else(|| format!("{id}: bad queue name: {}", request.queue_name))?;
    let mut stats = MessageStats::from_data(&request.time).ok_or_else(|| format!("{id}: bad time stamps"))?;
    if stats.agent_handoff.is_unset() {
        stats.agent_handoff = Stamp::from_duration(os_sys::time::now());
    }
    let file = context
        .spool
        .open_file(queue, &id)
        .map_err(|error| format!("open {} {id}: {error}", queue.name()))?;
    let metadata = file.metadata_at_open().map_err(|error| format!("{id}: {error}"))?;
    if !is_ready(&metadata) {
        return Err(format!("{id}: queue file is not ready"));
    }
    match file.lock_shared_nb() {
        Ok(true) => Ok(Job::new(Arc::clone(context), request, recipients, stats, file)),
        Ok(false) => Err(format!("{id}: queue file is locked")),
        Err(error) => Err(format!("{id}: lock queue file: {error}")),
    }
}
