//! Restriction lists as text.

/// The words of a restriction list; `{ … }` groups stay together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    words: Vec<String>,
}

impl List {
    /// Splits a parameter value.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self { words: mail_text::list::words_with_groups(text).into_iter().map(str::to_owned).collect() }
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// No word.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

/// Whether a relay or recipient list has something that keeps strangers from relaying. What follows `permit`, and the
/// word after `warn_if_reject`, does not count. `class`: the words of a restriction class.
#[must_use]
pub fn has_safe_recipient_list(lists: &[&List], class: &dyn Fn(&str) -> Option<String>) -> bool {
    lists.iter().any(|list| is_safe(list.words(), class, 0))
}

const SAFE: [&str; 6] = [
    "reject_unauth_destination",
    "defer_unauth_destination",
    "reject",
    "defer",
    "defer_if_permit",
    "check_relay_domains",
];
/// Classes within classes.
const DEPTH: usize = 10;

fn is_safe(words: &[String], class: &dyn Fn(&str) -> Option<String>, depth: usize) -> bool {
    let mut skip = false;
    for word in words {
        let lower = word.to_ascii_lowercase();
        if std::mem::take(&mut skip) {
            continue;
        }
        if lower == "permit" {
            return false;
        }
        if lower == "warn_if_reject" {
            skip = true;
        } else if SAFE.contains(&lower.as_str()) {
            return true;
        } else if depth < DEPTH
            && let Some(text) = class(word)
            && is_safe(List::parse(&text).words(), class, depth + 1)
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relaying_must_be_closed_by_something_that_works() {
        let class = |name: &str| (name == "strict").then(|| "check_x, reject".to_owned());
        for (text, safe) in [
            ("permit_mynetworks", false),
            ("permit_mynetworks, reject_unauth_destination", true),
            ("permit, reject", false),
            ("warn_if_reject reject_unauth_destination", false),
            ("permit_mynetworks, strict", true),
            ("permit_mynetworks REJECT", true),
            ("", false),
        ] {
            assert_eq!(has_safe_recipient_list(&[&List::parse(text)], &class), safe, "{text}");
        }
    }
}
