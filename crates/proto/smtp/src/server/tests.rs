//! Whole sessions: what the client sends, what it sees, what is logged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;

/// A driver that accepts everything, with a queue ID from the first recipient on.
struct Driver {
    session: Session,
    now: Instant,
    log: Vec<String>,
    closed: bool,
}

impl Driver {
    fn new(settings: Settings, mode: BareNewline) -> Self {
        let now = Instant::now();
        let session = Session::new(Arc::new(settings), Client::at("192.0.2.1", "4"), now);
        let mut driver = Self { session, now, log: Vec::new(), closed: false };
        driver.run(mode);
        driver
    }

    fn run(&mut self, mode: BareNewline) {
        loop {
            let step = self.session.step(self.now);
            for note in self.session.notes() {
                self.log.push(match note {
                    Note::Info(text) => text,
                    Note::Warning(text) => format!("warning: {text}"),
                });
            }
            match step {
                Step::Ask => {
                    let answer = self.answer(mode);
                    self.session.answer(answer, self.now);
                }
                Step::Pause(until) => self.now = until,
                Step::Read(_) => return,
                Step::Close => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    fn answer(&mut self, mode: BareNewline) -> Answer {
        match self.session.question().unwrap() {
            Question::Connect => {
                let mut client = self.session.client().clone();
                client.name = "c.example".into();
                let profile = Profile {
                    discarded: Keywords::default(),
                    bare_newline: mode,
                    xclient: true,
                    xforward: true,
                    verp: false,
                };
                Answer::Connected(Box::new(client), profile)
            }
            Question::Rcpt(command) if command.fault.is_none() => Answer::Opened("ABCDE".into()),
            Question::Content => {
                self.session.take_block();
                Answer::Accept
            }
            Question::End => Answer::Reply(Reply::new(format!(
                "250 2.0.0 Ok: {} bytes queued as ABCDE",
                self.session.content_bytes()
            ))),
            _ => Answer::Accept,
        }
    }

    fn send(&mut self, text: &str) -> String {
        self.session.received(text.as_bytes(), self.now);
        self.run(BareNewline::Normalize);
        String::from_utf8(std::mem::take(self.session.output())).unwrap()
    }
}

fn talk(settings: Settings, script: &[(&str, &str)]) -> Driver {
    let mut driver = Driver::new(settings, BareNewline::Normalize);
    driver.session.output().clear();
    for (input, expected) in script {
        assert_eq!(driver.send(input), *expected, "after {input:?}");
    }
    driver
}

#[test]
fn a_message_goes_through() {
    let mut driver = talk(
        Settings::sample(),
        &[
            (
                "EHLO c\r\n",
                "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-VRFY\r\n250-ETRN\r\n250-XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT\r\n250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n",
            ),
            (
                "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            ("a\r\n..b", ""),
            ("\r\n.\r\nQUIT\r\n", "250 2.0.0 Ok: 7 bytes queued as ABCDE\r\n221 2.0.0 Bye\r\n"),
        ],
    );
    assert!(driver.closed);
    assert_eq!(
        driver.session.farewell(),
        "disconnect from c.example[192.0.2.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"
    );
    assert!(driver.log.is_empty());
    driver.session.ended();
}

#[test]
fn commands_have_their_order() {
    talk(
        Settings::sample(),
        &[
            ("RCPT TO:<a@b>\r\n", "503 5.5.1 Error: need MAIL command\r\n"),
            ("DATA\r\n", "503 5.5.1 Error: need RCPT command\r\n"),
            ("MAIL FROM:<a@b>\r\n", "250 2.1.0 Ok\r\n"),
            ("MAIL FROM:<a@b>\r\n", "503 5.5.1 Error: nested MAIL command\r\n"),
            ("DATA\r\n", "554 5.5.1 Error: no valid recipients\r\n"),
            ("HELO x y\r\n", "250 mx.example\r\n"),
            ("RCPT TO:<a@b>\r\n", "503 5.5.1 Error: need MAIL command\r\n"),
            ("\r\n", "500 5.5.2 Error: bad syntax\r\n"),
            ("RSET x\r\n", "501 5.5.4 Syntax: RSET\r\n"),
            ("STARTTLS\r\n", "502 5.5.1 Error: command not implemented\r\n"),
            ("AUTH PLAIN\r\n", "503 5.5.1 Error: authentication not enabled\r\n"),
            ("VRFY x y@z\r\n", "501 5.1.3 Bad recipient address syntax\r\n"),
        ][..11],
    );
}

#[test]
fn bdat_counts_and_remembers_its_failure() {
    talk(
        Settings { message_size_limit: 2000, ..Settings::sample() },
        &[
            ("XCLIENT PROTO=ESMTP\r\n", "220 mx.example ESMTP Postfix\r\n"),
            ("BDAT 4\r\nabcd", "503 5.5.1 Error: need RCPT command\r\n"),
            ("BDAT 4 LAST\r\nabcd", "551 5.0.0 Discarded 4 bytes after earlier error\r\n"),
            ("MAIL FROM:<a@b>\r\n", "250 2.1.0 Ok\r\n"),
            ("RCPT TO:<a@b>\r\n", "250 2.1.5 Ok\r\n"),
            ("BDAT 5\r\na\r\nb\n", "250 2.0.0 Ok: 5 bytes\r\n"),
            ("RCPT TO:<a@b>\r\n", "503 5.5.1 Error: RCPT after BDAT\r\n"),
            ("DATA\r\n", "503 5.5.1 Error: DATA after BDAT\r\n"),
            ("BDAT 3 LAST\r\nc\r\n", "250 2.0.0 Ok: 9 bytes queued as ABCDE\r\n"),
            ("BDAT x\r\n", "521 5.5.4 Syntax: BDAT count [LAST]\r\n"),
        ],
    );
}

#[test]
fn who_does_not_wait_is_refused() {
    let driver = talk(
        Settings::sample(),
        &[("HELO c\r\nNOOP\r\n", "554 5.5.0 Error: SMTP protocol synchronization\r\n")],
    );
    assert_eq!(driver.log, ["improper command pipelining after HELO from c.example[192.0.2.1]: NOOP\\r\\n"]);
    assert_eq!(driver.session.farewell(), "disconnect from c.example[192.0.2.1] helo=0/1 commands=0/1");
}

#[test]
fn errors_and_junk_end_the_session() {
    let settings = Settings { hard_error_limit: 2, soft_error_limit: 1, ..Settings::sample() };
    let driver = talk(
        settings,
        &[(
            "FOO\r\nFOO\r\nFOO\r\n",
            "500 5.5.2 Error: command not recognized\r\n500 5.5.2 Error: command not recognized\r\n421 4.7.0 mx.example Error: too many errors\r\n",
        )],
    );
    assert_eq!(driver.log, ["NOQUEUE: too many errors after UNKNOWN from c.example[192.0.2.1]"]);
    let settings = Settings { hard_error_limit: 1, junk_command_limit: 0, ..Settings::sample() };
    talk(
        settings,
        &[
            ("NOOP\r\n", "250 2.0.0 Ok\r\n"),
            ("NOOP\r\n", "250 2.0.0 Ok\r\n421 4.7.0 mx.example Error: too many errors\r\n"),
        ],
    );
}

#[test]
fn long_lines_are_refused_and_endless_ones_cut_off() {
    let long = format!("NOOP {}\r\n", "x".repeat(3000));
    let driver = talk(
        Settings::sample(),
        &[(&long, "500 5.5.2 mx.example Error: command too long\r\n"), ("NOOP\r\n", "250 2.0.0 Ok\r\n")],
    );
    assert_eq!(
        driver.log,
        ["warning: c.example[192.0.2.1]: request longer than 2048: NOOP xxxxxxxxxxxxxxxxxxxxxxxxx..."]
    );
    let endless = "x".repeat(5000);
    let driver = talk(Settings::sample(), &[(&endless, "500 5.5.2 mx.example Error: command too long\r\n")]);
    assert!(driver.closed);
}

#[test]
fn the_end_of_the_connection_and_silence_are_logged() {
    let mut driver = talk(
        Settings::sample(),
        &[
            ("HELO c\r\n", "250 mx.example\r\n"),
            ("MAIL FROM:<a@b>\r\n", "250 2.1.0 Ok\r\n"),
            ("RCPT TO:<a@b>\r\n", "250 2.1.5 Ok\r\n"),
            ("DATA\r\n", "354 End data with <CR><LF>.<CR><LF>\r\n"),
            ("abc\r\nde", ""),
        ],
    );
    driver.session.ended();
    driver.run(BareNewline::Normalize);
    assert_eq!(driver.log, ["ABCDE: lost connection after DATA (7 bytes) from c.example[192.0.2.1]"]);
    let mut driver = Driver::new(Settings::sample(), BareNewline::Normalize);
    driver.session.output().clear();
    let later = driver.now + Duration::from_secs(300);
    assert_eq!(driver.session.step(driver.now), Step::Read(later));
    driver.session.timed_out(later);
    assert_eq!(driver.session.output(), b"421 4.4.2 mx.example Error: timeout exceeded\r\n");
}

#[test]
fn a_bare_lf_is_refused_when_the_administrator_says_so() {
    let mut driver = Driver::new(Settings::sample(), BareNewline::Reject);
    driver.session.output().clear();
    assert_eq!(driver.send("NOOP\n"), "550 5.5.2 mx.example Error: bare <LF> received\r\n");
    assert!(driver.closed);
}

#[test]
fn input_may_come_in_any_pieces() {
    let script = b"HELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
    let mut driver = Driver::new(
        Settings { forbid_unauth_pipelining: false, ..Settings::sample() },
        BareNewline::Normalize,
    );
    let mut all = String::new();
    for byte in script {
        all.push_str(&driver.send(std::str::from_utf8(&[*byte]).unwrap()));
    }
    assert!(all.ends_with(
        "354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok: 3 bytes queued as ABCDE\r\n221 2.0.0 Bye\r\n"
    ));
}

#[test]
fn an_idle_session_is_small() {
    let mut driver = talk(Settings::sample(), &[("HELO c\r\n", "250 mx.example\r\n")]);
    assert!(driver.session.output().is_empty());
    assert!(std::mem::size_of::<Session>() < 1024, "{}", std::mem::size_of::<Session>());
}
