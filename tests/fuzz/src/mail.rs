//! Queue file records, messages, addresses.

use mail_address::token;
use mail_mime::downgrade::Downgrade;
use mail_mime::{Content, Declared, Ending, Header, Limits, Parser, Part, Problem, Sink};
use mail_record::{Any, MessageSize, Parsed, QueueId};

/// Tokens of an address list, at most.
const TOKENS: usize = 10_000;

/// A queue file.
pub(crate) fn record(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Parsed::Record(_, data, used)) = mail_record::parse(rest) {
        assert!(used > 0 && data.len() <= used, "no progress");
        let _ = (MessageSize::parse(data), mail_record::split_attribute(data));
        if let Ok(text) = std::str::from_utf8(data)
            && let Ok(id) = QueueId::parse(text)
        {
            let _ = (id.hash_key(), id.inode(), id.is_long());
        }
        rest = rest.get(used..).unwrap_or_default();
    }
    let mut rest = bytes;
    while let Ok(Any::Record(_, _, used)) = mail_record::parse_any(rest) {
        assert!(used > 0, "no progress");
        rest = rest.get(used..).unwrap_or_default();
    }
}

/// Counts what a parser hands on.
struct Count(usize);

impl Sink for Count {
    fn header(&mut self, _part: Part, header: &Header<'_>) {
        self.0 += header.unfolded().len() + header.name_text().len();
    }

    fn headers_end(&mut self, _part: Part, _ending: Ending, _declared: Declared) {
        self.0 += 1;
    }

    fn body(&mut self, _content: Content, _terminated: bool, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn problem(&mut self, _problem: Problem, data: &[u8]) {
        self.0 += data.len();
    }
}

/// A message, in lines and in fragments of lines.
pub(crate) fn mime(bytes: &[u8]) {
    for structure in [true, false] {
        let limits = Limits { header_bytes: 500, boundary_bytes: 70, nesting: 5, structure };
        let (mut parser, mut downgrade) = (Parser::new(limits), Downgrade::new(limits));
        let (mut sink, mut out) = (Count(0), 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (whole, text) = line.strip_suffix(b"\n").map_or((false, line), |text| (true, text));
            for (n, part) in text.chunks(100).enumerate() {
                let last = (n + 1) * 100 >= text.len();
                parser.feed(whole && last, part, &mut sink);
                let _ = downgrade.feed(whole && last, part, &mut |_, part| out += part.len());
            }
            if text.is_empty() {
                parser.feed(true, b"", &mut sink);
                let _ = downgrade.feed(true, b"", &mut |_, part| out += part.len());
            }
        }
        parser.finish(&mut sink);
        downgrade.finish(&mut |_, part| out += part.len());
        assert!(out <= bytes.len() * 6 + 10_000, "{out} bytes out of {}", bytes.len());
    }
}

/// Addresses and lists of them.
pub(crate) fn address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let internal = mail_address::to_internal(&text);
    let external = mail_address::to_external(&internal);
    let again = mail_address::to_internal(&external);
    assert_eq!(mail_address::to_external(&again), external, "{text:?}: not the same when read again");
    let _ = (mail_address::split(&internal), mail_address::fold(&internal));
    for delimiters in ["+", "+-", ""] {
        let _ = mail_address::split_extension(&text, delimiters, true);
    }
    let _ = (token::addresses(&text), token::scan(&text, TOKENS).len());
    let _ = token::rewrite_list(&text, &mut |address| Some(format!("{address}x")));
    let _ = (mail_address::hostname::is_hostname(&text), mail_address::hostname::literal(&text));
    let _ = proto_smtp::server::extract(&text, false);
    let _ = proto_smtp::server::extract(&text, true);
    let _ = engine_expand::targets(&text);
    let _ = mail_text::xtext::decode(bytes);
    let _ = mail_text::printable::printable(bytes, true);
}
