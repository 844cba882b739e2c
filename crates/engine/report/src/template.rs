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
    /// `From:` value.
    pub from: String,
    /// `Subject:` value.
    pub subject: String,
    /// `Postmaster-Subject:` value.
    pub postmaster_subject: Option<String>,
    /// Lines of the text, macros unexpanded.
    pub body: Vec<String>,
}

/// A template that cannot be used, and why.
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

impl Templates {
    /// Reads a template file: `name = <<TAG`, lines, `TAG`. A template that cannot be used keeps its built-in text and is
    /// told about.
    #[must_use]
    pub fn parse(file: &str) -> (Self, Vec<BadTemplate>) {
        let mut templates = Self::default();
        let mut bad = Vec::new();
        let mut lines = file.lines();
        while let Some(line) = lines.next() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, tag)) =
                line.split_once('=').and_then(|(n, v)| Some((n.trim(), v.trim().strip_prefix("<<")?.trim())))
            else {
                bad.push(BadTemplate(format!("expecting \"name = <<TAG\" instead of \"{line}\"")));
                continue;
            };
            let text: Vec<&str> = lines.by_ref().take_while(|l| l.trim_end() != tag).collect();
            let target = match name {
                "failure_template" => &mut templates.failure,
                "delay_template" => &mut templates.delay,
                "success_template" => &mut templates.success,
                "verify_template" => &mut templates.verify,
                _ => {
                    bad.push(BadTemplate(format!("unknown template name: {name}")));
                    continue;
                }
            };
            match Template::parse(name, &text) {
                Ok(template) => *target = template,
                Err(why) => bad.push(why),
            }
        }
        (templates, bad)
    }
}

impl Template {
    fn parse(name: &str, lines: &[&str]) -> Result<Self, BadTemplate> {
        let refuse = |why: String| BadTemplate(format!("ignoring {name}: {why}"));
        let mut template =
            Self { from: FROM.into(), subject: String::new(), postmaster_subject: None, body: Vec::new() };
        let mut ascii_only = true;
        let mut lines = lines.iter();
        for line in lines.by_ref() {
            if line.is_empty() {
                break;
            }
            let (header, value) =
                line.split_once(':').ok_or_else(|| refuse(format!("bad header line: {line}")))?;
            let value = value.trim();
            if value.is_empty() || !value.is_ascii() {
                return Err(refuse(format!("empty or non-ASCII header value: {line}")));
            }
            match header.trim().to_ascii_lowercase().as_str() {
                "charset" => ascii_only = value.eq_ignore_ascii_case("us-ascii"),
                "from" => value.clone_into(&mut template.from),
                "subject" => value.clone_into(&mut template.subject),
                "postmaster-subject" if matches!(name, "failure_template" | "delay_template") => {
                    template.postmaster_subject = Some(value.to_owned());
                }
                _ => return Err(refuse(format!("unknown header label: {header}"))),
            }
        }
        template.body = lines.map(|line| (*line).to_owned()).collect();
        if template.body.is_empty() {
            return Err(refuse("missing message text".into()));
        }
        if ascii_only && template.body.iter().any(|line| !line.is_ascii()) {
            return Err(refuse("8-bit message text in us-ascii template".into()));
        }
        Ok(template)
    }

    /// The text with its macros expanded; an undefined one is empty.
    #[must_use]
    pub fn text(&self, macros: &Macros<'_>) -> Vec<String> {
        self.body.iter().map(|line| expand(line, macros)).collect()
    }
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
        let (templates, bad) = Templates::parse(file);
        assert_eq!(templates.failure.subject, "No");
        let macros = Macros { lookup: &|name| Some(name.to_uppercase()) };
        assert_eq!(templates.failure.text(&macros), ["at MYHOSTNAME $5"]);
        assert_eq!(templates.success, Templates::default().success);
        assert_eq!(bad.len(), 1);
    }
}
