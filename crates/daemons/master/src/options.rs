//! The command line of master(8).

use std::path::PathBuf;
use std::time::Duration;

use mail_text::getopt::{self, Item};

/// What argv says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) config_directory: Option<PathBuf>,
    /// `-d`: keeps the terminal session; daemons get `-d` too.
    pub(crate) attached: bool,
    pub(crate) debugger: bool,
    pub(crate) exit_after: Option<Duration>,
    /// `-i`: as process 1 of a container.
    pub(crate) init: bool,
    /// `-s`: keeps standard output.
    pub(crate) keep_stdout: bool,
    /// `-t`: only tells whether a master runs.
    pub(crate) test: bool,
    pub(crate) verbose: bool,
    /// `-w`: the parent waits for the initialisation.
    pub(crate) wait: bool,
}

impl Options {
    /// Reads the arguments after argv\[0\]; `program` is for the usage text.
    ///
    /// # Errors
    /// The text of the fatal record.
    pub(crate) fn parse(program: &str, arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let arguments: Vec<String> = arguments.collect();
        let (items, operands) = getopt::parse(&arguments, "+c:Dde:istvw");
        for item in items {
            if let Some(complaint) = item.complaint() {
                eprintln!("{}: {complaint}", std::env::args().next().unwrap_or_default());
                return Err(usage(program));
            }
            match item {
                Item::Value(letter, value) => options.set_value(program, letter, &value)?,
                Item::Flag(letter) => options.set_flag(letter),
                Item::Unknown(_) | Item::Missing(_) => return Err(usage(program)),
            }
        }
        if !operands.is_empty() {
            return Err(usage(program));
        }
        options.check()?;
        Ok(options)
    }

    fn set_value(&mut self, program: &str, letter: char, value: &str) -> Result<(), String> {
        if letter == 'c' {
            self.config_directory = Some(PathBuf::from(value));
        } else {
            let seconds = value.parse().map_err(|_| usage(program))?;
            self.exit_after = Some(Duration::from_secs(seconds));
        }
        Ok(())
    }

    fn set_flag(&mut self, letter: char) {
        match letter {
            'd' => self.attached = true,
            'D' => self.debugger = true,
            'i' => self.init = true,
            's' => self.keep_stdout = true,
            't' => self.test = true,
            'v' => self.verbose = true,
            _ => self.wait = true,
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.init && (self.attached || self.debugger || self.wait) {
            return Err("the -i option cannot be used with -D, -d, or -w".to_owned());
        }
        if self.init && std::process::id() != 1 {
            return Err("-i is allowed only for PID 1 process".to_owned());
        }
        if self.test && self.wait {
            return Err("the -t and -w options cannot be used together".to_owned());
        }
        Ok(())
    }
}

fn usage(program: &str) -> String {
    format!(
        "usage: {program} [-c config_dir] [-D (debug)] [-d (don't detach from terminal)] [-e exit_time] [-t (test)] \
         [-v] [-w (wait for initialization)]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse("master", line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read() {
        let options = parse("-c /etc/x -wv -e 5").unwrap();
        assert_eq!(options.config_directory, Some("/etc/x".into()));
        assert!(options.wait && options.verbose);
        assert_eq!(options.exit_after, Some(Duration::from_secs(5)));
        assert_eq!(parse("-t -w").unwrap_err(), "the -t and -w options cannot be used together");
        assert!(parse("-x").unwrap_err().starts_with("usage: master [-c config_dir] "));
        assert!(parse("-i").unwrap_err().contains("PID 1"));
    }
}
