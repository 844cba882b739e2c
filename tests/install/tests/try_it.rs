//! `./install try`: a private instance in one command.

use std::fs;
use std::path::Path;

use crate::place::{Place, Said};

fn assert_delivers_and_stops(place: &Place) {
    let said = place.install(&["try"]);
    assert!(said.ok, "{said:?}");
    let instance = place.dir.join("try");
    let messages = harness::maildir(&instance.join("mail/Maildir"));
    assert_eq!(messages.len(), 2, "{said:?}");
    for part in [
        "S: 250 2.0.0 Ok: queued as",
        "Subject: over SMTP",
        "Hello from bash.",
        "Subject: through sendmail",
        "Hello from sendmail.",
        "Mail queue is empty",
        "status=sent (delivered to maildir)",
        "It runs.",
        "install try --stop",
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    let log = fs::read_to_string(instance.join("log/mail.log")).unwrap();
    // Somebody else may take the port between the choice and the start; another one is taken then.
    let harmless = ["Address already in use", "mail system startup failed"];
    let complaints: Vec<&str> = log
        .lines()
        .filter(|line| ["warning: ", "error: ", "fatal: "].iter().any(|part| line.contains(part)))
        .filter(|line| !harmless.iter().any(|part| line.contains(part)))
        .collect();
    assert!(complaints.is_empty(), "{log}");
    let again = place.install(&["try"]);
    assert!(!again.ok && again.err.contains("runs already"), "{again:?}");
    assert!(!processes(&instance).is_empty());
    let said = place.install(&["try", "--stop"]);
    assert!(said.ok && said.out.contains("stopped"), "{said:?}");
    assert_eq!(processes(&instance), Vec::<String>::new(), "still running");
    let again = place.install(&["try", "--stop"]);
    assert!(!again.ok && again.err.contains("does not run"), "{again:?}");
}

/// Command lines of the processes that work below `instance`: every daemon does, in the queue directory.
fn processes(instance: &Path) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    all.filter(|path| fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(instance)))
        .map(|path| fs::read_to_string(path.join("cmdline")).unwrap_or_default())
        .collect()
}

#[test]
fn a_private_instance_takes_two_messages_delivers_them_and_stops() {
    let Some(place) = Place::new() else { return };
    assert_delivers_and_stops(&place);
}

#[test]
fn an_ordinary_user_may_do_it_too() {
    let Some(place) = Place::rootless() else { return };
    assert_delivers_and_stops(&place);
}

#[test]
fn a_stopped_instance_starts_again_with_its_mail() {
    let Some(place) = Place::new() else { return };
    let dir = place.path("somewhere/else");
    for count in [2, 4] {
        let said = place.install(&["try", "--dir", &dir]);
        assert!(said.ok, "{said:?}");
        assert_eq!(harness::maildir(&Path::new(&dir).join("mail/Maildir")).len(), count);
        assert!(said.out.contains(&format!("--stop --dir {dir}")), "{said:?}");
        let said = place.install(&["try", "--stop", "--dir", &dir]);
        assert!(said.ok, "{said:?}");
    }
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let Some(place) = Place::new() else { return };
    fs::create_dir(place.dir.join("full")).unwrap();
    fs::write(place.dir.join("full/precious"), "mine").unwrap();
    let long = place.path(&"x".repeat(80));
    let cases: &[(&[&str], &str)] = &[
        (&["try", "--dir", &place.path("full")], "is not empty and was not made by this script"),
        (&["try", "--dir", &long], "longer than 80 bytes"),
        (&["try", "--dir", "/tmp/a b"], "only letters, digits"),
        (&["try", "--port", "25"], "unknown argument: --port"),
        (&["try", "--stop"], "no private instance found"),
        (&["try", "--stop", "--dir", &place.path("full")], "no private instance in"),
        (&["system", "--root", &place.path("r"), "colour=/blue"], "unknown name: colour"),
        (&["system", "--root", &place.path("r"), "queue_directory=spool"], "needs an absolute path"),
    ];
    for (arguments, text) in cases {
        let Said { ok, out, err } = place.install(arguments);
        assert!(!ok && out.is_empty(), "{arguments:?}: {out}");
        assert!(err.starts_with("install: ") && err.contains(text), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
    }
    assert_eq!(fs::read_to_string(place.dir.join("full/precious")).unwrap(), "mine");
}
