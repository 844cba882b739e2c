//! What an SMTP client says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proto_smtp::server::{
    Answer, BareNewline, Client, Keywords, Profile, Question, Reply, Session, Settings, Step,
};
use proto_smtp::transcript::ErrorClasses;

/// Steps of one session, and bytes that wait to be sent, at most: more means that it runs on.
const LIMIT: usize = 200_000;

fn settings(first: u8) -> Settings {
    let flag = |bit: u8| first & (1 << bit) != 0;
    Settings {
        myhostname: "mx.example".into(),
        banner: "mx.example ESMTP".into(),
        timeout: Duration::from_secs(300),
        per_request_deadline: flag(0),
        min_data_rate: 500,
        line_length_limit: 2048,
        message_size_limit: 1000,
        hard_error_limit: 20,
        soft_error_limit: 10,
        error_sleep: Duration::from_secs(1),
        junk_command_limit: 100,
        recipient_limit: 10,
        recipient_overshoot_limit: 10,
        helo_required: flag(1),
        ask_helo: flag(2),
        ask_data: flag(3),
        disable_vrfy: flag(4),
        strict_envelopes: flag(5),
        smtputf8: !flag(6),
        notices_pipelining: true,
        forbid_unauth_pipelining: flag(7),
        bare_newline_code: 550,
        soft_bounce: false,
        reject_footer: "\\c see $client".into(),
        reply_filter: None,
        footer_maps: None,
        noop_commands: Arc::new(|_| false),
        forbidden_commands: Arc::new(|verb| verb.eq_ignore_ascii_case("GET")),
        command_filter: None,
        verp_delimiters: "-=+".into(),
        notice_classes: ErrorClasses::parse("protocol policy"),
        history_limit: 100,
        port_logging: true,
        default_verp: "+=".into(),
        local_time: None,
    }
}

/// Sets settings by the first byte, and how much arrives at a time by the second.
pub(crate) fn smtp_server(bytes: &[u8]) {
    let [first, second, rest @ ..] = bytes else { return };
    let now = Instant::now();
    let mut session = Session::new(Arc::new(settings(*first)), Client::at("192.0.2.1", "4"), now);
    let mode = [BareNewline::Normalize, BareNewline::Reject][usize::from(*second & 1)];
    let mut steps = 0;
    for part in rest.chunks(usize::from(*second).max(1)) {
        session.received(part, now);
        if !advance(&mut session, mode, now, &mut steps) {
            return;
        }
    }
    session.ended();
    advance(&mut session, mode, now, &mut steps);
    session.timed_out(now);
    advance(&mut session, mode, now, &mut steps);
    assert!(!session.farewell().is_empty());
}

/// Steps until more input is needed; whether the session is still open.
fn advance(session: &mut Session, mode: BareNewline, mut now: Instant, steps: &mut usize) -> bool {
    loop {
        *steps += 1;
        assert!(*steps < LIMIT, "too many steps");
        let step = session.step(now);
        for note in session.notes() {
            let text = format!("{note:?}");
            assert!(text.len() < LIMIT, "an endless note");
        }
        match step {
            Step::Ask => answer(session, mode, now),
            Step::Pause(until) => now = until,
            Step::Read(_) => {
                let output = std::mem::take(session.output());
                assert!(
                    output.len() < LIMIT && (output.is_empty() || output.ends_with(b"\r\n")),
                    "odd output"
                );
                return true;
            }
            Step::Close => return false,
        }
    }
}

fn answer(session: &mut Session, mode: BareNewline, now: Instant) {
    let Some(question) = session.question() else { panic!("asks nothing") };
    let answer = match question {
        Question::Connect => {
            let profile = Profile {
                discarded: Keywords::default(),
                bare_newline: mode,
                xclient: true,
                xforward: true,
                verp: true,
            };
            Answer::Connected(Box::new(session.client().clone()), profile)
        }
        Question::Rcpt(command) if command.fault.is_none() => Answer::Opened("ABCDE".into()),
        Question::Content => {
            session.take_block();
            Answer::Accept
        }
        Question::End => {
            session.take_block();
            Answer::Reply(Reply::new("250 2.0.0 Ok: queued as ABCDE"))
        }
        Question::Notices => {
            session.take_notices();
            Answer::Accept
        }
        Question::Helo(_)
        | Question::Mail(_)
        | Question::Rcpt(_)
        | Question::Vrfy(..)
        | Question::Etrn(_)
        | Question::Data
        | Question::Abort => Answer::Accept,
    };
    session.answer(answer, now);
}
