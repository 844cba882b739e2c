//! A session with one server: connection, greeting, EHLO.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use mail_status::{Detail, Dsn};
use proto_smtp::client::{Features, Reply};
use proto_smtp::keywords::Keywords;
use proto_smtp::transcript::{ErrorClass, Notice, Transcript};

use crate::nexthop::{Place, Server};
use crate::settings::{Settings, TlsLevel};
use crate::stream::{Broken, Stream};

/// An open session.
#[derive(Debug)]
pub struct Session {
    /// The server.
    pub server: Server,
    /// The connection.
    pub stream: Stream,
    /// What the server can do.
    pub features: Features,
    /// Transactions before this one.
    pub reuse_count: i32,
    /// No new transaction after this time.
    pub expires: Instant,
    /// No more commands: the connection broke, or the server said 421.
    pub dead: bool,
    /// QUIT was sent, its reply not read.
    pub quitting: bool,
    /// The message at hand, for log lines.
    pub queue_id: String,
    /// A reply was not what the protocol wants: no next transaction.
    pub derailed: bool,
}

/// Why there is no session.
#[derive(Debug)]
pub struct NoSession {
    /// Status for the recipients, should no other server take them.
    pub detail: Detail,
    /// How far it came; for the log.
    pub stage: Stage,
    /// What the postmaster is to be told.
    pub notice: Option<Notice>,
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No connection.
    Connect,
    /// Connected, but the server would not talk.
    Handshake,
}

/// What a broken conversation was doing (`lost connection with H while …`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Greeting.
    Greeting,
    /// EHLO, HELO or LHLO.
    Hello(&'static str),
    /// XFORWARD, first command.
    XforwardName,
    /// XFORWARD, second command.
    XforwardProtocol,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// Content.
    Body,
    /// Final dot.
    Dot,
    /// RSET.
    Rset,
}

impl Doing {
    fn text(self) -> String {
        match self {
            Self::Greeting => "receiving the initial server greeting".into(),
            Self::Hello(verb) => format!("performing the {verb} handshake"),
            Self::XforwardName => "sending XFORWARD name/address".into(),
            Self::XforwardProtocol => "sending XFORWARD protocol/helo_name".into(),
            Self::Mail => "sending MAIL FROM".into(),
            Self::Rcpt => "sending RCPT TO".into(),
            Self::Data => "sending DATA command".into(),
            Self::Body => "sending message body".into(),
            Self::Dot => "sending end of data -- message may be sent more than once".into(),
            Self::Rset => "sending RSET".into(),
        }
    }
}

/// The status of a conversation that broke.
pub fn broken_detail(server: &Server, broken: Broken, doing: Doing) -> Detail {
    let text = match broken {
        Broken::Lost => format!("lost connection with {} while {}", server.named(), doing.text()),
        Broken::TimedOut => format!("conversation with {} timed out while {}", server.named(), doing.text()),
    };
    with_mta(Detail::new(Dsn::new(4, 4, 2), text), server)
}

/// The status of a refused command: `host H said: … (in reply to …)`.
pub fn reply_detail(server: &Server, reply: &Reply, command: &str) -> Detail {
    let text = format!("host {} said: {} (in reply to {command})", server.named(), reply.failure_text());
    from_reply(server, reply, reply.failure_status(), text)
}

pub fn from_reply(server: &Server, reply: &Reply, dsn: Dsn, text: String) -> Detail {
    let detail = Detail { diagnostic: Some(("smtp".into(), reply.text.clone())), ..Detail::new(dsn, text) };
    with_mta(detail, server)
}

fn with_mta(detail: Detail, server: &Server) -> Detail {
    Detail { remote_mta: Some(("dns".into(), server.name.clone())), ..detail }
}

impl Session {
    /// Connects and shakes hands.
    ///
    /// # Errors
    /// [`NoSession`].
    pub fn open(settings: &Settings, server: &Server, queue_id: &str) -> Result<Self, NoSession> {
        let stream = connect(settings, server).map_err(|text| NoSession {
            detail: with_mta(
                Detail::new(Dsn::new(4, 4, 1), format!("connect to {}: {text}", server.relay())),
                server,
            ),
            stage: Stage::Connect,
            notice: None,
        })?;
        let mut session = Self {
            server: server.clone(),
            stream,
            features: Features::default(),
            reuse_count: 0,
            expires: Instant::now() + settings.timeouts.reuse,
            dead: false,
            quitting: false,
            queue_id: queue_id.to_owned(),
            derailed: false,
        };
        session.begin_transcript(settings);
        match session.handshake(settings) {
            Ok(()) => Ok(session),
            Err(detail) => {
                session.quit(settings);
                Err(NoSession { detail, stage: Stage::Handshake, notice: session.take_notice() })
            }
        }
    }

    fn handshake(&mut self, settings: &Settings) -> Result<(), Detail> {
        self.stream.set_timeout(settings.timeouts.helo);
        let greeting = self.read(Doing::Greeting)?;
        if !greeting.is_positive() {
            let refused = self.refused(&greeting);
            let skip = settings.skip_5xx_greeting && (500..600).contains(&greeting.code);
            return Err(if skip { Detail { dsn: refused.dsn.with_class(4), ..refused } } else { refused });
        }
        let extended = settings.always_ehlo || greeting.text.contains("ESMTP");
        self.hello(settings, extended)?;
        if settings.tls == TlsLevel::Required {
            let text = if self.features.starttls {
                "TLS is required, but our TLS engine is unavailable".to_owned()
            } else {
                format!("TLS is required, but was not offered by host {}", self.server.named())
            };
            let dsn = if self.features.starttls { Dsn::new(4, 7, 5) } else { Dsn::new(4, 7, 4) };
            return Err(with_mta(Detail::new(dsn, text), &self.server));
        }
        Ok(())
    }

    fn hello(&mut self, settings: &Settings, extended: bool) -> Result<(), Detail> {
        if settings.lmtp {
            let reply = self.command(&format!("LHLO {}", settings.helo_name), Doing::Hello("LHLO"))?;
            return self.take_features(settings, &reply);
        }
        if extended {
            let reply = self.command(&format!("EHLO {}", settings.helo_name), Doing::Hello("EHLO"))?;
            if reply.is_positive() {
                return self.take_features(settings, &reply);
            }
            if reply.code == 421 {
                return Err(self.refused(&reply));
            }
        }
        let reply = self.command(&format!("HELO {}", settings.helo_name), Doing::Hello("HELO"))?;
        if reply.is_positive() { Ok(()) } else { Err(self.refused(&reply)) }
    }

    fn take_features(&mut self, settings: &Settings, reply: &Reply) -> Result<(), Detail> {
        if !reply.is_positive() {
            return Err(self.refused(reply));
        }
        let discarded = self.discarded(settings)?;
        if let Some(text) = discarded.announcement() {
            os_log::info!("{text}");
        }
        self.features = Features::parse(reply, discarded);
        self.loops_back(settings, reply)
    }

    /// Keywords that are not used with this server (`smtp_discard_ehlo_keyword_address_maps`).
    fn discarded(&self, settings: &Settings) -> Result<Keywords, Detail> {
        let Place::Inet(address, _) = self.server.place else { return Ok(settings.discard_ehlo.usual()) };
        settings.discard_ehlo.with(address, &self.queue_id).map_err(|_| {
            let text = format!("local data error while talking to {}", self.server.named());
            with_mta(Detail::new(Dsn::new(4, 3, 0), text), &self.server)
        })
    }

    /// The server calls itself by our name (only at the standard port): mail would come back.
    fn loops_back(&self, settings: &Settings, reply: &Reply) -> Result<(), Detail> {
        let Place::Inet(_, port) = self.server.place else { return Ok(()) };
        let name = reply.lines.first().and_then(|line| line.split(' ').next()).unwrap_or_default();
        if settings.lmtp || port != settings.standard_port || !name.eq_ignore_ascii_case(&settings.myhostname)
        {
            return Ok(());
        }
        os_log::warning!("host {} replied to HELO/EHLO with my own hostname {name}", self.server.relay());
        let text = format!("mail for {} loops back to myself", self.server.name);
        Err(with_mta(Detail::new(Dsn::new(5, 4, 6), text), &self.server))
    }

    fn refused(&mut self, reply: &Reply) -> Detail {
        self.judge(reply);
        let text = format!("host {} refused to talk to me: {}", self.server.named(), reply.failure_text());
        from_reply(&self.server, reply, reply.failure_status(), text)
    }

    /// Sends a command and reads its reply.
    ///
    /// # Errors
    /// The status when the conversation breaks.
    pub fn command(&mut self, line: &str, doing: Doing) -> Result<Reply, Detail> {
        self.stream.command(line);
        self.read(doing)
    }

    /// Reads one reply. After 421 the session is dead.
    ///
    /// # Errors
    /// The status when the conversation breaks.
    pub fn read(&mut self, doing: Doing) -> Result<Reply, Detail> {
        match self.stream.reply() {
            Ok(reply) => {
                self.warn_of_strange_lines(&reply);
                self.dead |= reply.code == 421;
                Ok(reply)
            }
            Err(broken) => Err(self.broke(broken, doing)),
        }
    }

    /// With pipelined commands nobody can tell to which one a line without a code belongs.
    fn warn_of_strange_lines(&self, reply: &Reply) {
        for line in reply.strange.iter().filter(|_| self.features.pipelining) {
            let (id, server) = (&self.queue_id, &self.server);
            os_log::warning!("{id}: non-ESMTP response from {}: {line}", server.relay());
            os_log::warning!(
                "to prevent loss of mail, turn off command pipelining for {} with the smtp_discard_ehlo_keyword_address_maps parameter",
                server.name
            );
        }
    }

    /// The conversation broke: nothing more is sent.
    pub fn broke(&mut self, broken: Broken, doing: Doing) -> Detail {
        self.dead = true;
        broken_detail(&self.server, broken, doing)
    }

    /// The status of a refused command: `host H said: … (in reply to …)`.
    pub fn refusal(&mut self, reply: &Reply, command: &str) -> Detail {
        self.judge(reply);
        reply_detail(&self.server, reply, command)
    }

    /// Takes note of a failure that no server should give.
    fn judge(&mut self, reply: &Reply) {
        if reply.is_protocol_error() {
            self.derailed = true;
            self.stream.transcript.iter_mut().for_each(|transcript| transcript.error(ErrorClass::Protocol));
        }
    }

    /// What is said from now on is what the postmaster may be told.
    pub fn begin_transcript(&mut self, settings: &Settings) {
        self.stream.transcript = Transcript::for_classes(settings.notice_classes);
    }

    /// What the postmaster is to be told of a session that is over.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.stream.transcript.take()?.close()
    }

    /// Says good bye as the last of a group of commands.
    pub fn say_quit(&mut self) {
        self.stream.command("QUIT");
        (self.dead, self.quitting) = (true, true);
    }

    /// Says good bye; waits for the reply only where the configuration asks for it (`smtp_skip_quit_response`).
    pub fn quit(&mut self, settings: &Settings) {
        if !self.dead {
            self.say_quit();
        }
        if std::mem::take(&mut self.quitting) {
            self.stream.set_timeout(settings.timeouts.quit);
            // The server may be gone already; there is nothing to lose.
            let _ = self.stream.flush();
            if !settings.skip_quit_response {
                let _ = self.stream.reply();
            }
        }
    }

    /// The `tls=` field of the log line.
    pub fn tls_text(settings: &Settings, connected: bool) -> Option<String> {
        if !settings.log_tls {
            return None;
        }
        let text = match (settings.tls, connected) {
            (TlsLevel::None, true) => "none",
            (TlsLevel::None, false) => "none?",
            (TlsLevel::May, true) => "may:none",
            (TlsLevel::May, false) => "may?",
            (TlsLevel::Required, true) => "!encrypt",
            (TlsLevel::Required, false) => "encrypt?",
        };
        Some(text.to_owned())
    }
}

fn connect(settings: &Settings, server: &Server) -> Result<Stream, String> {
    let text = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => "Connection timed out".to_owned(),
        _ => os_error_text(&error),
    };
    match &server.place {
        Place::Unix(path) => UnixStream::connect(path).map(Stream::unix).map_err(text),
        Place::Inet(address, port) => {
            let bind = if address.is_ipv4() { settings.bind_v4 } else { settings.bind_v6 };
            let stream = connect_tcp(SocketAddr::new(*address, *port), bind, settings).map_err(text)?;
            // Commands are written in whole groups; waiting for more would only add delay.
            stream.set_nodelay(true).map_err(text)?;
            Ok(Stream::tcp(stream))
        }
    }
}

fn connect_tcp(to: SocketAddr, bind: Option<IpAddr>, settings: &Settings) -> std::io::Result<TcpStream> {
    match bind {
        // Zero: as long as the system takes (`lmtp_connect_timeout`).
        None if settings.timeouts.connect.is_zero() => TcpStream::connect(to),
        None => TcpStream::connect_timeout(&to, settings.timeouts.connect),
        Some(from) => os_sys::net::connect_from(from, to, settings.timeouts.connect),
    }
}

/// strerror(3) without Rust's `(os error N)`.
fn os_error_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
