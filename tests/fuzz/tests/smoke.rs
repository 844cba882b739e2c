//! Each target with its examples, and with damaged ones.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot set itself up fails

use std::path::Path;

use harness::Random;

/// Damaged inputs of each target: `FUZZ_ROUNDS`, else 2000. Their seed: `FUZZ_SEED`, else 1. `FUZZ_TARGET`: only this one.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn examples(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no example for {target}");
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Runs a target; says which input it failed at. An input that ends the process, or runs on, is in the file `FUZZ_LAST`.
fn run(target: &str, input: &[u8]) {
    if let Some(path) = std::env::var_os("FUZZ_LAST") {
        std::fs::write(path, input).unwrap();
    }
    if let Err(panic) = std::panic::catch_unwind(|| fuzz::run(target, input)) {
        println!("{target} fails at: {}", input.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn no_target_fails_at_damaged_examples() {
    let rounds = setting("FUZZ_ROUNDS", 2000);
    std::thread::scope(|scope| {
        let only = std::env::var("FUZZ_TARGET").ok();
        for (n, &(target, _)) in fuzz::TARGETS.iter().enumerate() {
            if only.as_ref().is_some_and(|only| only != target) {
                continue;
            }
            scope.spawn(move || {
                let examples = examples(target);
                examples.iter().for_each(|example| run(target, example));
                let mut random = Random(setting("FUZZ_SEED", 1) * 1000 + n as u64);
                for _ in 0..rounds {
                    let example = &examples[random.below(examples.len())];
                    let mut input = random.damage(example);
                    if random.below(4) == 0 {
                        // Parts of two examples.
                        let other = &examples[random.below(examples.len())];
                        input.extend_from_slice(&other[random.below(other.len())..]);
                    }
                    run(target, &input);
                }
            });
        }
    });
}

#[test]
fn each_target_has_a_program_for_libfuzzer() {
    let manifest =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
    for (target, _) in fuzz::TARGETS {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
    }
}
