//! `master_service_disable`: services that are not started although master.cf has them. No file and no table is
//! looked into: to the reference such a pattern is a name that no service has.

/// The parsed list: (pattern, negated), first match wins.
#[derive(Debug, Default)]
pub(crate) struct Disabled(Vec<(String, bool)>);

impl Disabled {
    /// Reads the parameter's value: `type`, `name/type`, `name.type`, `!pattern`.
    pub(crate) fn parse(value: &str) -> Self {
        let pattern = |word: &str| {
            let bare = word.trim_start_matches('!');
            (bare.to_ascii_lowercase(), (word.len() - bare.len()) % 2 == 1)
        };
        Self(mail_text::list::words(value).map(pattern).collect())
    }

    /// Whether the service is off.
    pub(crate) fn matches(&self, name: &str, kind: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let forms = [kind.to_owned(), format!("{name}/{kind}"), format!("{name}.{kind}")];
        self.0.iter().find(|(pattern, _)| forms.contains(pattern)).is_some_and(|(_, negated)| !negated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_names_and_exceptions_are_matched_in_order() {
        let list = Disabled::parse("!submission/inet, inet foo.unix static:all");
        assert!(list.matches("smtp", "inet"));
        assert!(!list.matches("Submission", "inet"));
        assert!(list.matches("foo", "unix"));
        assert!(!list.matches("bar", "unix"));
    }
}
