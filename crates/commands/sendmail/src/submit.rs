//! Delivery mode: the message goes through a pipe to postdrop(1).

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use host_config::{Config, param};
use mail_address::{to_external, to_internal, token};
use mail_record::Kind;
use os_sys::identity::user_by_uid;
use proto_ipc::{Format, postdrop};

use crate::message::{Extract, FixLineEndings, Lines, header_parser, is_mailbox_line};
use crate::options::Options;
use crate::{Fatal, fatal};

/// Report flags of `-bv` and `-v`.
const VERIFY: u32 = 512;
const RECORD: u32 = 1024;
/// Bytes of a reply from postdrop.
const REPLY_LIMIT: usize = 64 * 1024;

/// Who submits.
struct Submitter {
    uid: u32,
    sender: String,
    full_name: String,
}

/// Takes the message from standard input, or makes the probe of `-bv`.
pub(crate) fn deliver(config: &Config, options: &Options) -> Result<(), Fatal> {
    let uid = nix::unistd::getuid().as_raw();
    host_tables::authorize(config, host_config::param::AUTHORIZED_SUBMIT_USERS, uid, "submit mail")
        .map_err(Fatal)?;
    let submitter = Submitter::find(options)?;
    let context =
        |text: &str| Fatal(format!("{}({}): {text}", to_external(&submitter.sender), submitter.uid));
    let verp = verp(config, options)?;
    let recipients = operands(&options.recipients);
    if recipients.is_empty() && !options.extract {
        return Err(context(
            "Recipient addresses must be specified on the command line or via the -t option",
        ));
    }
    let mut postdrop = Postdrop::start(config, options).map_err(|e| context(&e.0))?;
    submitter.envelope(&mut postdrop, options, verp.as_deref());
    for recipient in &recipients {
        postdrop.recipient(recipient, options.notify);
    }
    postdrop.put(Kind::Message, b"");
    let extracted = if options.verify {
        probe(&mut postdrop, &submitter.sender, &recipients);
        Vec::new()
    } else {
        content(config, options, &mut postdrop).map_err(|e| context(&e.0))?
    };
    postdrop.put(Kind::Extracted, b"");
    if recipients.is_empty() && extracted.is_empty() {
        return Err(context("No recipient addresses found in message header"));
    }
    for recipient in &extracted {
        postdrop.recipient(recipient, options.notify);
    }
    postdrop.put(Kind::End, b"");
    let reply = postdrop.finish().map_err(|e| context(&e.0))?;
    if reply.status != 0 {
        return Err(context(&reply.reason));
    }
    if options.verify || options.verbose == 1 {
        println!("Mail Delivery Status Report will be mailed to <{}>.", to_external(&submitter.sender));
    }
    Ok(())
}

impl Submitter {
    fn find(options: &Options) -> Result<Self, Fatal> {
        let uid = nix::unistd::getuid().as_raw();
        let user = user_by_uid(uid).map_err(|e| Fatal(format!("unable to look up user ID {uid}: {e}")))?;
        let name = user.as_ref().map(|u| u.name.clone()).unwrap_or_default();
        let sender = match &options.sender {
            Some(text) => sender(text),
            None if name.is_empty() => return fatal(format!("unable to find user name for user ID {uid}")),
            None => name.clone(),
        };
        let full_name = options
            .full_name
            .clone()
            .or_else(|| std::env::var("NAME").ok())
            .unwrap_or_else(|| user.map(|u| full_name(&u.gecos, &name)).unwrap_or_default());
        Ok(Self { uid, sender, full_name })
    }

    fn envelope(&self, postdrop: &mut Postdrop, options: &Options, verp: Option<&str>) {
        if let Some(id) = &options.envelope_id {
            postdrop.attribute("envelope_id", id);
        }
        if options.ret != 0 {
            postdrop.attribute("ret_flags", &options.ret.to_string());
        }
        postdrop.attribute("rewrite_context", if options.gateway { "remote" } else { "local" });
        postdrop.put(Kind::FullName, self.full_name.as_bytes());
        postdrop.put(Kind::Sender, self.sender.as_bytes());
        if let Some(encoding) = options.encoding {
            postdrop.attribute("encoding", encoding);
        }
        if options.verify {
            postdrop.attribute("trace_flags", &VERIFY.to_string());
        } else if options.verbose == 1 {
            postdrop.attribute("trace_flags", &RECORD.to_string());
        }
        if let Some(delimiters) = verp {
            postdrop.put(Kind::Verp, delimiters.as_bytes());
        }
    }
}

/// The sender of `-f`: the first address, with a warning when there is more.
fn sender(text: &str) -> String {
    let found = token::addresses(text);
    if found.len() > 1 {
        os_log::warning!("-f option specified malformed sender: {text}");
    }
    found.first().map(|a| to_internal(a)).unwrap_or_default()
}

/// The name part of a gecos field; `&` stands for the capitalised login name.
fn full_name(gecos: &str, login: &str) -> String {
    let name = gecos.split([',', ';', '%']).next().unwrap_or_default();
    let mut capitalised = login.to_owned();
    if let Some(head) = capitalised.get_mut(..1) {
        head.make_ascii_uppercase();
    }
    name.replace('&', &capitalised)
}

fn verp(config: &Config, options: &Options) -> Result<Option<String>, Fatal> {
    let Some(given) = &options.verp else { return Ok(None) };
    let delimiters =
        if given.is_empty() { config.str(param::DEFAULT_VERP_DELIMITERS)? } else { given.clone() };
    let filter = config.str(param::VERP_DELIMITER_FILTER)?;
    if delimiters.chars().count() == 2 && delimiters.chars().all(|c| filter.contains(c)) {
        Ok(Some(delimiters))
    } else {
        fatal(format!("-V requires two characters from {filter}"))
    }
}

/// The recipients of the command line, internal form; an empty operand is the null address.
fn operands(operands: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for operand in operands {
        let addresses = token::addresses(operand);
        if addresses.is_empty() {
            found.push(operand.clone());
        }
        found.extend(addresses.iter().map(|a| to_internal(a)));
    }
    found
}

/// The message of an address probe.
fn probe(postdrop: &mut Postdrop, sender: &str, recipients: &[String]) {
    postdrop.put(Kind::Line, format!("From: {}", to_external(sender)).as_bytes());
    postdrop.put(Kind::Line, b"Subject: probe");
    postdrop.put(Kind::FilterOrText, b"To:");
    for (index, recipient) in recipients.iter().enumerate() {
        let comma = if index + 1 < recipients.len() { "," } else { "" };
        postdrop.put(Kind::Line, format!("\t{}{comma}", to_external(recipient)).as_bytes());
    }
}

/// Copies standard input; gives the recipients that `-t` found.
fn content(config: &Config, options: &Options, postdrop: &mut Postdrop) -> Result<Vec<String>, Fatal> {
    let number = |parameter| config.int(parameter).map(|n| usize::try_from(n).unwrap_or(0));
    let limit = number(param::LINE_LENGTH_LIMIT)?;
    let fix = config.str(param::SENDMAIL_FIX_LINE_ENDINGS)?;
    let fix = FixLineEndings::parse(&fix)
        .ok_or_else(|| Fatal(format!("unexpected sendmail_fix_line_endings value: {fix}")))?;
    let mut lines = Lines::new(BufReader::with_capacity(64 * 1024, io::stdin().lock()), limit, fix);
    let mut parser = header_parser(number(param::HEADER_SIZE_LIMIT)?);
    let mut output = |kind: Kind, bytes: &[u8]| postdrop.put(kind, bytes);
    let mut extract =
        Extract { output: &mut output, plain: Vec::new(), resent: Vec::new(), any_resent: false, limit };
    let (mut skips_mailbox_lines, mut line_start) = (true, true);
    while let Some(chunk) = lines.next_chunk().map_err(|e| Fatal(format!("error reading input: {e}")))? {
        if skips_mailbox_lines && line_start && is_mailbox_line(&chunk.bytes) {
            continue;
        }
        skips_mailbox_lines = false;
        if !options.ignore_dot && line_start && chunk.terminated && chunk.bytes == b"." {
            break;
        }
        line_start = chunk.terminated;
        if options.extract {
            parser.feed(chunk.terminated, &chunk.bytes, &mut extract);
        } else {
            (extract.output)(if chunk.terminated { Kind::Line } else { Kind::FilterOrText }, &chunk.bytes);
        }
    }
    if options.extract {
        parser.finish(&mut extract);
    }
    Ok(extract.recipients())
}

/// A running postdrop. Dropped before [`Postdrop::finish`] it sees end of file and removes what it has.
struct Postdrop {
    child: Child,
    input: Option<BufWriter<ChildStdin>>,
    failed: Option<io::Error>,
}

impl Postdrop {
    fn start(config: &Config, options: &Options) -> Result<Self, Fatal> {
        let path = Path::new(&config.str(param::COMMAND_DIRECTORY)?).join("postdrop");
        let mut command = Command::new(&path);
        command.arg("-r").stdin(Stdio::piped()).stdout(Stdio::piped());
        for _ in 1..options.verbose {
            command.arg("-v");
        }
        if options.config.is_some() {
            command.env("MAIL_CONFIG", config.dir());
        }
        let mut child =
            command.spawn().map_err(|e| Fatal(format!("unable to execute {} -r: {e}", path.display())))?;
        let input = child.stdin.take().map(|pipe| BufWriter::with_capacity(64 * 1024, pipe));
        Ok(Self { child, input, failed: None })
    }

    fn put(&mut self, kind: Kind, data: &[u8]) {
        let mut bytes = Vec::with_capacity(data.len() + 5);
        mail_record::put(&mut bytes, kind, data);
        if self.failed.is_none()
            && let Some(input) = &mut self.input
            && let Err(error) = input.write_all(&bytes)
        {
            self.failed = Some(error);
        }
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.put(Kind::Attribute, format!("{name}={value}").as_bytes());
    }

    fn recipient(&mut self, address: &str, notify: u32) {
        if notify != 0 {
            self.attribute("notify_flags", &notify.to_string());
        }
        self.put(Kind::Recipient, address.as_bytes());
    }

    /// Ends the stream and waits for the verdict.
    fn finish(mut self) -> Result<postdrop::Reply, Fatal> {
        let written = self.input.as_mut().map_or(Ok(()), Write::flush);
        let mut answer = Vec::new();
        if let Some(output) = self.child.stdout.take() {
            let _ = output.take(REPLY_LIMIT as u64).read_to_end(&mut answer);
        }
        drop(self.input.take());
        let status = self.child.wait();
        let format = Format::default();
        let greeting = proto_ipc::decode::<postdrop::Greeting>(&answer, format).ok().flatten();
        let reply = greeting.and_then(|(greeting, used)| {
            let rest = answer.get(used..)?;
            let known = greeting.protocol == postdrop::PROTOCOL;
            known.then(|| proto_ipc::decode::<postdrop::Reply>(rest, format).ok().flatten())?
        });
        match (reply, self.failed.take().or(written.err())) {
            (Some((reply, _)), _) => Ok(reply),
            (None, Some(error)) => fatal(format!("error writing message: {error}")),
            (None, None) => match status {
                Ok(status) => fatal(format!("postdrop failed: {status}")),
                Err(error) => fatal(format!("postdrop failed: {error}")),
            },
        }
    }
}

impl Drop for Postdrop {
    fn drop(&mut self) {
        if let Some(input) = self.input.take() {
            let (_pipe, _unsent) = input.into_parts();
        }
        let _ = self.child.wait();
    }
}
