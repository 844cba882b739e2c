//! The SMTP and LMTP clients against servers that refuse, defer or vanish at each step, alone and with a second server.

use harness::{Sink, SinkBuilder, golden, isolated, normal, normal_log};
use std::fmt::Write as _;

/// Where the first server gives its answer.
const STEPS: [&str; 10] =
    ["CONNECT", "EHLO", "HELO", "MAIL", "RCPT TO:<bad", "RCPT", "DATA", ".", "RSET", "QUIT"];

/// The answer; none: the connection ends.
const ANSWERS: [&str; 4] = ["550 5.1.2 no", "450 4.1.2 later", "421 4.3.2 closing", ""];

fn refuse(sink: SinkBuilder, step: &str, answer: &str) -> SinkBuilder {
    let sink = if step == "HELO" { sink.on("EHLO", "500 5.5.1 what") } else { sink };
    if answer.is_empty() { sink.drop_first(1, step) } else { sink.on(step, answer) }
}

struct Case {
    name: String,
    first: Sink,
    second: Option<Sink>,
}

impl Case {
    fn nexthop(&self) -> String {
        let second = self.second.as_ref().map(|sink| format!(", {}", sink.nexthop()));
        format!("{}{}", self.first.nexthop(), second.unwrap_or_default())
    }

    fn said(&self) -> String {
        let mut text = String::new();
        for (name, sink) in [("first", Some(&self.first)), ("second", self.second.as_ref())] {
            for lines in sink.iter().flat_map(|sink| sink.sessions()) {
                let lines: Vec<String> = lines.into_iter().filter(|line| line != "QUIT").collect();
                let _ = writeln!(text, "{name}: {}", normal(&lines.join(" | ")));
            }
        }
        text
    }
}

fn cases(features: &[&str], lmtp: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for step in STEPS {
        for answer in ANSWERS {
            for with_second in [false, true] {
                let sink = if lmtp { Sink::lmtp() } else { Sink::smtp() };
                let step = if lmtp && step == "EHLO" { "LHLO" } else { step };
                let first = refuse(sink.features(features), step, answer).start();
                let second = with_second.then(|| if lmtp { Sink::lmtp() } else { Sink::smtp() }.start());
                let name = format!("{step}: {answer}{}", if with_second { " (two servers)" } else { "" });
                cases.push(Case { name, first, second });
            }
        }
    }
    cases
}

fn compare(name: &'static str, features: &'static [&'static str], lmtp: bool, main: &'static str) {
    isolated(move |world| {
        let cases = cases(features, lmtp);
        let transport = if lmtp { "lmtp" } else { "smtp" };
        let map: String = cases
            .iter()
            .enumerate()
            .map(|(n, case)| format!("case{n}.example {transport}:{}\n", case.nexthop()))
            .collect();
        let mta = world
            .mta("mail")
            .main("default_destination_concurrency_failed_cohort_limit = 10\nqueue_run_delay = 1h\nminimal_backoff_time = 1h\nmaximal_backoff_time = 1h\ntransport_maps = texthash:$CONFIG/transport\ndefault_transport = discard\nsmtpd_recipient_limit = 100")
            .main(main)
            .table("texthash", "transport", &map)
            .start();
        let mut text = String::new();
        let ids: Vec<String> = (0..cases.len())
            .map(|n| {
                let rcpts = [format!("bad@case{n}.example"), format!("good@case{n}.example")];
                mta.send("", &[&rcpts[0], &rcpts[1]], "Subject: x\n\nbody\n")
            })
            .collect();
        for (case, id) in cases.iter().zip(&ids) {
            let _ = mta.wait_count(&[&format!(" {id}: to=")], 2);
            let mut lines: Vec<String> =
                mta.lines(&["mtp[", id.as_str()]).iter().map(|line| normal_log(line) + "\n").collect();
            lines.sort();
            let _ = writeln!(text, "== {}\n{}{}", case.name, lines.concat(), case.said());
        }
        golden(&mta, &format!("servers/{name}"), &text, &[]);
    });
}

#[test]
fn with_pipelining() {
    compare("pipelining", &["PIPELINING", "SIZE 1000000", "8BITMIME", "ENHANCEDSTATUSCODES"], false, "");
}

#[test]
fn one_command_at_a_time() {
    compare("plain", &["SIZE", "8BITMIME"], false, "");
}

#[test]
fn over_lmtp() {
    compare("lmtp", &["PIPELINING", "8BITMIME"], true, "");
}

#[test]
fn where_refusals_count() {
    compare("strict", &["PIPELINING", "8BITMIME"], false, "smtp_skip_5xx_greeting = no\nsoft_bounce = no");
}

#[test]
fn where_nothing_is_final() {
    compare("soft", &["PIPELINING", "8BITMIME"], false, "soft_bounce = yes");
}
