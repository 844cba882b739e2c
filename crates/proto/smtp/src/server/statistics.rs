//! Command counts, for the disconnect line.

use std::fmt::Write as _;

use super::command::Verb;

/// How often each verb was used, and how often with success.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Statistics {
    counts: [(u32, u32); Verb::ALL.len()],
}

impl Statistics {
    /// Counts one command.
    pub(crate) fn count(&mut self, verb: Verb, ok: bool) {
        if let Some(at) = Verb::ALL.iter().position(|v| *v == verb)
            && let Some((good, total)) = self.counts.get_mut(at)
        {
            *good = good.saturating_add(u32::from(ok));
            *total = total.saturating_add(1);
        }
    }

    /// ` ehlo=1 mail=0/1 commands=1/2`
    pub(crate) fn line(&self) -> String {
        let mut out = String::new();
        let (mut all_good, mut all) = (0u32, 0u32);
        for (verb, (good, total)) in Verb::ALL.iter().zip(self.counts) {
            if total > 0 {
                all_good = all_good.saturating_add(good);
                all = all.saturating_add(total);
                let _ = write!(out, " {}={}", verb.as_str().to_ascii_lowercase(), ratio(good, total));
            }
        }
        let sum = if all == 0 { "0/0".to_owned() } else { ratio(all_good, all) };
        let _ = write!(out, " commands={sum}");
        out
    }
}

fn ratio(good: u32, total: u32) -> String {
    if good == total { good.to_string() } else { format!("{good}/{total}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_used_verbs_are_shown_and_totals_where_they_differ() {
        let mut statistics = Statistics::default();
        assert_eq!(statistics.line(), " commands=0/0");
        statistics.count(Verb::Rcpt, false);
        statistics.count(Verb::Ehlo, true);
        assert_eq!(statistics.line(), " ehlo=1 rcpt=0/1 commands=1/2");
    }
}
