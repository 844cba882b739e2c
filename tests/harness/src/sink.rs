//! A scripted SMTP or LMTP server: one thread a connection, replies by rule, every message recorded.

use crate::wait::{DEADLINE, until};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// One message that a sink accepted.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Number of the connection it came by, from 0.
    pub session: usize,
    /// The MAIL command after `MAIL FROM:`.
    pub mail: String,
    /// The accepted RCPT commands after `RCPT TO:`.
    pub rcpts: Vec<String>,
    /// The content with LF line ends, dots unstuffed.
    pub data: String,
}

#[derive(Clone)]
enum Action {
    Reply(String),
    /// Close without a reply.
    Drop,
    /// Say nothing more until the client goes away.
    Stall,
}

impl Action {
    fn is_positive(&self) -> bool {
        matches!(self, Self::Reply(text) if text.starts_with(['2', '3']))
    }
}

#[derive(Clone)]
struct Rule {
    prefix: String,
    action: Action,
    /// How many times it still applies; `None` = always.
    left: Option<usize>,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    received: Vec<Received>,
    sessions: Vec<Vec<String>>,
    open: usize,
    most_open: usize,
}

/// How a [`Sink`] behaves.
pub struct SinkBuilder {
    lmtp: bool,
    features: Vec<String>,
    rules: Vec<Rule>,
    address: SocketAddr,
}

impl SinkBuilder {
    /// The words of the EHLO reply, in order, without the host name.
    #[must_use]
    pub fn features(mut self, words: &[&str]) -> Self {
        self.features = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Listens at this address instead of a free loopback port.
    #[must_use]
    pub fn at(mut self, address: &str) -> Self {
        self.address = address.parse().expect("address");
        self
    }

    fn rule(mut self, prefix: &str, action: Action, left: Option<usize>) -> Self {
        self.rules.push(Rule { prefix: prefix.to_owned(), action, left });
        self
    }

    /// Commands that begin with `prefix` get `reply` (LF between lines). `CONNECT` is the greeting; `.` is the end
    /// of the content (LMTP: `. RCPT-ARGUMENT`, for each recipient).
    #[must_use]
    pub fn on(self, prefix: &str, reply: &str) -> Self {
        self.rule(prefix, Action::Reply(reply.to_owned()), None)
    }

    /// Like [`Self::on`], for the first `times` such commands only.
    #[must_use]
    pub fn on_first(self, times: usize, prefix: &str, reply: &str) -> Self {
        self.rule(prefix, Action::Reply(reply.to_owned()), Some(times))
    }

    /// Closes the connection at the first `times` commands that begin with `prefix`.
    #[must_use]
    pub fn drop_first(self, times: usize, prefix: &str) -> Self {
        self.rule(prefix, Action::Drop, Some(times))
    }

    /// Never answers commands that begin with `prefix`.
    #[must_use]
    pub fn stall(self, prefix: &str) -> Self {
        self.rule(prefix, Action::Stall, None)
    }

    /// Starts listening.
    pub fn start(self) -> Sink {
        let listener = TcpListener::bind(self.address).expect("bind the sink");
        let address = listener.local_addr().expect("sink address");
        let state = Arc::new(Mutex::new(State { rules: self.rules, ..State::default() }));
        let stop = Arc::new(AtomicBool::new(false));
        let greeting = Greeting { lmtp: self.lmtp, features: self.features };
        let (shared, stopped) = (Arc::clone(&state), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (state, greeting) = (Arc::clone(&shared), greeting.clone());
                std::thread::spawn(move || Session::new(stream, state, greeting).run());
            }
        });
        Sink { address, state, stop }
    }
}

/// A running scripted server; it stops when dropped.
pub struct Sink {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

impl Sink {
    /// An SMTP server with the usual ESMTP features.
    pub fn smtp() -> SinkBuilder {
        Self::builder(false)
    }

    /// An LMTP server.
    pub fn lmtp() -> SinkBuilder {
        Self::builder(true)
    }

    fn builder(lmtp: bool) -> SinkBuilder {
        let features = ["PIPELINING", "SIZE 10240000", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN"];
        SinkBuilder {
            lmtp,
            features: features.map(str::to_owned).to_vec(),
            rules: Vec::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `[address]:port`, as a next hop.
    pub fn nexthop(&self) -> String {
        format!("[{}]:{}", self.address.ip(), self.address.port())
    }

    /// What it has accepted so far.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state).received.clone()
    }

    /// Waits until it has accepted `count` messages.
    pub fn wait(&self, count: usize) -> Vec<Received> {
        until(&format!("{count} messages at the sink"), || {
            Some(self.received()).filter(|list| list.len() >= count)
        })
    }

    /// The highest number of transactions that were open at the same time.
    pub fn most_at_once(&self) -> usize {
        lock(&self.state).most_open
    }

    /// The commands of each connection, in order; content is left out.
    pub fn sessions(&self) -> Vec<Vec<String>> {
        lock(&self.state).sessions.clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address); // wake the listener
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[derive(Clone)]
struct Greeting {
    lmtp: bool,
    features: Vec<String>,
}

struct Session {
    stream: BufReader<TcpStream>,
    state: Arc<Mutex<State>>,
    greeting: Greeting,
    number: usize,
    message: Received,
    busy: bool,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end_transaction();
    }
}

/// The client is gone, or a rule ended the connection.
struct Closed;

impl Session {
    fn new(stream: TcpStream, state: Arc<Mutex<State>>, greeting: Greeting) -> Self {
        let _ = stream.set_read_timeout(Some(DEADLINE * 3));
        let _ = stream.set_nodelay(true);
        let number = {
            let mut state = lock(&state);
            state.sessions.push(Vec::new());
            state.sessions.len() - 1
        };
        let message = Received { session: number, ..Received::default() };
        Self { stream: BufReader::new(stream), state, greeting, number, message, busy: false }
    }

    fn run(mut self) {
        if self.answer("CONNECT", "220 sink.example.net ESMTP").is_err() {
            return;
        }
        while let Ok(line) = self.line() {
            if let Some(commands) = lock(&self.state).sessions.get_mut(self.number) {
                commands.push(line.clone());
            }
            if self.command(&line).is_err() {
                return;
            }
        }
    }

    fn command(&mut self, line: &str) -> Result<(), Closed> {
        let upper = line.to_ascii_uppercase();
        match upper.split([' ', ':']).next().unwrap_or("") {
            "EHLO" | "LHLO" => {
                let mut lines = vec!["sink.example.net".to_owned()];
                lines.extend(self.greeting.features.iter().cloned());
                let last = lines.len() - 1;
                let reply: Vec<String> = lines
                    .iter()
                    .enumerate()
                    .map(|(at, word)| format!("250{}{word}", if at == last { ' ' } else { '-' }))
                    .collect();
                self.answer(line, &reply.join("\n"))?;
            }
            "MAIL" => {
                self.begin_transaction();
                if self.answer(line, "250 2.1.0 Ok")? {
                    self.message.mail = line.get(10..).unwrap_or("").to_owned();
                    self.message.rcpts.clear();
                }
            }
            "RCPT" => {
                if self.answer(line, "250 2.1.5 Ok")? {
                    self.message.rcpts.push(line.get(8..).unwrap_or("").to_owned());
                }
            }
            "DATA" => {
                let reply = if self.message.rcpts.is_empty() {
                    "554 5.5.1 Error: no valid recipients"
                } else {
                    "354 go"
                };
                if self.answer(line, reply)? {
                    self.content()?;
                }
            }
            "QUIT" => {
                self.answer(line, "221 2.0.0 Bye")?;
                return Err(Closed);
            }
            _ => {
                self.answer(line, "250 2.0.0 Ok")?;
            }
        }
        Ok(())
    }

    fn begin_transaction(&mut self) {
        let mut state = lock(&self.state);
        if !std::mem::replace(&mut self.busy, true) {
            state.open += 1;
            state.most_open = state.most_open.max(state.open);
        }
    }

    fn end_transaction(&mut self) {
        if std::mem::replace(&mut self.busy, false) {
            lock(&self.state).open -= 1;
        }
    }

    fn content(&mut self) -> Result<(), Closed> {
        let mut data = String::new();
        loop {
            let line = self.line()?;
            if line == "." {
                break;
            }
            data.push_str(line.strip_prefix('.').unwrap_or(&line));
            data.push('\n');
        }
        self.end_transaction(); // before the reply, after which the client may begin elsewhere
        let rcpts = std::mem::take(&mut self.message.rcpts);
        let (actions, accepted): (Vec<Action>, Vec<String>) = if self.greeting.lmtp {
            let decide = |rcpt: &String| self.decide(&format!(". {rcpt}"), "250 2.0.0 delivered");
            let actions: Vec<Action> = rcpts.iter().map(decide).collect();
            let fine = rcpts.into_iter().zip(&actions).filter(|(_, action)| action.is_positive());
            let accepted = fine.map(|(rcpt, _)| rcpt).collect();
            (actions, accepted)
        } else {
            let action = self.decide(".", "250 2.0.0 Ok: queued as SINK");
            let accepted = if action.is_positive() { rcpts } else { Vec::new() };
            (vec![action], accepted)
        };
        // Before the replies: whoever sees what the client does then may look here at once.
        if !accepted.is_empty() {
            let mail = self.message.mail.clone();
            let done = Received { session: self.number, mail, rcpts: accepted, data };
            lock(&self.state).received.push(done);
        }
        actions.into_iter().try_for_each(|action| self.carry_out(action).map(|_| ()))
    }

    /// What the first rule that matches says, else a reply of `default`.
    fn decide(&self, command: &str, default: &str) -> Action {
        self.action(command).unwrap_or_else(|| Action::Reply(default.to_owned()))
    }

    /// Answers by the first rule that matches, else with `default`; true when the reply is 2xx or 3xx.
    fn answer(&mut self, command: &str, default: &str) -> Result<bool, Closed> {
        let action = self.decide(command, default);
        self.carry_out(action)
    }

    fn carry_out(&mut self, action: Action) -> Result<bool, Closed> {
        match action {
            Action::Reply(text) => {
                let wire: String = text.lines().map(|line| format!("{line}\r\n")).collect();
                self.stream.get_mut().write_all(wire.as_bytes()).map_err(|_| Closed)?;
                if text.starts_with("421") {
                    return Err(Closed);
                }
                Ok(text.starts_with(['2', '3']))
            }
            Action::Drop => Err(Closed),
            Action::Stall => {
                let mut rest = Vec::new();
                let _ = self.stream.read_to_end(&mut rest);
                Err(Closed)
            }
        }
    }

    fn action(&self, command: &str) -> Option<Action> {
        let mut state = lock(&self.state);
        let rule =
            state.rules.iter_mut().find(|rule| rule.left != Some(0) && command.starts_with(&rule.prefix))?;
        if let Some(left) = &mut rule.left {
            *left -= 1;
        }
        Some(rule.action.clone())
    }

    fn line(&mut self) -> Result<String, Closed> {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => Err(Closed),
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                Ok(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        }
    }
}
