//! Every reader of bytes from outside, as a function of bytes: whatever comes, it neither panics nor runs on.
//!
//! `cargo test -p fuzz` feeds each with its examples in `corpus/` and with damaged ones, from a seed. The directory `fuzz`
//! has the same functions as targets of libFuzzer.
#![allow(clippy::panic)] // what a target finds wrong is a failed test

mod config;
mod ipc;
mod mail;
mod server;
mod tables;

use proto_smtp::client::{Features, ReplyReader};

/// A target: its name, which is that of its directory in `corpus/`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("smtp_server", server::smtp_server),
    ("smtp_client", smtp_client),
    ("dns", dns),
    ("ipc", ipc::ipc),
    ("record", mail::record),
    ("mime", mail::mime),
    ("address", mail::address),
    ("expand", config::expand),
    ("main_cf", config::main_cf),
    ("master_cf", config::master_cf),
    ("bounce_template", config::bounce_template),
    ("dbfile", tables::dbfile),
    ("table_source", tables::table_source),
    ("match_list", tables::match_list),
];

/// Runs the target `name`.
///
/// # Panics
/// There is no such target; or the target found something.
pub fn run(name: &str, bytes: &[u8]) {
    let Some((_, target)) = TARGETS.iter().find(|(known, _)| *known == name) else {
        panic!("no target {name}");
    };
    target(bytes);
}

/// What an SMTP server answers.
fn smtp_client(bytes: &[u8]) {
    let mut reader = ReplyReader::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        match reader.line(line.strip_suffix(b"\r").unwrap_or(line)) {
            Ok(Some(reply)) => {
                let _ = (reply.failure_status(), reply.success_status(), reply.failure_text());
                let _ = Features::parse(&reply, proto_smtp::keywords::Keywords::parse("dsn"));
            }
            Ok(None) => {}
            Err(_) => reader = ReplyReader::default(),
        }
    }
}

/// What a name server answers.
fn dns(bytes: &[u8]) {
    use proto_dns::Kind;
    for kind in [Kind::A, Kind::Aaaa, Kind::Mx, Kind::Ns, Kind::Ptr, Kind::Txt] {
        let _ = proto_dns::decode(bytes, "mail.example.com", kind);
    }
}
