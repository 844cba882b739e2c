//! Macros of a reject footer.

use super::session::Session;

impl Session {
    /// Expands `$name` and `${name}` of a footer (postconf(5) smtpd_reject_footer); unknown names give nothing.
    pub(crate) fn expand_footer(&self, footer: &str) -> String {
        let mut out = String::with_capacity(footer.len());
        let mut rest = footer;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (name, tail) = macro_name(after);
            match name {
                Some(name) => out.push_str(&self.footer_macro(name)),
                None => out.push('$'),
            }
            rest = tail;
        }
        out.push_str(rest);
        out
    }

    fn footer_macro(&self, name: &str) -> String {
        let client = &self.client;
        let sender = self.transaction.as_ref().map(|t| t.mail.sender.clone());
        match name {
            "client" => self.namaddr(),
            "client_address" => client.address.clone(),
            "client_name" => client.name.clone(),
            "client_port" => client.port.clone(),
            "helo_name" => self.helo.as_deref().unwrap_or("").to_owned(),
            "server_name" => self.settings.myhostname.clone(),
            "sender" => sender.map(|s| mail_address::to_external(&s)).unwrap_or_default(),
            "sender_name" => sender.map(|s| mail_address::split(&s).0.to_owned()).unwrap_or_default(),
            "sender_domain" => {
                sender.and_then(|s| mail_address::split(&s).1.map(str::to_owned)).unwrap_or_default()
            }
            "localtime" => self.settings.local_time.as_ref().map(|clock| clock()).unwrap_or_default(),
            _ => String::new(),
        }
    }
}

fn macro_name(text: &str) -> (Option<&str>, &str) {
    if let Some(inner) = text.strip_prefix(['{', '('])
        && let Some((name, tail)) = inner.split_once(['}', ')'])
    {
        return (Some(name), tail);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    match text.split_at_checked(end) {
        Some((name, tail)) if !name.is_empty() => (Some(name), tail),
        Some(_) | None => (None, text),
    }
}
