//! The bench: ours beside the reference, in turn, in one run. See `docs/performance.md` for the method.
//!
//! `bench [--messages N] [--sessions N] [--rounds N] [--only ours|theirs] [relay] [discard] [virtual] [sendmail] [idle]`
//!
//! Runs as root (the reference needs it), in network namespaces of its own; build with `--release` and name the directory
//! of the executables in `POSTINO_BIN_DIR`.
#![allow(clippy::expect_used, clippy::panic)] // a bench that cannot measure must stop

mod idle;
mod load;
mod measure;

use harness::Target;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// SMTP in, SMTP out.
    Relay,
    /// SMTP in, discard.
    Discard,
    /// SMTP in, virtual Maildirs.
    Virtual,
    /// `sendmail` in, discard.
    Sendmail,
    /// Open sessions that say nothing.
    Idle,
}

impl Scenario {
    const ALL: [Self; 5] = [Self::Relay, Self::Discard, Self::Virtual, Self::Sendmail, Self::Idle];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Discard => "discard",
            Self::Virtual => "virtual",
            Self::Sendmail => "sendmail",
            Self::Idle => "idle",
        }
    }
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    messages: usize,
    sessions: usize,
    rounds: usize,
    targets: Vec<Target>,
    scenarios: Vec<Scenario>,
}

fn main() {
    let options = options();
    println!(
        "{} messages a run, {} runs, {} processors, queue on {}\n",
        options.messages,
        options.rounds,
        std::thread::available_parallelism().map_or(0, usize::from),
        measure::file_system(&std::env::temp_dir()).unwrap_or_default(),
    );
    println!(
        "| scenario | system | messages/s | CPU ms/message | context switches/message | system calls/message |"
    );
    println!("|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for &scenario in options.scenarios.iter().filter(|scenario| **scenario != Scenario::Idle) {
        ratios.extend(compare(scenario, &options).map(|ratio| (scenario, ratio)));
    }
    for (scenario, ratio) in ratios {
        println!("{}: {ratio:.2} x the reference's messages a second (medians)", scenario.name());
    }
    if options.scenarios.contains(&Scenario::Idle) {
        println!("\n| idle sessions | system | KiB/session |\n|---|---|---|");
        for target in &options.targets {
            let count = if *target == Target::Ours { options.sessions } else { options.sessions.min(200) };
            println!("| {count} | {} | {:.1} |", name(target), idle::kib_per_session(target, count));
        }
    }
}

/// Runs a scenario in rounds; the ratio of the medians of ours and theirs, when both were measured.
fn compare(scenario: Scenario, options: &Options) -> Option<f64> {
    let mut rates = vec![Vec::new(); options.targets.len()];
    for _ in 0..options.rounds {
        for (target, rates) in options.targets.iter().zip(&mut rates) {
            let speed = load::run(scenario, target, options.messages);
            let calls = measure::optional(load::system_calls(scenario, target));
            println!(
                "| {} | {} | {:.0} | {:.2} | {:.1} | {calls} |",
                scenario.name(),
                name(target),
                speed.messages_per_second,
                speed.cpu_milliseconds,
                speed.context_switches
            );
            rates.push(speed.messages_per_second);
        }
    }
    let mut medians = rates.iter_mut().map(|rates| median(rates));
    let (theirs, ours) = (medians.next()??, medians.next()??);
    Some(ours / theirs)
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn name(target: &Target) -> &'static str {
    if *target == Target::Ours { "ours" } else { "reference" }
}

fn options() -> Options {
    let mut options = Options {
        messages: 2000,
        sessions: 2000,
        rounds: 1,
        targets: vec![Target::Theirs, Target::Ours],
        scenarios: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse().ok()).expect("a number");
        match argument.as_str() {
            "--messages" => options.messages = number(),
            "--sessions" => options.sessions = number(),
            "--rounds" => options.rounds = number(),
            "--only" => {
                let only =
                    if arguments.next().as_deref() == Some("ours") { Target::Ours } else { Target::Theirs };
                options.targets = vec![only];
            }
            word => {
                let known = Scenario::ALL.into_iter().find(|scenario| scenario.name() == word);
                options.scenarios.push(known.unwrap_or_else(|| panic!("unknown scenario {word}")));
            }
        }
    }
    if options.scenarios.is_empty() {
        options.scenarios = Scenario::ALL.to_vec();
    }
    options
}
