//! postconf beside the reference: the same configuration, the same command lines, the same output, messages, status and
//! files. The cases stand in `cases/*.txt`, whole configurations in `configurations/*.cf`.

use harness::{Mta, Target, isolated, needs_reference, write_aged};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Both programs, and the directory whose configuration they look at in turn.
struct Pair {
    ours: Mta,
    theirs: Mta,
    dir: PathBuf,
}

/// Cases that run at a time.
const WORKERS: usize = 12;

/// What the programs start from; `None`: no such file.
#[derive(Clone, Default)]
struct Files {
    main: Option<String>,
    master: Option<String>,
}

fn pair(why: &str, body: impl FnOnce(&Pair) + Send + 'static) {
    if needs_reference(why) {
        return;
    }
    isolated(|world| {
        let ours = world.mta("ours").target(Target::Ours).build();
        let theirs = world.mta("theirs").target(Target::Theirs).build();
        let dir = ours.config().with_file_name("compared");
        body(&Pair { ours, theirs, dir });
    });
}

impl Pair {
    /// Compares all cases, some at a time: the reference sleeps a second before each fatal end. Says what differs.
    fn compare_all(&self, cases: &[(String, Files, Vec<&str>)]) -> Vec<String> {
        let worker = |number: usize| {
            let dir = self.dir.with_extension(number.to_string());
            let mine = cases.iter().skip(number).step_by(WORKERS);
            let differ = mine.filter_map(|(name, files, lines)| {
                self.compare(&dir, files, lines).map(|difference| format!("{name}\n{difference}"))
            });
            differ.collect::<Vec<_>>()
        };
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..WORKERS).map(|number| scope.spawn(move || worker(number))).collect();
            running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// Compares what both make of the command lines, one after the other on the same files.
    fn compare(&self, dir: &Path, files: &Files, lines: &[&str]) -> Option<String> {
        let [theirs, ours] = [&self.theirs, &self.ours].map(|mta| transcript(mta, dir, files, lines));
        (theirs != ours).then(|| {
            let mut text = format!("main.cf: {:?}\nmaster.cf: {:?}\n", files.main, files.master);
            let differ = theirs.lines().zip(ours.lines()).position(|(a, b)| a != b).unwrap_or(0);
            for (name, all) in [("reference", &theirs), ("ours", &ours)] {
                let part: Vec<&str> = all.lines().skip(differ.saturating_sub(2)).take(8).collect();
                let _ = writeln!(text, "--- {name}\n{}", part.join("\n"));
            }
            text
        })
    }
}

fn transcript(mta: &Mta, dir: &Path, files: &Files, lines: &[&str]) -> String {
    let _ = std::fs::remove_dir_all(dir);
    std::fs::create_dir(dir).unwrap();
    let paths = [("main.cf", &files.main), ("master.cf", &files.master)];
    for (name, text) in paths {
        if let Some(text) = text {
            write_aged(&dir.join(name), text);
        }
    }
    let mut transcript = String::new();
    for line in lines {
        let mut arguments = vec!["-c".to_owned(), dir.display().to_string()];
        arguments.extend(shell_words(line));
        let run = mta.run("postconf", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let _ = write!(transcript, "$ {line}\n{}", run.out);
        messages(mta, &run.err).iter().for_each(|message| transcript.push_str(message));
        let _ = writeln!(transcript, "= {}", run.code);
    }
    for (name, before) in paths {
        let after = std::fs::read_to_string(dir.join(name)).ok();
        if after != *before {
            let _ = writeln!(transcript, "{name} is now:\n{}", after.unwrap_or_default());
        }
    }
    transcript
}

/// Messages sorted, each once: the reference's order is that of a hash table, and it looks at some things repeatedly.
/// What 3.11 says and 3.7 does not is left out, and where their punctuation differs it is the older one.
fn messages(mta: &Mta, text: &str) -> BTreeSet<String> {
    let program = mta.config().with_file_name("sbin").join("postconf").display().to_string();
    let lines = text.lines().map(|line| line.replace(&program, "postconf"));
    let lines =
        lines.filter(|line| !line.contains("support for parameter") && !line.contains("DEPRECATION_README"));
    let lines = lines.map(|line| match line.split_once("usage:") {
        Some((before, _)) => format!("{before}usage\n"),
        None if line.contains("specify one of") => line.replace(',', "") + "\n",
        None => line + "\n",
    });
    lines.collect()
}

/// Words as the shell splits them, with `'…'` only.
fn shell_words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut quoted, mut open) = (false, false);
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                if !open {
                    words.push(String::new());
                    open = true;
                }
            }
            ' ' if !quoted => open = false,
            c => {
                if !open {
                    words.push(String::new());
                    open = true;
                }
                words.last_mut().unwrap().push(c);
            }
        }
    }
    words
}

/// `\xNN`, `\\`, and `\c` for a missing end of line.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        rest = match after.split_at(1) {
            ("x", code) => {
                out.push(char::from(u8::from_str_radix(&code[..2], 16).unwrap()));
                &code[2..]
            }
            ("c", end) => end.strip_prefix('\n').unwrap_or(end),
            (_, tail) => {
                out.push('\\');
                tail
            }
        };
    }
    out.push_str(rest);
    out
}

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Runs a file of cases: `== main` and `== master` hold until they are given anew, `== run` compares.
fn cases(name: &str) {
    let text = std::fs::read_to_string(directory("cases").join(format!("{name}.txt"))).unwrap();
    pair("postconf is compared with it", move |pair| {
        let mut files = Files::default();
        let mut all = Vec::new();
        for section in text.split("\n== ").skip(1) {
            let (kind, body) = section.split_once('\n').unwrap_or((section, ""));
            let content = || match body {
                "(none)" => None,
                "" => Some(String::new()),
                text => Some(unescaped(&format!("{text}\n"))),
            };
            match kind {
                "main" => files.main = content(),
                "master" => files.master = content(),
                _ => all.push((format!("case {}", all.len() + 1), files.clone(), body.lines().collect())),
            }
        }
        assert!(all.len() > 20, "{} cases", all.len());
        let wrong = pair.compare_all(&all);
        assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), all.len(), wrong.join("\n"));
    });
}

#[test]
fn postconf_edits_master_cf_as_the_reference_does() {
    cases("edits");
}

#[test]
fn postconf_options_exclude_each_other_as_in_the_reference() {
    cases("options");
}

#[test]
fn lines_and_expansion_are_those_of_the_reference() {
    cases("grammar");
}

#[test]
fn names_and_values_are_those_of_the_reference() {
    cases("names");
}

/// The configurations of `configurations/*.cf`, by name: main.cf, a line `-- master.cf`, master.cf.
fn configurations() -> Vec<(String, Files)> {
    let mut found: Vec<_> = std::fs::read_dir(directory("configurations")).unwrap().flatten().collect();
    found.sort_by_key(std::fs::DirEntry::file_name);
    let read = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let (main, master) = text.split_once("-- master.cf\n").unwrap();
        let files = Files { main: Some(main.to_owned()), master: Some(master.to_owned()) };
        (entry.file_name().to_string_lossy().into_owned(), files)
    };
    found.into_iter().map(read).collect()
}

#[test]
fn whole_configurations_are_shown_as_the_reference_shows_them() {
    pair("postconf is compared with it", |pair| {
        let all = configurations();
        assert!(all.len() >= 50, "{} configurations", all.len());
        let lines = ["-n", "-nf", "-nx", "-M", "-Mf", "-P", "-Px", "-F", "-C user", "-C service -n"];
        let all: Vec<_> = all.into_iter().map(|(name, files)| (name, files, lines.to_vec())).collect();
        let wrong = pair.compare_all(&all);
        assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), all.len(), wrong.join("\n"));
    });
}
