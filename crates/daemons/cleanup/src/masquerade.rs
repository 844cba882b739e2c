//! Address masquerading: the sub-domains of a domain are taken off (`postconf(5) masquerade_domains`). Pure.

/// The rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Masquerade {
    /// Domains in order; `false`: `!domain`, left alone.
    domains: Vec<(String, bool)>,
    exceptions: Vec<String>,
}

impl Masquerade {
    /// From `masquerade_domains` and `masquerade_exceptions`.
    pub(crate) fn new(domains: &str, exceptions: &str) -> Self {
        let domains = mail_text::list::words(domains)
            .map(|word| match word.strip_prefix('!') {
                Some(domain) => (domain.to_ascii_lowercase(), false),
                None => (word.to_ascii_lowercase(), true),
            })
            .collect();
        let exceptions = mail_text::list::words(exceptions).map(str::to_ascii_lowercase).collect();
        Self { domains, exceptions }
    }

    /// The masqueraded form of an internal address, if it has one. The first domain that is equal to or a parent of
    /// the address's decides.
    pub(crate) fn apply(&self, address: &str) -> Option<String> {
        let (local, domain) = address.rsplit_once('@')?;
        let lower = domain.to_ascii_lowercase();
        let (masked, strip) = self.domains.iter().find(|(masked, _)| {
            lower == *masked
                || lower.strip_suffix(masked.as_str()).is_some_and(|parent| parent.ends_with('.'))
        })?;
        if !strip || lower == *masked || self.exceptions.contains(&local.to_ascii_lowercase()) {
            return None;
        }
        let kept = domain.get(domain.len() - masked.len()..)?;
        Some(format!("{local}@{kept}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_domain_that_matches_decides() {
        let rules = Masquerade::new("!keep.masq.example masq.example", "root");
        for (address, result) in [
            ("me@host.masq.example", Some("me@masq.example")),
            ("me@a.b.Masq.Example", Some("me@Masq.Example")),
            ("me@masq.example", None),
            ("me@xmasq.example", None),
            ("root@host.masq.example", None),
            ("z@keep.masq.example", None),
            ("z@a.keep.masq.example", None),
            ("nobody", None),
        ] {
            assert_eq!(rules.apply(address).as_deref(), result, "{address}");
        }
    }
}
