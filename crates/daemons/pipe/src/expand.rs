//! `$name` in command arguments: no conditionals, no shell; an argument that names a recipient is repeated for each.

use host_delivery::{DeliveryRequest, RecipientInfo};
use mail_address::{split, split_extension, to_external};

use crate::arguments::{Arguments, Flags};

/// What macros stand for.
pub(crate) struct Message<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) request: &'a DeliveryRequest,
    pub(crate) recipients: &'a [RecipientInfo],
    pub(crate) delimiters: &'a str,
    pub(crate) owner_request_special: bool,
}

/// No such macro.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown(pub(crate) String);

impl Message<'_> {
    /// The argument vector of the command.
    pub(crate) fn argv(&self) -> Result<Vec<String>, Unknown> {
        let mut argv = Vec::new();
        for template in &self.arguments.argv {
            let mut personal = false;
            let first = self.expand(template, self.recipients.first(), &mut personal)?;
            if !personal {
                argv.push(first);
                continue;
            }
            for recipient in self.recipients {
                argv.push(self.expand(template, Some(recipient), &mut personal)?);
            }
        }
        Ok(argv)
    }

    fn expand(
        &self,
        template: &str,
        recipient: Option<&RecipientInfo>,
        personal: &mut bool,
    ) -> Result<String, Unknown> {
        let mut out = String::new();
        let mut rest = template;
        while let Some((plain, after)) = rest.split_once('$') {
            out.push_str(plain);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
                continue;
            }
            let (name, after) = macro_name(after).ok_or_else(|| Unknown(template.to_owned()))?;
            rest = after;
            match self.shared(name) {
                Some(value) => out.push_str(&value),
                None => {
                    let value = recipient.and_then(|recipient| self.personal(name, recipient));
                    out.push_str(&value.ok_or_else(|| Unknown(name.to_owned()))?);
                    *personal = true;
                }
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Macros of the message.
    fn shared(&self, name: &str) -> Option<String> {
        let request = self.request;
        Some(match name {
            "client_address" => request.log_client_address.clone(),
            "client_helo" => request.log_helo_name.clone(),
            "client_hostname" => request.log_client_name.clone(),
            "client_port" => request.log_client_port.clone(),
            "client_protocol" => request.log_protocol_name.clone(),
            "envid" => request.envelope_id.clone(),
            "nexthop" => {
                if self.arguments.flags.fold_domain {
                    mail_address::fold(&request.nexthop)
                } else {
                    request.nexthop.clone()
                }
            }
            "queue_id" => request.queue_id.clone(),
            "sasl_method" => request.sasl_method.clone(),
            "sasl_sender" => request.sasl_sender.clone(),
            "sasl_username" => request.sasl_username.clone(),
            "sender" => self.sender(),
            "size" => request.size.to_string(),
            _ => return None,
        })
    }

    /// The sender, or what stands for the empty one.
    pub(crate) fn sender(&self) -> String {
        if self.request.sender.is_empty() {
            return self.arguments.null_sender.clone();
        }
        if self.arguments.flags.quote {
            to_external(&self.request.sender)
        } else {
            self.request.sender.clone()
        }
    }

    /// Macros of a recipient.
    fn personal(&self, name: &str, recipient: &RecipientInfo) -> Option<String> {
        let flags = self.arguments.flags;
        let (local, domain) = split(&recipient.recipient);
        let extension = split_extension(local, self.delimiters, self.owner_request_special);
        let folded = |text: &str| {
            if flags.fold_domain || flags.fold_user { mail_address::fold(text) } else { text.to_owned() }
        };
        Some(match name {
            "recipient" => shown(&recipient.recipient, flags),
            "original_recipient" => shown(&recipient.original_recipient, flags),
            "user" => folded(extension.map_or(local, |(user, _)| user)),
            "extension" => folded(extension.map_or("", |(_, extension)| extension)),
            "mailbox" => folded(local),
            "domain" => folded(domain.unwrap_or_default()),
            _ => return None,
        })
    }
}

/// `name`, `{name}` or `(name)` after a `$`, and what follows.
fn macro_name(text: &str) -> Option<(&str, &str)> {
    let close = match text.chars().next()? {
        '{' => '}',
        '(' => ')',
        _ => {
            let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
            return (end > 0).then(|| text.split_at(end));
        }
    };
    let (name, after) = text.get(1..)?.split_once(close)?;
    Some((name.trim(), after))
}

/// An address with the folding and quoting that the flags ask for.
fn shown(address: &str, flags: Flags) -> String {
    let (local, domain) = split(address);
    let local = if flags.fold_user { mail_address::fold(local) } else { local.to_owned() };
    let address = match domain {
        Some(domain) if flags.fold_domain => format!("{local}@{}", mail_address::fold(domain)),
        Some(domain) => format!("{local}@{domain}"),
        None => local,
    };
    if flags.quote { to_external(&address) } else { address }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_name_recipients_are_repeated() {
        let parse = |text: &str| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            Arguments::parse(&words).unwrap()
        };
        let recipient =
            |address: &str| RecipientInfo { recipient: address.into(), ..RecipientInfo::default() };
        let request = DeliveryRequest {
            sender: "a b@s".into(),
            nexthop: "Hop".into(),
            size: 7,
            ..DeliveryRequest::default()
        };
        let recipients = [recipient("Joe+Ext@D.Example"), recipient("x y@e")];
        let argv = |text: &str| {
            let arguments = parse(text);
            let message = Message {
                arguments: &arguments,
                request: &request,
                recipients: &recipients,
                delimiters: "+",
                owner_request_special: true,
            };
            message.argv()
        };
        for (text, expected) in [
            (
                "user=u argv=c -f $sender -- ${recipient}",
                vec!["c", "-f", "a b@s", "--", "Joe+Ext@D.Example", "x y@e"],
            ),
            (
                "user=u flags=q argv=c $sender $recipient",
                vec!["c", "\"a b\"@s", "Joe+Ext@D.Example", "\"x y\"@e"],
            ),
            (
                "user=u flags=hu argv=c $nexthop $user,$extension,$domain",
                vec!["c", "hop", "joe,ext,d.example", "x y,,e"],
            ),
            ("user=u flags=h argv=c $recipient", vec!["c", "Joe+Ext@d.example", "x y@e"]),
            ("user=u argv=c $$ $size", vec!["c", "$", "7"]),
        ] {
            assert_eq!(argv(text).unwrap(), expected, "{text}");
        }
        assert_eq!(argv("user=u argv=c $nonesuch"), Err(Unknown("nonesuch".into())));
    }
}
