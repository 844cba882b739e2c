//! One question, one answer: over UDP, over TCP when the answer was truncated.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};

use crate::{Cause, ResolvConf};

/// Largest UDP answer looked at.
const UDP_LIMIT: usize = 4096;

/// Asks each server in turn, some rounds; the first usable answer wins.
pub fn ask(conf: &ResolvConf, name: &Name, kind: RecordType) -> Result<Message, Cause> {
    let mut last = Cause::TryAgain;
    for _ in 0..conf.attempts {
        for &server in &conf.servers {
            match ask_one(server, name, kind, conf.timeout) {
                Ok(reply) if is_final(reply.metadata.response_code) => return Ok(reply),
                Ok(_) => last = Cause::TryAgain,
                Err(cause) => last = cause,
            }
        }
    }
    Err(last)
}

/// Server failures and refusals: another server may know better.
fn is_final(code: ResponseCode) -> bool {
    !matches!(code, ResponseCode::ServFail | ResponseCode::Refused | ResponseCode::NotImp)
}

fn ask_one(server: SocketAddr, name: &Name, kind: RecordType, timeout: Duration) -> Result<Message, Cause> {
    let mut question = Message::query();
    question.metadata.op_code = OpCode::Query;
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name.clone(), kind));
    let packet = question.to_vec().map_err(|_| Cause::Fail)?;
    let reply = over_udp(server, &packet, &question, timeout)?;
    if reply.metadata.truncation { over_tcp(server, &packet, &question, timeout) } else { Ok(reply) }
}

fn over_udp(
    server: SocketAddr,
    packet: &[u8],
    question: &Message,
    timeout: Duration,
) -> Result<Message, Cause> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let failed = |_: io::Error| Cause::TryAgain;
    // A fresh socket a question: the kernel gives it an unpredictable source port (RFC 5452 §9.2).
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).map_err(failed)?;
    socket.connect(server).map_err(failed)?;
    socket.send(packet).map_err(failed)?;
    let deadline = Instant::now() + timeout;
    let mut buffer = [0u8; UDP_LIMIT];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Cause::TryAgain);
        }
        socket.set_read_timeout(Some(left)).map_err(failed)?;
        let length = socket.recv(&mut buffer).map_err(failed)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        // Anything that is not an answer to this question is somebody's guess: wait on.
        if let Some(reply) = answer_to(question, bytes) {
            return reply;
        }
    }
}

fn over_tcp(
    server: SocketAddr,
    packet: &[u8],
    question: &Message,
    timeout: Duration,
) -> Result<Message, Cause> {
    let exchange = || -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&server, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        let length = u16::try_from(packet.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(packet);
        stream.write_all(&framed)?;
        let mut length = [0u8; 2];
        stream.read_exact(&mut length)?;
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply)?;
        Ok(reply)
    };
    let bytes = exchange().map_err(|_| Cause::TryAgain)?;
    answer_to(question, &bytes).unwrap_or(Err(Cause::Malformed))
}

/// `None`: the bytes are no answer to this question. An answer to it that cannot be decoded is malformed.
fn answer_to(question: &Message, bytes: &[u8]) -> Option<Result<Message, Cause>> {
    let id = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    if id != question.metadata.id {
        return None;
    }
    let Ok(reply) = Message::from_vec(bytes) else { return Some(Err(Cause::Malformed)) };
    let same_question = match (reply.queries.first(), question.queries.first()) {
        (Some(a), Some(b)) => a.name().eq_ignore_root_case(b.name()) && a.query_type() == b.query_type(),
        // Some servers leave the question out of an error reply.
        (None, _) => reply.metadata.response_code != ResponseCode::NoError,
        (Some(_), None) => false,
    };
    (reply.metadata.message_type == MessageType::Response && same_question).then_some(Ok(reply))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Resolver, Value};
    use hickory_proto::rr::{RData, Record, rdata};

    /// A name server on loopback that answers each question with `reply`.
    fn server(reply: impl Fn(&Message) -> Vec<Vec<u8>> + Send + 'static) -> ResolvConf {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0u8; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                let question = Message::from_vec(&buffer[..length]).unwrap();
                for packet in reply(&question) {
                    let _ = socket.send_to(&packet, peer);
                }
            }
        });
        ResolvConf { servers: vec![address], timeout: Duration::from_secs(5), attempts: 1 }
    }

    fn response(question: &Message, records: Vec<Record>) -> Message {
        let mut reply = Message::response(question.metadata.id, OpCode::Query);
        reply.add_queries(question.queries.clone());
        reply.add_answers(records);
        reply
    }

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn aliases_are_followed_and_foreign_packets_are_ignored() {
        let conf = server(|question| {
            let records = vec![
                Record::from_rdata(name("www.test."), 60, RData::CNAME(rdata::CNAME(name("host.test.")))),
                Record::from_rdata(name("host.test."), 60, RData::A(rdata::A::new(192, 0, 2, 1))),
                Record::from_rdata(name("other.test."), 60, RData::A(rdata::A::new(192, 0, 2, 9))),
            ];
            let mut forged = response(question, vec![]);
            forged.metadata.id = question.metadata.id.wrapping_add(1);
            vec![forged.to_vec().unwrap(), b"x".to_vec(), response(question, records).to_vec().unwrap()]
        });
        let found = Resolver::new(conf).lookup("www.test", Kind::A).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), &found[0].value),
            ("host.test", &Value::Address("192.0.2.1".parse().unwrap()))
        );
    }

    #[test]
    fn each_response_code_has_its_cause() {
        for (code, cause) in [
            (ResponseCode::NXDomain, Cause::NotFound),
            (ResponseCode::NoError, Cause::NoData),
            (ResponseCode::ServFail, Cause::TryAgain),
            (ResponseCode::FormErr, Cause::Fail),
        ] {
            let conf = server(move |question| {
                let mut reply = response(question, vec![]);
                reply.metadata.response_code = code;
                vec![reply.to_vec().unwrap()]
            });
            assert_eq!(Resolver::new(conf).lookup("x.test", Kind::Mx).unwrap_err().cause, cause);
        }
    }

    #[test]
    fn an_alias_loop_ends() {
        let conf = server(|question| {
            let records = vec![
                Record::from_rdata(name("a.test."), 60, RData::CNAME(rdata::CNAME(name("b.test.")))),
                Record::from_rdata(name("b.test."), 60, RData::CNAME(rdata::CNAME(name("a.test.")))),
            ];
            vec![response(question, records).to_vec().unwrap()]
        });
        assert_eq!(Resolver::new(conf).lookup("a.test", Kind::A).unwrap_err().cause, Cause::Malformed);
    }
}
