//! Probe messages: mail that the delivery agents try without delivering it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host_config::{Config, ConfigError, param};
use mail_record::Kind;
use proto_ipc::cleanup::{Greeting, Head, PROTOCOL, Reply, flags};
use proto_ipc::{Connection, Error, Format};

/// Probes on their way to cleanup at a time; others are tried again by a later query.
const LIMIT: usize = 20;
/// Trace flag: a probe of the mail system itself.
const MTA_VERIFY: &str = "256";

/// Submits probes.
pub(crate) struct Prober {
    cleanup: PathBuf,
    timeout: Duration,
    format: Format,
    /// Without stamp.
    sender: String,
    /// `address_verify_sender_ttl`; zero: no stamps.
    ttl: Duration,
    myhostname: String,
    mail_name: String,
    running: AtomicUsize,
}

impl Prober {
    pub fn new(config: &Config, format: Format) -> Result<Self, ConfigError> {
        let sender = config.str(param::ADDRESS_VERIFY_SENDER)?;
        let sender = match sender.as_str() {
            "" | "<>" => String::new(),
            name if name.contains('@') => name.to_owned(),
            name => format!("{name}@{}", config.str(param::MYORIGIN)?),
        };
        Ok(Self {
            cleanup: Path::new("public").join(config.str(param::CLEANUP_SERVICE_NAME)?),
            timeout: config.time(param::IPC_TIMEOUT)?,
            format,
            sender,
            ttl: config.time(param::ADDRESS_VERIFY_SENDER_TTL)?,
            myhostname: config.str(param::MYHOSTNAME)?,
            mail_name: config.str(param::MAIL_NAME)?,
            running: AtomicUsize::new(0),
        })
    }

    /// Sends a probe from a thread of its own.
    pub fn start(prober: &Arc<Self>, address: String) {
        if prober.running.fetch_add(1, Ordering::Relaxed) >= LIMIT {
            prober.running.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let own = Arc::clone(prober);
        let started = std::thread::Builder::new().name("probe".into()).spawn(move || {
            if let Err(error) = own.send(&address) {
                os_log::warning!(
                    "address verification probe for {}: {error}",
                    mail_address::to_external(&address)
                );
            }
            own.running.fetch_sub(1, Ordering::Relaxed);
        });
        if started.is_err() {
            prober.running.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn send(&self, address: &str) -> Result<(), Error> {
        let mut cleanup = Connection::connect(&self.cleanup, self.format, self.timeout)?;
        let greeting: Greeting = cleanup.receive()?;
        if greeting.protocol != PROTOCOL {
            return Err(Error::Malformed(format!("protocol {}", proto_ipc::clean(&greeting.protocol))));
        }
        cleanup.send(&Head { flags: flags::MAP | flags::AUTOUTF8 })?;
        let now = os_sys::time::now();
        let period = mail_address::probe::period(now.as_secs(), self.ttl.as_secs());
        let sender = mail_address::probe::stamped(&self.sender, period);
        cleanup.put_record(Kind::Time, format!("{} {:06}", now.as_secs(), now.subsec_micros()).as_bytes())?;
        cleanup.put_record(Kind::Attribute, b"log_message_origin=local")?;
        cleanup.put_record(Kind::Attribute, format!("trace_flags={MTA_VERIFY}").as_bytes())?;
        cleanup.put_record(Kind::Sender, sender.as_bytes())?;
        cleanup.put_record(Kind::Recipient, address.as_bytes())?;
        cleanup.put_record(Kind::Message, b"")?;
        for line in self.header(&greeting.queue_id) {
            cleanup.put_record(Kind::Line, line.as_bytes())?;
        }
        cleanup.put_record(Kind::Extracted, b"")?;
        cleanup.put_record(Kind::End, b"")?;
        cleanup.flush()?;
        let reply: Reply = cleanup.receive()?;
        if reply.status != 0 {
            return Err(Error::Malformed(format!("cleanup status {}", reply.status)));
        }
        Ok(())
    }

    /// The least that a message has; cleanup adds the rest.
    fn header(&self, queue_id: &str) -> Vec<String> {
        let local = os_sys::time::local(i64::try_from(os_sys::time::now().as_secs()).unwrap_or(0));
        let date = mail_text::date::LocalTime {
            year: local.year,
            month: local.month,
            day: local.day,
            weekday: local.weekday,
            hour: local.hour,
            minute: local.minute,
            second: local.second,
            offset_seconds: local.offset_seconds,
            zone: local.zone,
        }
        .header();
        vec![
            format!("Received: by {} ({})", self.myhostname, self.mail_name),
            format!("\tid {queue_id}; {date}"),
            format!("Date: {date}"),
        ]
    }
}
