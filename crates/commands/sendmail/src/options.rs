//! The command line. Pure, but for warnings about values that are ignored.

use mail_status::Notify;
use mail_text::getopt::{self, Item};

use crate::{Fatal, fatal};

const SPEC: &str = "+A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q::tvx";

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Take mail from standard input (`-bm`), or verify recipients (`-bv`).
    Deliver,
    /// `-bh`, `-bH`, `-q15m`: nothing.
    Ignored,
    /// `-bp`, mailq
    List,
    /// `-q`
    Flush,
    /// `-qI`
    FlushId(String),
    /// `-qR`
    FlushSite(String),
    /// `-bd`, `-bl`
    Daemon,
    /// `-bs`
    StandAlone,
    /// `-bi`, `-I`, newaliases
    Aliases,
}

/// A parsed command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub mode: Mode,
    /// `-bv`
    pub verify: bool,
    pub recipients: Vec<String>,
    /// `-f`, `-r`
    pub sender: Option<String>,
    /// `-F`
    pub full_name: Option<String>,
    /// `-C`
    pub config: Option<String>,
    /// `-oA`
    pub alias_database: Option<String>,
    /// `-t`
    pub extract: bool,
    /// `-i`, `-oi`: a lone dot is text.
    pub ignore_dot: bool,
    /// `-G`
    pub gateway: bool,
    /// `-B`: the encoding attribute.
    pub encoding: Option<&'static str>,
    /// `-N`: flags; 0 none.
    pub notify: u32,
    /// `-R`: flags; 0 none.
    pub ret: u32,
    /// `-V`
    pub envelope_id: Option<String>,
    /// `-XV`, `-XVxy`: delimiters; empty: the default ones.
    pub verp: Option<String>,
    /// Number of `-v`.
    pub verbose: usize,
}

impl Options {
    fn new(mode: Mode) -> Self {
        Self {
            mode,
            verify: false,
            recipients: Vec::new(),
            sender: None,
            full_name: None,
            config: None,
            alias_database: None,
            extract: false,
            ignore_dot: false,
            gateway: false,
            encoding: None,
            notify: 0,
            ret: 0,
            envelope_id: None,
            verp: None,
            verbose: 0,
        }
    }

    /// Parses `arguments` (without argv\[0\]) of the program called `program`.
    pub(crate) fn parse(program: &str, arguments: &[String]) -> Result<Self, Fatal> {
        let mode = match program {
            "mailq" => Mode::List,
            "newaliases" => Mode::Aliases,
            _ => Mode::Deliver,
        };
        let mut options = Self::new(mode);
        let (items, operands) = getopt::parse(arguments, SPEC);
        for item in items {
            match item {
                Item::Flag(letter) => options.flag(letter)?,
                Item::Value(letter, value) => options.value(letter, value)?,
                Item::Unknown(_) | Item::Missing(_) => {
                    // The reference goes through its options twice before it gives up.
                    let complaint = item.complaint().unwrap_or_default();
                    eprintln!("{program}: {complaint}\n{program}: {complaint}");
                    return fatal(format!("usage: {program} [options]"));
                }
            }
        }
        options.recipients = operands;
        options.check()?;
        Ok(options)
    }

    fn flag(&mut self, letter: char) -> Result<(), Fatal> {
        match letter {
            'G' => self.gateway = true,
            'I' => self.mode = Mode::Aliases,
            'i' => self.ignore_dot = true,
            't' => self.extract = true,
            'v' => self.verbose += 1,
            'n' => return fatal("-n option not supported"),
            _ => {}
        }
        Ok(())
    }

    fn value(&mut self, letter: char, value: String) -> Result<(), Fatal> {
        match letter {
            'b' => self.operation(&value)?,
            'q' => self.queue(&value)?,
            'o' => match value.chars().next() {
                Some('A') => self.alias_database = value.get(1..).map(str::to_owned),
                Some('i') => self.ignore_dot = true,
                Some(_) | None => {}
            },
            'B' => {
                self.encoding = match value.to_ascii_uppercase().as_str() {
                    "8BITMIME" => Some("8bit"),
                    "7BIT" if value == "7BIT" => Some("7bit"),
                    _ => return fatal("-B option needs 8BITMIME or 7BIT"),
                }
            }
            'C' => self.config = Some(value),
            'F' => self.full_name = Some(value),
            'f' | 'r' => self.sender = Some(value),
            'N' => self.notify = notify(&value),
            'R' => self.ret = ret(&value),
            'V' => self.envelope_id = Some(value),
            'X' => match value.strip_prefix('V') {
                Some(delimiters) => self.verp = Some(delimiters.to_owned()),
                None => return fatal(format!("unsupported: -X{}", first(&value))),
            },
            _ => {}
        }
        Ok(())
    }

    fn operation(&mut self, value: &str) -> Result<(), Fatal> {
        self.verify = false;
        self.mode = match value.chars().next() {
            Some('d' | 'l') => Mode::Daemon,
            Some('h' | 'H') => Mode::Ignored,
            Some('i') => Mode::Aliases,
            Some('m') => Mode::Deliver,
            Some('p') => Mode::List,
            Some('s') => Mode::StandAlone,
            Some('v') => {
                self.verify = true;
                Mode::Deliver
            }
            Some(_) | None => return fatal(format!("unsupported: -b{}", first(value))),
        };
        Ok(())
    }

    fn queue(&mut self, value: &str) -> Result<(), Fatal> {
        let rest = || value.get(1..).unwrap_or_default().to_owned();
        self.mode = match value.chars().next() {
            None => Mode::Flush,
            Some('I') => Mode::FlushId(rest()),
            Some('R') => Mode::FlushSite(rest()),
            Some('S') => return fatal("-qS is not implemented"),
            Some(c) if c.is_ascii_digit() => {
                if self.mode == Mode::Daemon {
                    return Ok(());
                }
                Mode::Ignored
            }
            Some(_) => return fatal(format!("-q{value} is not implemented")),
        };
        Ok(())
    }

    fn check(&self) -> Result<(), Fatal> {
        if self.extract && self.mode != Mode::Deliver {
            return fatal("-t can be used only in delivery mode");
        }
        if self.extract && self.verify {
            return fatal("-t option cannot be used with -bv");
        }
        if self.recipients.is_empty() {
            return Ok(());
        }
        match self.mode {
            Mode::Deliver | Mode::Ignored => Ok(()),
            Mode::List => fatal("display queue mode requires no recipient"),
            Mode::Flush | Mode::FlushId(_) | Mode::FlushSite(_) => {
                fatal("flush queue mode requires no recipient")
            }
            Mode::Daemon => fatal("daemon mode requires no recipient"),
            Mode::StandAlone => fatal("stand-alone SMTP server mode requires no recipient"),
            Mode::Aliases => fatal("alias initialization mode requires no recipient"),
        }
    }
}

fn first(value: &str) -> String {
    value.chars().take(1).collect()
}

/// `-N` value as NOTIFY flags; 0 with a warning when it is bad.
fn notify(value: &str) -> u32 {
    let mut flags = 0;
    for word in mail_text::list::words(value) {
        flags |= match word.to_ascii_lowercase().as_str() {
            "never" => Notify::NEVER,
            "success" => Notify::SUCCESS,
            "failure" => Notify::FAILURE,
            "delay" => Notify::DELAY,
            _ => {
                os_log::warning!("unknown DSN NOTIFY command value \"{word}\" in \"{value}\"");
                0
            }
        };
    }
    if flags == 0 || (flags & Notify::NEVER != 0 && flags != Notify::NEVER) {
        os_log::warning!("bad -N option value -- ignored");
        return 0;
    }
    flags
}

/// `-R` value as RET flags; 0 with a warning when it is bad.
fn ret(value: &str) -> u32 {
    match value.to_ascii_lowercase().as_str() {
        "full" => 1,
        "hdrs" => 2,
        _ => {
            os_log::warning!("bad -R option value -- ignored");
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options, String> {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        Options::parse("sendmail", &arguments).map_err(|e| e.0)
    }

    #[test]
    fn modes_as_the_options_say() {
        for (arguments, mode) in [
            (&["-bp"][..], Mode::List),
            (&["-q"], Mode::Flush),
            (&["-qIabc"], Mode::FlushId("abc".into())),
            (&["-qRsite"], Mode::FlushSite("site".into())),
            (&["-q15m"], Mode::Ignored),
            (&["-bd", "-q15m"], Mode::Daemon),
            (&["-I"], Mode::Aliases),
            (&["a@b"], Mode::Deliver),
        ] {
            assert_eq!(parsed(arguments).unwrap().mode, mode, "{arguments:?}");
        }
    }

    #[test]
    fn refusals_are_the_references() {
        for (arguments, text) in [
            (&["-bz", "a"][..], "unsupported: -bz"),
            (&["-X", "log", "a"], "unsupported: -Xl"),
            (&["-qSx"], "-qS is not implemented"),
            (&["-q", "foo"], "flush queue mode requires no recipient"),
            (&["-bp", "-t"], "-t can be used only in delivery mode"),
            (&["-t", "-bv"], "-t option cannot be used with -bv"),
            (&["-B", "7bit", "a"], "-B option needs 8BITMIME or 7BIT"),
            (&["-E", "a"], "usage: sendmail [options]"),
            (&["-n", "a"], "-n option not supported"),
        ] {
            assert_eq!(parsed(arguments), Err(text.to_owned()), "{arguments:?}");
        }
    }

    #[test]
    fn values_and_operands() {
        let options =
            parsed(&["-fs@c", "-Nsuccess,failure", "-R", "hdrs", "-XV+=", "-oi", "a", "-i", "b"]).unwrap();
        assert_eq!(options.sender.as_deref(), Some("s@c"));
        assert_eq!((options.notify, options.ret), (6, 2));
        assert_eq!(options.verp.as_deref(), Some("+="));
        assert_eq!(options.recipients, ["a", "-i", "b"]);
        assert!(options.ignore_dot);
    }
}
