//! The bounce, defer and trace services, asked directly: what they send, answer and log for each kind of request.

use harness::{Attributes, Mta, Sink, golden, isolated, normal_dsn, normal_log};
use std::fmt::Write as _;

/// One instance whose notices go to a sink, and what was asked so far.
struct Asked<'a> {
    mta: &'a Mta,
    sink: &'a Sink,
    text: String,
    seen: usize,
    /// The last notice: of the next one only what differs is written down.
    last: Vec<String>,
}

/// Attributes of a recipient and of what became of it.
type Outcome<'a> = [(&'a str, &'a str); 12];

const OUTCOME: Outcome<'static> = [
    ("original_recipient", "r@x.example"),
    ("recipient", "r@x.example"),
    ("offset", "0"),
    ("dsn_orig_rcpt", "rfc822;r@x.example"),
    ("notify_flags", "0"),
    ("status", "5.1.1"),
    ("diag_type", ""),
    ("diag_text", ""),
    ("mta_type", ""),
    ("mta_mname", ""),
    ("action", "failed"),
    ("reason", "no reason at all"),
];

/// `base` with some attributes replaced.
fn with<'a, const N: usize>(
    base: [(&'a str, &'a str); N],
    changes: &[(&'a str, &'a str)],
) -> [(&'a str, &'a str); N] {
    base.map(|(name, value)| {
        let change = changes.iter().find(|(changed, _)| *changed == name);
        (name, change.map_or(value, |(_, value)| value))
    })
}

/// Attributes of a message.
fn message<'a>(id: &'a str, changes: &[(&'a str, &'a str)]) -> [(&'a str, &'a str); 8] {
    with(
        [
            ("flags", "0"),
            ("queue_name", "hold"),
            ("queue_id", id),
            ("encoding", "7bit"),
            ("smtputf8", "0"),
            ("sender", "s@out.example"),
            ("envelope_id", ""),
            ("ret_flags", "0"),
        ],
        changes,
    )
}

impl Asked<'_> {
    fn ask(&self, service: &str, request: &[(&str, &str)]) -> String {
        let mut client = Attributes::connect(&self.mta.spool().join("private").join(service));
        client
            .ask(request)
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn append(&mut self, service: &str, id: &str, outcome: &Outcome<'_>) {
        let mut request = vec![("nrequest", "0"), ("flags", "0"), ("queue_id", id)];
        request.extend(outcome);
        let reply = self.ask(service, &request);
        if reply != "status=0" {
            let _ = writeln!(self.text, "APPEND {reply}");
        }
    }

    /// Sends a request and writes down the answer, the notices, the log, and whether the delivery log is still there.
    fn request(&mut self, title: &str, service: &str, number: &str, rest: &[&[(&str, &str)]]) {
        let start = self.mta.log().len();
        let mut request = vec![("nrequest", number)];
        request.extend(rest.concat());
        let reply = self.ask(service, &request);
        self.mta.wait_empty();
        let id = request.iter().find(|(name, _)| *name == "queue_id").map(|(_, id)| *id).unwrap_or_default();
        let _ = writeln!(self.text, "=== {title}: {service} {number} => {reply}");
        let mut messages: Vec<String> = self
            .sink
            .received()
            .iter()
            .skip(self.seen)
            .map(|m| format!("MAIL {:?} RCPT {:?}\n{}", m.mail, m.rcpts, m.data))
            .collect();
        self.seen += messages.len();
        messages.sort();
        for message in messages {
            self.difference(&normal_dsn(&message));
        }
        let mark = format!("mark {}", self.mta.log().len());
        assert_eq!(self.mta.run("postlog", &["-t", "harness", &mark]).code, 0);
        self.mta.wait(&[&mark]);
        let mut said = Vec::new();
        let log = self.mta.log();
        for line in log.get(start..).unwrap_or_default().lines().filter(|line| line.contains("/bounce[")) {
            let line = normal_log(line).replace(id, "QID");
            // The reference reads a log several times, and complains each time.
            if !(line.contains(" warning: ") && said.contains(&line)) {
                let _ = writeln!(self.text, "{line}");
            }
            said.push(line);
        }
        if !id.is_empty() && self.mta.spool().join(service).join(id).exists() {
            let _ = writeln!(self.text, "(the log is kept)");
        }
    }
}

impl Asked<'_> {
    /// Writes a notice without the first and last lines that it has in common with the one before.
    fn difference(&mut self, message: &str) {
        let lines: Vec<String> = message.lines().map(str::to_owned).collect();
        let same = |(a, b): &(&String, &String)| a == b;
        let head = lines.iter().zip(&self.last).take_while(same).count();
        let rest = lines.len().min(self.last.len()) - head;
        let tail = lines.iter().rev().zip(self.last.iter().rev()).take(rest).take_while(same).count();
        let _ = writeln!(self.text, "({head} lines as before)");
        for line in &lines[head..lines.len() - tail] {
            let _ = writeln!(self.text, "{line}");
        }
        let _ = writeln!(
            self.text,
            "({tail} lines as before, {})",
            if message.ends_with('\n') { "ended" } else { "cut" }
        );
        self.last = lines;
    }
}

impl Asked<'_> {
    /// One kind of request for several senders and flags, about recipients with all NOTIFY flags.
    fn senders(&mut self, id: &str, service: &str, number: &str) {
        for (sender, flags) in SENDERS {
            for notify in ["0", "1", "2", "4", "8"] {
                let recipient = format!("n{notify}@x.example");
                let changes = [("notify_flags", notify), ("recipient", recipient.as_str())];
                self.append(service, id, &with(OUTCOME, &changes));
            }
            let tail: &[(&str, &str)] = match number {
                "3" => &[("verp_delimiters", "+=")],
                "4" => &OUTCOME,
                _ => &[],
            };
            let title = format!("from <{sender}> flags {flags}");
            let message = message(id, &[("sender", sender), ("flags", flags)]);
            self.request(&title, service, number, &[&message, tail]);
            let _ = std::fs::remove_file(self.mta.spool().join(service).join(id));
        }
    }
}

/// Puts a message on hold; gives its queue ID.
fn hold(mta: &Mta, content: &str) -> String {
    mta.send("s@out.example", &["r@x.example"], content)
}

fn instance(world: &harness::World, sink: &Sink, extra: &str) -> Mta {
    world
        .mta("mail")
        .main(&format!("relayhost = {}\nsmtpd_client_restrictions = check_client_access static:HOLD\npostino_ipc_dialect = 3.7\nbounce_size_limit = 3000\nhash_queue_names = deferred\n{extra}", sink.nexthop()))
        .start()
}

#[test]
fn each_request_has_its_notice() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let mta = instance(world, &sink, "");
        let mut asked = Asked { mta: &mta, sink: &sink, text: String::new(), seen: 0, last: Vec::new() };
        let plain = hold(&mta, "Subject: hello\nX-Long: a\n\tb\n\nbody\n");
        let id = plain.as_str();
        asked.request("no log", "bounce", "1", &[&message(id, &[])]);
        asked.request("no log", "defer", "1", &[&message(id, &[("flags", "2")])]);
        asked.request("no log", "defer", "2", &[&message(id, &[])]);
        asked.request("no log", "trace", "5", &[&message(id, &[])]);
        asked.request("no log", "bounce", "3", &[&message(id, &[]), &[("verp_delimiters", "+=")]]);
        for sender in ["", "double-bounce@mail.example.com"] {
            asked.request("no log", "bounce", "1", &[&message(id, &[("sender", sender)])]);
            asked.request(
                "no log",
                "bounce",
                "3",
                &[&message(id, &[("sender", sender)]), &[("verp_delimiters", "+=")]],
            );
        }
        for (title, changes) in OUTCOMES {
            asked.append("bounce", id, &with(OUTCOME, changes));
            asked.request(title, "bounce", "1", &[&message(id, &[])]);
        }
        for (title, changes) in MESSAGES {
            asked.append("bounce", id, &OUTCOME);
            asked.request(title, "bounce", "1", &[&message(id, changes)]);
        }
        for (service, number) in KINDS {
            asked.senders(id, service, number);
        }
        golden(&mta, "bounce/requests", &asked.text, &[]);
    });
}

/// Service and number of each kind of request.
const KINDS: &[(&str, &str)] = &[
    ("defer", "1"),
    ("defer", "2"),
    ("trace", "5"),
    ("bounce", "3"),
    ("bounce", "4"),
    ("bounce", "5"),
    ("bounce", "2"),
    ("defer", "4"),
    ("defer", "5"),
    ("trace", "1"),
    ("bounce", "9"),
];

/// Sender and flags of a request.
const SENDERS: &[(&str, &str)] = &[
    ("s@out.example", "0"),
    ("", "0"),
    ("double-bounce@mail.example.com", "0"),
    ("s@out.example", "512"),
    ("s@out.example", "1024"),
];

/// Outcomes of one recipient, each in a notice of its own.
const OUTCOMES: &[(&str, &[(&str, &str)])] = &[
    ("null recipient", &[("recipient", ""), ("original_recipient", ""), ("dsn_orig_rcpt", "")]),
    ("null original", &[("original_recipient", "")]),
    ("odd recipient", &[("recipient", "a b@x.example"), ("original_recipient", "c\"d@x.example")]),
    ("expanded", &[("original_recipient", "list@x.example"), ("dsn_orig_rcpt", "")]),
    (
        "long",
        &[
            (
                "reason",
                "host mx.x.example[192.0.2.1] said: 550-5.7.1 one two three four five six seven eight nine ten eleven twelve thirteen 550 5.7.1 averyveryveryveryveryveryveryveryveryveryveryveryveryveryveryveryveryveryverylongword end",
            ),
            ("diag_type", "smtp"),
            (
                "diag_text",
                "550-5.7.1 one two three four five six seven eight nine ten eleven twelve thirteen 550 5.7.1 averyveryveryveryveryveryveryveryveryveryveryveryveryveryveryveryveryveryverylongword end",
            ),
            ("mta_type", "dns"),
            ("mta_mname", "mx.x.example"),
        ],
    ),
    (
        "eight bit",
        &[
            ("recipient", "é@x.example"),
            ("original_recipient", "ü@x.example"),
            ("dsn_orig_rcpt", "utf-8;\\x{FC}@x.example"),
            ("reason", "grün"),
        ],
    ),
    ("odd action", &[("action", "odd"), ("reason", "")]),
    ("delayed", &[("status", "4.2.2"), ("action", "delayed")]),
    ("no action", &[("action", "")]),
    ("unix", &[("diag_type", "x-unix"), ("diag_text", "command died")]),
    ("type alone", &[("diag_type", "smtp"), ("mta_type", "dns")]),
    ("text alone", &[("diag_text", "550 no"), ("mta_mname", "mx")]),
    ("never", &[("notify_flags", "1")]),
    ("success", &[("notify_flags", "2")]),
];

/// Messages, each with one failed recipient.
const MESSAGES: &[(&str, &[(&str, &str)])] = &[
    ("headers", &[("ret_flags", "2"), ("envelope_id", "env id+1")]),
    ("full", &[("ret_flags", "1")]),
    ("eight bit", &[("encoding", "8bit")]),
    ("unknown encoding", &[("encoding", "")]),
    ("internationalized", &[("smtputf8", "1"), ("encoding", "8bit"), ("sender", "é@out.example")]),
    ("internationalized headers", &[("smtputf8", "1"), ("ret_flags", "2")]),
    ("odd sender", &[("sender", "a b@out.example")]),
    ("null sender", &[("sender", "")]),
    ("double bounce", &[("sender", "double-bounce@mail.example.com")]),
    ("double bounce elsewhere", &[("sender", "double-bounce@example.com")]),
    ("other queue", &[("queue_name", "active")]),
    ("bad id", &[("queue_id", "../x")]),
];

#[test]
fn the_original_is_quoted_as_far_as_it_is_there() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let mta = instance(
            world,
            &sink,
            "notify_classes = bounce, 2bounce, delay\nenable_threaded_bounces = yes\nbounce_notice_recipient = b@out.example\n2bounce_notice_recipient = bb@out.example\ndelay_notice_recipient = d@out.example",
        );
        let mut asked = Asked { mta: &mta, sink: &sink, text: String::new(), seen: 0, last: Vec::new() };
        let line = format!("{}\n", "0123456789".repeat(30));
        for (title, content) in [
            ("usual", "Message-Id: <own@x>\nSubject: hello\n\nbody\n".to_owned()),
            ("no body", "Subject: hello\n".to_owned()),
            ("no header", "\nbody\n".to_owned()),
            ("From_ line", "From x Mon\n>From y\nSubject: a\n b\nno header\n\nbody\n".to_owned()),
            ("From_ line, then a blank", "From x Mon\n y\nSubject: a\n\nbody\n".to_owned()),
            ("big", format!("Subject: big\n\n{}", line.repeat(20))),
            ("boundary", "Subject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n".to_owned()),
            ("eight bit", "Subject: grün\n\nbödy\n".to_owned()),
            ("long line", format!("Subject: x\n\n{}\n", "y".repeat(2500))),
        ] {
            let id = hold(&mta, &content);
            for (service, number, sender) in [("bounce", "1", "s@out.example"), ("bounce", "1", ""), ("defer", "2", "s@out.example"), ("defer", "2", ""), ("trace", "5", "s@out.example"), ("trace", "5", "")] {
                if title != "usual" && (service != "bounce" || sender.is_empty()) {
                    continue;
                }
                asked.append(service, &id, &OUTCOME);
                asked.request(&format!("{title} <{sender}>"), service, number, &[&message(&id, &[("sender", sender)])]);
                let _ = std::fs::remove_file(mta.spool().join(service).join(&id));
            }
            std::fs::remove_file(mta.queue_file(&id).unwrap()).unwrap();
            if title == "usual" {
                for (service, number) in [("bounce", "1"), ("bounce", "1"), ("defer", "2"), ("trace", "5")] {
                    asked.append(service, &id, &OUTCOME);
                    asked.request(&format!("{title}, vanished"), service, number, &[&message(&id, &[])]);
                    let _ = std::fs::remove_file(mta.spool().join(service).join(&id));
                }
            }
        }
        golden(&mta, "bounce/originals", &asked.text, &[]);
    });
}

#[test]
fn a_damaged_delivery_log_still_gives_a_notice() {
    isolated(|world| {
        let sink = Sink::smtp().start();
        let mta = instance(world, &sink, "");
        let mut asked = Asked { mta: &mta, sink: &sink, text: String::new(), seen: 0, last: Vec::new() };
        let id = hold(&mta, "Subject: hello\n\nbody\n");
        for (title, content) in [
            ("empty", ""),
            ("blank", "\n\n\n"),
            ("garbage", "garbage\nmore = garbage\n\n"),
            ("old style", "<r@x.example>: no reason at all\n\n"),
            ("no reason", "recipient=r@x.example\n\n"),
            ("no recipient", "reason=why\n\n"),
            ("cut", "<r@x.example>: no reason\nrecipient=r@x.exa"),
            (
                "twice",
                "recipient=a@x.example\nreason=one\n\nrecipient=b@x.example\nreason=two\nstatus=5.1.2\naction=failed\n\n",
            ),
            ("odd", "recipient=a@x.example\noffset=zzz\nnotify_flags=zzz\nunknown=1\naction=\nreason=\n\n"),
        ] {
            for service in ["bounce", "defer", "trace"] {
                let path = mta.spool().join(service).join(&id);
                std::fs::write(&path, content).unwrap();
                std::os::unix::fs::chown(
                    &path,
                    Some(std::os::unix::fs::MetadataExt::uid(
                        &std::fs::metadata(mta.spool().join(service)).unwrap(),
                    )),
                    None,
                )
                .unwrap();
                asked.request(
                    title,
                    service,
                    if service == "trace" { "5" } else { "1" },
                    &[&message(&id, &[])],
                );
            }
        }
        golden(&mta, "bounce/damaged", &asked.text, &[]);
    });
}
