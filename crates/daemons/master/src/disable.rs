//! `master_service_disable`: services that are not started although master.cf has them.

use std::fs;

/// How deep `/file` patterns may nest.
const DEPTH_LIMIT: usize = 10;

/// The parsed list: (pattern, negated), first match wins.
#[derive(Debug, Default)]
pub(crate) struct Disabled(Vec<(String, bool)>);

impl Disabled {
    /// Reads the parameter's value: `type`, `name/type`, `name.type`, `!pattern`, `/file/with/patterns`.
    pub(crate) fn parse(value: &str) -> Self {
        let mut disabled = Self::default();
        disabled.add(value, false, 0);
        disabled
    }

    fn add(&mut self, list: &str, negated: bool, depth: usize) {
        for word in mail_text::list::words(list) {
            let bare = word.trim_start_matches('!');
            let negated = negated ^ ((word.len() - bare.len()) % 2 == 1);
            if !bare.starts_with('/') {
                self.0.push((bare.to_ascii_lowercase(), negated));
                continue;
            }
            match fs::read_to_string(bare) {
                Ok(text) if depth < DEPTH_LIMIT => {
                    let lines = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
                    self.add(&lines.join(" "), negated, depth + 1);
                }
                Ok(_) => os_log::warning!("master_service_disable: {bare}: too many nested files"),
                Err(error) => {
                    os_log::warning!(
                        "master_service_disable: open file {bare}: {}",
                        os_sys::error_text(&error)
                    );
                }
            }
        }
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
        let list = Disabled::parse("!submission/inet, inet foo.unix");
        assert!(list.matches("smtp", "inet"));
        assert!(!list.matches("Submission", "inet"));
        assert!(list.matches("foo", "unix"));
        assert!(!list.matches("bar", "unix"));
    }
}
