//! The daemon's command line: `cdDi:lm:n:o:r:s:St:uvVz` (`master.md` §4).

/// What argv says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) chroot: bool,
    pub(crate) drop: bool,
    pub(crate) single: bool,
    pub(crate) unlimited: bool,
    pub(crate) standalone: bool,
    pub(crate) stderr: bool,
    pub(crate) verbose: usize,
    pub(crate) max_idle: Option<String>,
    pub(crate) max_use: Option<String>,
    pub(crate) retire: Option<u64>,
    pub(crate) name: Option<String>,
    pub(crate) settings: Vec<String>,
    pub(crate) sockets: usize,
    pub(crate) transport: Option<String>,
    pub(crate) arguments: Vec<String>,
}

impl Options {
    /// Reads the arguments after argv\[0\].
    ///
    /// # Errors
    /// The text of the fatal record.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { sockets: 1, ..Self::default() };
        let mut arguments = arguments.peekable();
        while let Some(word) = arguments.next_if(|word| word.starts_with('-') && word != "-") {
            if word == "--" {
                break;
            }
            let mut letters = word.chars();
            letters.next();
            while let Some(letter) = letters.next() {
                if "imnorst".contains(letter) {
                    let attached = letters.as_str();
                    let value =
                        if attached.is_empty() { arguments.next() } else { Some(attached.to_owned()) };
                    options.set_value(letter, value.ok_or_else(|| invalid(letter))?)?;
                    break;
                }
                options.set_flag(letter)?;
            }
        }
        options.arguments = arguments.collect();
        Ok(options)
    }

    fn set_flag(&mut self, letter: char) -> Result<(), String> {
        match letter {
            'c' => self.chroot = true,
            'u' => self.drop = true,
            'l' => self.single = true,
            'z' => self.unlimited = true,
            'S' => self.standalone = true,
            'V' => self.stderr = true,
            'v' => self.verbose += 1,
            'd' | 'D' => {} // neither detaching nor a debugger is this process's business
            other => return Err(invalid(other)),
        }
        Ok(())
    }

    fn set_value(&mut self, letter: char, value: String) -> Result<(), String> {
        match letter {
            'i' => self.max_idle = Some(value),
            'm' => self.max_use = Some(value),
            'n' => self.name = Some(value),
            'o' => self.settings.push(value),
            't' => self.transport = Some(value),
            'r' => {
                let time = value.parse().ok().filter(|time| *time > 0);
                self.retire = Some(time.ok_or_else(|| format!("invalid retirement time: {value}"))?);
            }
            's' => {
                let count = value.parse().ok().filter(|count| (1..=10_000).contains(count));
                self.sockets = count.ok_or_else(|| format!("invalid socket_count: {value}"))?;
            }
            other => return Err(invalid(other)),
        }
        Ok(())
    }
}

fn invalid(letter: char) -> String {
    format!("invalid option: {letter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_master_gives_is_understood() {
        let options = parse("-z -n defer -t unix -u -o stress= -o a=b -s 2 user=x").unwrap();
        assert_eq!((options.unlimited, options.drop, options.sockets), (true, true, 2));
        assert_eq!(options.settings, ["stress=", "a=b"]);
        assert_eq!(options.name.as_deref(), Some("defer"));
        assert_eq!(options.arguments, ["user=x"]);
        assert_eq!(parse("-cvvtinet").unwrap().transport.as_deref(), Some("inet"));
    }

    #[test]
    fn bad_options_have_the_reference_s_texts() {
        let cases = [
            ("-x", "invalid option: x"),
            ("-s 0", "invalid socket_count: 0"),
            ("-r x", "invalid retirement time: x"),
        ];
        for (line, text) in cases {
            assert_eq!(parse(line).unwrap_err(), text);
        }
    }
}
