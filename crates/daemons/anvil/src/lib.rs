//! Counts client connections and requests (`anvil(8)`).

mod counters;

use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use host_config::param;
use host_daemon::{Client, Error, PoolService, ProcessLimit, Spec, Startup, Stream};
use proto_ipc::anvil::{ConnectReply, PROTOCOL, Query, RateReply};
use proto_ipc::{Connection, Format, StatusReply};

use counters::{Connections, Counters, Event};

const SPEC: Spec = Spec {
    process_limit: ProcessLimit::One,
    announce: Some(PROTOCOL),
    announce_plain: true,
    ignores_max_use: true,
    persistent_clients: true,
    ..Spec::new("anvil")
};

/// A client does not keep silence for longer in the middle of a request.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    host_daemon::run_pool(&SPEC, Anvil::new)
}

struct Anvil {
    shared: Arc<Shared>,
    update_time: Duration,
    reporter: Option<JoinHandle<()>>,
}

/// What the threads have together.
struct Shared {
    counters: Mutex<Counters>,
    ended: Mutex<bool>,
    end: Condvar,
}

impl Shared {
    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs the statistics each time that `every` has passed, until the process ends.
    fn report_regularly(&self, every: Duration) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            let waited = self.end.wait_timeout_while(ended, every, |ended| !*ended);
            let timeout;
            (ended, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                report(&mut self.counters(), Instant::now());
            }
        }
    }
}

impl Anvil {
    fn new(startup: &mut Startup) -> Result<Self, Error> {
        let unit = startup.config.time(param::ANVIL_RATE_TIME_UNIT)?;
        // The counters must live at least as long as they mean something.
        if startup.config.time(param::MAX_IDLE)? < unit {
            startup.config.set("max_idle", &format!("{}s", unit.as_secs()));
        }
        let update_time = startup.config.time(param::ANVIL_STATUS_UPDATE_TIME)?;
        let counters = Mutex::new(Counters::new(unit));
        let shared = Shared { counters, ended: Mutex::new(false), end: Condvar::new() };
        Ok(Self { shared: Arc::new(shared), update_time, reporter: None })
    }

    /// Answers one request.
    fn answer(
        &self,
        connection: &mut Connection,
        mine: &mut Connections,
        query: &Query,
    ) -> Result<(), proto_ipc::Error> {
        let now = Instant::now();
        let mut counters = self.shared.counters();
        let stamp = time_stamp();
        match query.request.as_str() {
            "connect" => {
                let (count, rate) = counters.connect(&query.ident, mine, now, &stamp);
                connection.send(&ConnectReply { status: 0, count, rate })
            }
            "disconnect" => {
                counters.disconnect(&query.ident, mine);
                connection.send(&StatusReply { status: 0 })
            }
            "lookup" => connection.send(&counters.lookup(&query.ident, now)),
            "newtls_status" => connection
                .send(&RateReply { status: 0, rate: counters.rate(Event::NewTls, &query.ident, now) }),
            name => match Event::parse(name) {
                Some(event) => {
                    let rate = counters.event(event, &query.ident, now, &stamp);
                    connection.send(&RateReply { status: 0, rate })
                }
                None => {
                    os_log::warning!(
                        "unrecognized command: \"{}\"",
                        mail_text::printable::printable(name.as_bytes(), true)
                    );
                    connection.send(&StatusReply { status: -1 })
                }
            },
        }
    }
}

impl PoolService for Anvil {
    fn post_init(&mut self) -> Result<(), Error> {
        let (shared, every) = (Arc::clone(&self.shared), self.update_time);
        let thread = std::thread::Builder::new().name("reporter".into());
        let started = thread.spawn(move || shared.report_regularly(every));
        self.reporter = Some(started.map_err(|error| format!("thread: {}", os_sys::error_text(&error)))?);
        Ok(())
    }

    fn serve(&self, mut client: Client) {
        let Stream::Unix(stream) = client.stream else { return };
        let mut connection = Connection::from_stream(stream, Format::plain());
        let mut mine = Connections::default();
        if connection.set_timeout(REQUEST_LIMIT).is_ok() {
            while client.session.wait_for_request(connection.stream()).unwrap_or(false) {
                let Ok(query) = connection.receive::<Query>() else { break };
                if self.answer(&mut connection, &mut mine, &query).and_then(|()| connection.flush()).is_err()
                {
                    break;
                }
            }
        }
        self.shared.counters().release(mine);
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        *self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.end.notify_all();
        if let Some(thread) = self.reporter.take() {
            let _ = thread.join();
        }
        report(&mut self.shared.counters(), Instant::now());
    }
}

fn time_stamp() -> String {
    let local = os_sys::time::local(i64::try_from(os_sys::time::now().as_secs()).unwrap_or(0));
    let local = mail_text::date::LocalTime {
        year: local.year,
        month: local.month,
        day: local.day,
        weekday: local.weekday,
        hour: local.hour,
        minute: local.minute,
        second: local.second,
        offset_seconds: local.offset_seconds,
        zone: local.zone,
    };
    local.syslog()
}

/// Logs the greatest values since the last time.
fn report(counters: &mut Counters, now: Instant) {
    for line in counters.statistics(now) {
        os_log::info!("statistics: {line}");
    }
}
