//! A small authoritative DNS server for tests, UDP and TCP.
//!
//! The zone is text, one record a line: `NAME TYPE VALUE`, for example `example.org MX 10 mx1.example.org`. Types:
//! A, AAAA, MX, CNAME, PTR, NS, TXT. `NAME SERVFAIL` makes every question about the name fail for now. A name that
//! has no line does not exist.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

const NOERROR: u8 = 0;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const OPT: u16 = 41;
const CNAME: u16 = 5;

struct Record {
    name: String,
    kind: u16,
    data: Vec<u8>,
}

struct Zone {
    records: Vec<Record>,
    failing: HashSet<String>,
}

/// A DNS server that answers for its zone until the process ends.
pub struct DnsServer {
    address: SocketAddr,
}

impl DnsServer {
    /// Serves `zone` at `address`, UDP and TCP.
    pub fn start(address: &str, zone: &str) -> Self {
        let zone = Arc::new(Zone::parse(zone));
        let udp = UdpSocket::bind(address).expect("bind DNS/UDP");
        let address = udp.local_addr().expect("DNS address");
        let tcp = TcpListener::bind(address).expect("bind DNS/TCP");
        let shared = Arc::clone(&zone);
        std::thread::spawn(move || serve_udp(&udp, &shared));
        std::thread::spawn(move || serve_tcp(&tcp, &zone));
        Self { address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn serve_udp(socket: &UdpSocket, zone: &Zone) {
    let mut buffer = [0u8; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        if let Some(answer) = buffer.get(..length).and_then(|query| zone.answer(query)) {
            let answer = if answer.len() > 1232 { truncated(&answer) } else { answer };
            let _ = socket.send_to(&answer, peer);
        }
    }
}

fn serve_tcp(listener: &TcpListener, zone: &Zone) {
    for mut stream in listener.incoming().flatten() {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let mut length = [0u8; 2];
        while stream.read_exact(&mut length).is_ok() {
            let mut query = vec![0u8; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut query).is_err() {
                break;
            }
            let Some(answer) = zone.answer(&query) else { break };
            let mut wire = u16::try_from(answer.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
            wire.extend(answer);
            if stream.write_all(&wire).is_err() {
                break;
            }
        }
    }
}

/// The header and question only, with the TC bit: "ask again over TCP".
fn truncated(answer: &[u8]) -> Vec<u8> {
    let (_, _, end) = question(answer).unwrap_or((String::new(), 0, 12));
    let mut short = answer.get(..end).unwrap_or(&[]).to_vec();
    if let Some(flags) = short.get_mut(2) {
        *flags |= 0x02;
    }
    if let Some(counts) = short.get_mut(6..12) {
        counts.fill(0);
    }
    short
}

impl Zone {
    fn parse(text: &str) -> Self {
        let mut zone = Self { records: Vec::new(), failing: HashSet::new() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.splitn(3, ' ').collect();
            match words[..] {
                [name, "SERVFAIL"] => {
                    zone.failing.insert(name.to_owned());
                }
                [name, kind, value] => zone.records.push(record(name, kind, value.trim())),
                _ => panic!("zone line {line:?}"),
            }
        }
        zone
    }

    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, kind, end) = question(query)?;
        let mut found: Vec<&Record> = Vec::new();
        let mut at = name.clone();
        for _ in 0..8 {
            let here: Vec<_> = self.records.iter().filter(|record| record.name == at).collect();
            found.extend(here.iter().filter(|record| record.kind == kind));
            match here.iter().find(|record| record.kind == CNAME && kind != CNAME) {
                Some(alias) => {
                    found.push(alias);
                    at = read_name(&alias.data, 0)?.0;
                }
                None => break,
            }
        }
        let exists = self.records.iter().any(|r| r.name == at || r.name.ends_with(&format!(".{at}")));
        let code = if self.failing.contains(&at) {
            SERVFAIL
        } else if exists || !found.is_empty() {
            NOERROR
        } else {
            NXDOMAIN
        };
        Some(response(query, end, code, &found))
    }
}

fn response(query: &[u8], end: usize, code: u8, answers: &[&Record]) -> Vec<u8> {
    let mut out = query.get(..end).unwrap_or(&[]).to_vec();
    let asked_recursion = query.get(2).copied().unwrap_or(0) & 0x01;
    if let Some(header) = out.get_mut(2..12) {
        let soa = u8::from(answers.is_empty() && code != SERVFAIL);
        let count = u16::try_from(answers.len()).unwrap_or(0).to_be_bytes();
        header.copy_from_slice(&[
            0x84 | asked_recursion,
            0x80 | code,
            0,
            1,
            count[0],
            count[1],
            0,
            soa,
            0,
            1,
        ]);
    }
    for record in answers {
        push_record(&mut out, &record.name, record.kind, &record.data);
    }
    if answers.is_empty() && code != SERVFAIL {
        let mut soa = wire_name("ns.invalid");
        soa.extend(wire_name("hostmaster.invalid"));
        for number in [1u32, 60, 60, 60, 60] {
            soa.extend(number.to_be_bytes());
        }
        push_record(&mut out, "", 6, &soa);
    }
    out.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]); // EDNS0, 4096 bytes
    out
}

fn push_record(out: &mut Vec<u8>, name: &str, kind: u16, data: &[u8]) {
    debug_assert_ne!(kind, OPT);
    out.extend(wire_name(name));
    out.extend(kind.to_be_bytes());
    out.extend([0, 1, 0, 0, 0, 60]);
    out.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    out.extend(data);
}

/// Name (lower case), type and end of the first question.
fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let (name, at) = read_name(message, 12)?;
    let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
    Some((name, kind, at + 4))
}

fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).expect("label length"));
        out.extend(label.bytes());
    }
    out.push(0);
    out
}

fn record(name: &str, kind: &str, value: &str) -> Record {
    let (kind, data) = match kind {
        "A" => (1, value.parse::<Ipv4Addr>().expect("A").octets().to_vec()),
        "AAAA" => (28, value.parse::<Ipv6Addr>().expect("AAAA").octets().to_vec()),
        "NS" => (2, wire_name(value)),
        "CNAME" => (CNAME, wire_name(value)),
        "PTR" => (12, wire_name(value)),
        "MX" => {
            let (preference, host) = value.split_once(' ').expect("MX preference host");
            let mut data = preference.parse::<u16>().expect("MX preference").to_be_bytes().to_vec();
            data.extend(wire_name(host));
            (15, data)
        }
        "TXT" => {
            let mut data = vec![u8::try_from(value.len()).expect("TXT length")];
            data.extend(value.bytes());
            (16, data)
        }
        other => panic!("zone record type {other}"),
    };
    Record { name: name.to_ascii_lowercase(), kind, data }
}
