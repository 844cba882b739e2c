//! Notice templates (`postconf(5) bounce_template_file`). The built-in texts are the reference's: mail programs and people
//! recognise bounces by them.

/// Looks up the value of a `$name` in a template.
pub struct Macros<'a> {
    /// Value by name; `None`: undefined.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl std::fmt::Debug for Macros<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Macros")
    }
}

/// Header fields and text of one kind of notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// `Charset:` value.
    pub charset: String,
    /// `From:` value.
    pub from: String,
    /// `Subject:` value.
    pub subject: String,
    /// `Postmaster-Subject:` value.
    pub postmaster_subject: Option<String>,
    /// Lines of the text, macros unexpanded.
    pub body: Vec<String>,
}

/// A template file that cannot be understood, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTemplate(pub String);

/// The four templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Templates {
    /// `failure_template`
    pub failure: Template,
    /// `delay_template`
    pub delay: Template,
    /// `success_template`
    pub success: Template,
    /// `verify_template`
    pub verify: Template,
}

/// A charset whose texts may have no 8-bit characters.
const ASCII: &str = "us-ascii";

const FROM: &str = "Mail Delivery System <MAILER-DAEMON>";

const FAILURE: &str = "\
This is the mail system at host $myhostname.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

For further assistance, please send mail to postmaster.

If you do so, please include this problem report. You can
delete your own text from the attached returned message.

                   The mail system";

const DELAY: &str = "\
This is the mail system at host $myhostname.

####################################################################
# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #
####################################################################

Your message could not be delivered for more than $delay_warning_time_hours hour(s).
It will be retried until it is $maximal_queue_lifetime_days day(s) old.

For further assistance, please send mail to postmaster.

If you do so, please include this problem report. You can
delete your own text from the attached returned message.

                   The mail system";

const SUCCESS: &str = "\
This is the mail system at host $myhostname.

Your message was successfully delivered to the destination(s)
listed below. If the message was delivered to mailbox you will
receive no further notifications. Otherwise you may still receive
notifications of mail delivery errors from other systems.

                   The mail system";

const VERIFY: &str = "\
This is the mail system at host $myhostname.

Enclosed is the mail delivery report that you requested.

                   The mail system";

impl Default for Templates {
    fn default() -> Self {
        let built_in = |subject: &str, postmaster: Option<&str>, body: &str| Template {
            charset: ASCII.into(),
            from: FROM.into(),
            subject: subject.into(),
            postmaster_subject: postmaster.map(str::to_owned),
            body: body.lines().map(str::to_owned).collect(),
        };
        Self {
            failure: built_in(
                "Undelivered Mail Returned to Sender",
                Some("Postmaster Copy: Undelivered Mail"),
                FAILURE,
            ),
            delay: built_in(
                "Delayed Mail (still being retried)",
                Some("Postmaster Warning: Delayed Mail"),
                DELAY,
            ),
            success: built_in("Successful Mail Delivery Report", None, SUCCESS),
            verify: built_in("Mail Delivery Status Report", None, VERIFY),
        }
    }
}

/// What a template file makes of the templates, and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// All four; one that cannot be used keeps its built-in text.
    pub templates: Templates,
    /// Warnings, in order.
    pub warnings: Vec<String>,
}

impl Templates {
    /// The kinds of notices, as names of templates begin, with their templates.
    #[must_use]
    pub fn by_kind(&self) -> [(&'static str, &Template); 4] {
        [
            ("failure", &self.failure),
            ("delay", &self.delay),
            ("success", &self.success),
            ("verify", &self.verify),
        ]
    }

    /// Reads a template file: `name = <<TAG`, lines, `TAG`, or `name = one line`; `path` is for messages. Of two templates
    /// of a name the last one counts.
    ///
    /// # Errors
    /// The file cannot be understood: the reference's fatal text.
    pub fn parse(path: &str, file: &str) -> Result<Parsed, BadTemplate> {
        let mut parsed = Parsed { templates: Self::default(), warnings: Vec::new() };
        let mut texts: [(&str, Option<Vec<&str>>); 4] =
            Self::default().by_kind().map(|(kind, _)| (kind, None));
        let mut lines = file.lines().zip(1usize..);
        while let Some((line, number)) = lines.next() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = name_and_value(line)
                .map_err(|why| BadTemplate(format!("{path}, line {number}: {why}: \"{line}\"")))?;
            let text = match value.strip_prefix("<<").map(str::trim) {
                None => vec![value],
                Some("") => {
                    // The number of the line behind, as the reference counts.
                    let next = number + 1;
                    return Err(BadTemplate(format!("{path}, line {next}: missing end marker after <<")));
                }
                Some(marker) => marked(&mut lines, marker, path, &mut parsed.warnings),
            };
            let slot = texts.iter_mut().find(|(kind, _)| name.strip_suffix("_template") == Some(kind));
            match slot {
                Some((_, slot)) => *slot = Some(text),
                None => parsed.warnings.push(format!(
                    "{path}, line {number}: unknown template name: {name} -- ignoring this template"
                )),
            }
        }
        let templates = &mut parsed.templates;
        let targets =
            [&mut templates.failure, &mut templates.delay, &mut templates.success, &mut templates.verify];
        for ((kind, text), target) in texts.into_iter().zip(targets) {
            let Some(text) = text else { continue };
            match target.with(kind, &text) {
                Ok(template) => *target = template,
                Err(why) => parsed.warnings.extend(why.into_iter().enumerate().map(|(at, why)| match at {
                    0 => format!("{path}: {why}"),
                    _ => why,
                })),
            }
        }
        Ok(parsed)
    }
}

fn name_and_value(line: &str) -> Result<(&str, &str), &'static str> {
    let end = line.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let value = rest.trim_start().strip_prefix('=').ok_or("missing '=' after attribute name")?;
    if name.is_empty() { Err("missing attribute name") } else { Ok((name, value.trim())) }
}

/// The lines up to the marker.
fn marked<'a>(
    lines: &mut impl Iterator<Item = (&'a str, usize)>,
    marker: &str,
    path: &str,
    warnings: &mut Vec<String>,
) -> Vec<&'a str> {
    let mut text = Vec::new();
    let mut last = 0;
    for (line, number) in lines {
        if line.trim_end() == marker {
            return text;
        }
        text.push(line);
        last = number;
    }
    warnings.push(format!("{path}, line {}: missing \"{marker}\" end marker", last + 1));
    text
}

impl Template {
    /// This template with the header fields and the text of a file. `Err`: what to say when it cannot be used.
    fn with(&self, kind: &str, lines: &[&str]) -> Result<Self, Vec<String>> {
        let refuse = |why: String| vec![format!("{why} in {kind} template -- ignoring this template")];
        let mut template = self.clone();
        let mut lines = lines.iter().peekable();
        while let Some((header, value)) = lines.peek().and_then(|line| header(line)) {
            lines.next();
            let wanted = match header.to_ascii_lowercase().as_str() {
                "charset" => &mut template.charset,
                "from" => &mut template.from,
                "subject" => &mut template.subject,
                "postmaster-subject" => match &mut template.postmaster_subject {
                    Some(subject) => subject,
                    None => return Err(refuse(format!("inapplicable \"{header}\" header label"))),
                },
                _ => return Err(refuse(format!("unknown \"{header}\" header label"))),
            };
            if value.is_empty() {
                return Err(refuse(format!("empty \"{header}\" header value")));
            }
            if !value.is_ascii() {
                return Err(refuse(format!("non-ASCII \"{header}\" header value")));
            }
            value.clone_into(wanted);
        }
        lines.next_if(|line| line.is_empty());
        template.body = lines.map(|line| (*line).to_owned()).collect();
        if template.body.is_empty() {
            return Err(refuse("missing message text".into()));
        }
        let is_ascii = template.body.iter().all(|line| line.is_ascii());
        if template.charset.eq_ignore_ascii_case(ASCII) && !is_ascii {
            return Err(vec![
                format!("8-bit message text in {kind} template"),
                "please specify a charset value other than us-ascii".into(),
                "-- ignoring this template for now".into(),
            ]);
        }
        Ok(template)
    }

    /// Names in the text that nobody knows.
    #[must_use]
    pub fn first_line_with_unknown(&self, is_known: &dyn Fn(&str) -> bool) -> Option<&str> {
        let unknown = std::cell::Cell::new(false);
        let macros = Macros {
            lookup: &|name| {
                unknown.set(unknown.get() || !is_known(name));
                None
            },
        };
        self.body.iter().map(String::as_str).find(|line| {
            expand(line, &macros);
            unknown.get()
        })
    }

    /// As a template file has it (`postconf -t`), with a marker that does not stand in the text.
    #[must_use]
    pub fn dump(&self, kind: &str) -> String {
        let mut text = format!(
            "{kind}_template = <<EOF\nCharset: {}\nFrom: {}\nSubject: {}\n",
            self.charset, self.from, self.subject
        );
        if let Some(subject) = &self.postmaster_subject {
            text.push_str(&format!("Postmaster-Subject: {subject}\n"));
        }
        format!("{text}\n{}\nEOF\n", self.body.join("\n"))
    }

    /// The text with its macros expanded; an undefined one is empty.
    #[must_use]
    pub fn text(&self, macros: &Macros<'_>) -> Vec<String> {
        self.body.iter().map(|line| expand(line, macros)).collect()
    }
}

/// `Label: value`; anything else is text.
fn header(line: &str) -> Option<(&str, &str)> {
    let (label, value) = line.split_once(':')?;
    let is_label = !label.is_empty() && label.bytes().all(|b| b.is_ascii_graphic());
    is_label.then_some((label, value.trim()))
}

fn expand(line: &str, macros: &Macros<'_>) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let braced = after.strip_prefix(['{', '(']);
        let name_text = braced.unwrap_or(after);
        let end = name_text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name_text.len());
        let (name, tail) = name_text.split_at(end);
        out.push_str(&(macros.lookup)(name).unwrap_or_default());
        rest = if braced.is_some() { tail.strip_prefix(['}', ')']).unwrap_or(tail) } else { tail };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_replace_templates_and_bad_ones_are_told() {
        let file = "# x\nfailure_template = <<EOF\nFrom: X <MAILER-DAEMON>\nSubject: No\n\nat ${myhostname} $$5\nEOF\n\
                    success_template = <<EOF\nPostmaster-Subject: y\n\ntext\nEOF\n";
        let parsed = Templates::parse("f", file).unwrap();
        assert_eq!(parsed.templates.failure.subject, "No");
        let macros = Macros { lookup: &|name| Some(name.to_uppercase()) };
        assert_eq!(parsed.templates.failure.text(&macros), ["at MYHOSTNAME $5"]);
        assert_eq!(parsed.templates.success, Templates::default().success);
        assert_eq!(
            parsed.warnings,
            [
                "f: inapplicable \"Postmaster-Subject\" header label in success template -- ignoring this template"
            ]
        );
    }

    #[test]
    fn what_a_template_lacks_comes_from_the_built_in_one() {
        let parsed = Templates::parse("f", "delay_template = <<X\nno header\n\nat $nosuch\nX\n").unwrap();
        let delay = &parsed.templates.delay;
        assert_eq!((delay.subject.as_str(), delay.body.len()), ("Delayed Mail (still being retried)", 3));
        assert_eq!(delay.first_line_with_unknown(&|name| name == "myhostname"), Some("at $nosuch"));
        let again = Templates::parse("f", &delay.dump("delay")).unwrap();
        assert_eq!((again.templates.delay, again.warnings.len()), (delay.clone(), 0));
        let wrong = Templates::parse("f", "# c\nfoo\n").unwrap_err();
        assert_eq!(wrong.0, "f, line 2: missing '=' after attribute name: \"foo\"");
    }
}
