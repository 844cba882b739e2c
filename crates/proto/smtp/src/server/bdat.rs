//! BDAT: content in chunks of a known size (RFC 3030).

use std::time::Instant;

use super::command::{Verb, tokens};
use super::content::Fed;
use super::output::Reply;
use super::session::{Phase, Progress, Question, Session};
use super::settings::Keywords;
use super::transaction::Bdat;

/// A chunk on its way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Bytes announced.
    size: u64,
    /// Bytes still to come.
    left: u64,
    /// The last chunk of the message.
    last: bool,
    /// The content is dropped and this is said in the end.
    discard: Option<Reply>,
}

fn parse(arguments: &str) -> Option<Chunk> {
    let words = tokens(arguments);
    let (size, last) = match words.as_slice() {
        [size] => (size, false),
        [size, last] if last.eq_ignore_ascii_case("LAST") => (size, true),
        _ => return None,
    };
    if !size.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = size.parse::<i64>().ok().and_then(|size| u64::try_from(size).ok())?;
    Some(Chunk { size, left: size, last, discard: None })
}

impl Session {
    pub(crate) fn bdat(&mut self, arguments: &str, now: Instant) {
        if self.profile.discarded.has(Keywords::CHUNKING) {
            return self.fail(Verb::Bdat, "521 5.5.1 Error: command not implemented", now);
        }
        let Some(mut chunk) = parse(arguments) else {
            let shown = mail_text::printable::printable(arguments.as_bytes(), true);
            self.warn(format!(
                "{}: malformed BDAT command syntax from {}: BDAT {shown}",
                self.queue_id_text(),
                self.namaddr()
            ));
            return self.fail(Verb::Bdat, "521 5.5.4 Syntax: BDAT count [LAST]", now);
        };
        if chunk.size == 0 && !chunk.last {
            self.warn(format!("{}: null BDAT request from {}", self.queue_id_text(), self.namaddr()));
            self.bdat_failed = true;
            return self.refuse(Verb::Bdat, &Reply::new("551 5.7.1 Null BDAT request"), now);
        }
        let limit = self.settings.message_size_limit;
        if limit > 0 && chunk.size > limit.saturating_sub(self.content_bytes()) {
            return self.refuse_all_input(now);
        }
        if self.bdat_failed {
            let text = format!("551 5.0.0 Discarded {} bytes after earlier error", chunk.size);
            return self.discard(chunk, &Reply::new(text));
        }
        if let Some(reply) = self.no_recipients() {
            return self.discard(chunk, &reply);
        }
        let first = self.body.is_none();
        chunk.discard = None;
        self.chunk = Some(chunk);
        if first && self.settings.ask_data {
            return self.ask(Question::Data, Verb::Bdat);
        }
        self.begin_chunks();
    }

    fn refuse_all_input(&mut self, now: Instant) {
        self.warn(format!(
            "{}: too much BDAT content -- disabling further input from {}",
            self.queue_id_text(),
            self.namaddr()
        ));
        self.bdat_failed = true;
        self.fail_policy(Verb::Bdat, "552 5.3.4 Chunk exceeds message size limit", now);
        self.shut_input();
    }

    fn discard(&mut self, mut chunk: Chunk, reply: &Reply) {
        self.bdat_failed = !chunk.last;
        chunk.discard = Some(reply.clone());
        self.chunk = Some(chunk);
        self.phase = Phase::Chunk;
    }

    /// The restrictions of DATA refused the first chunk: its content is dropped.
    pub(crate) fn refuse_chunk(&mut self, reply: &Reply) {
        if let Some(chunk) = self.chunk.take() {
            self.discard(chunk, reply);
        }
    }

    pub(crate) fn begin_chunks(&mut self) {
        if self.body.is_none() {
            self.body = Some(self.new_body(false));
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.bdat = Bdat::Running;
        }
        self.phase = Phase::Chunk;
    }

    /// Takes what has come of the chunk.
    pub(crate) fn chunk(&mut self, now: Instant) -> Progress {
        let Some(mut chunk) = self.chunk.take() else {
            self.phase = Phase::Command;
            return Progress::Again;
        };
        let available = usize::try_from(chunk.left).unwrap_or(usize::MAX).min(self.unread().len());
        let (used, full) = match (&chunk.discard, self.body.take()) {
            (None, Some(mut body)) => {
                let fed = body.feed(self.unread().get(..available).unwrap_or_default());
                self.body = Some(body);
                match fed {
                    Fed::BlockFull(used) | Fed::Ended(used) => (used, true),
                    Fed::More => (available, false),
                }
            }
            (_, body) => {
                self.body = body;
                (available, false)
            }
        };
        self.consume(used);
        chunk.left -= used as u64;
        if full {
            self.chunk = Some(chunk);
            self.ask(Question::Content, Verb::Bdat);
        } else if chunk.left == 0 {
            self.chunk_done(chunk, now);
        } else {
            self.chunk = Some(chunk);
            self.phase = Phase::Chunk;
            return Progress::Starved;
        }
        Progress::Again
    }

    fn chunk_done(&mut self, chunk: Chunk, now: Instant) {
        self.phase = Phase::Command;
        if let Some(reply) = &chunk.discard {
            self.refuse(Verb::Bdat, reply, now);
        } else if chunk.last {
            if let Some(body) = &mut self.body {
                body.finish();
            }
            self.end(Verb::Bdat);
        } else {
            self.succeed(Verb::Bdat, &format!("250 2.0.0 Ok: {} bytes", chunk.size), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bdat_takes_a_count_and_maybe_last() {
        for (text, size, last) in [
            ("5", Some(5), false),
            ("5 last", Some(5), true),
            ("", None, false),
            ("x", None, false),
            ("5 FIRST", None, false),
            ("-1", None, false),
        ] {
            let chunk = parse(text);
            assert_eq!(chunk.as_ref().map(|c| c.size), size, "{text}");
            assert_eq!(chunk.is_some_and(|c| c.last), last, "{text}");
        }
    }
}
