//! The multi-call image: the program is chosen by the name it is called by.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let argv0 = std::env::args_os().next().unwrap_or_else(|| OsString::from("postino"));
    let name = Path::new(&argv0).file_name().and_then(|n| n.to_str()).unwrap_or("postino");
    let mut arguments = std::env::args_os().skip(1);
    let asks_version = arguments.next().is_some_and(|word| word == "--version") && arguments.next().is_none();
    match program(name) {
        // `mail_version` is the reference's, whose behaviour this is; our own is told here and by `postconf postino_version`.
        Some(_) if asks_version => {
            println!("Postino {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some(main) => main(),
        None => {
            eprintln!("postino: {name}: no program of this name; call the image by the name of a program");
            ExitCode::FAILURE
        }
    }
}

/// The programs of this image, by the name that a link to it has.
fn program(name: &str) -> Option<fn() -> ExitCode> {
    Some(match name {
        "anvil" => daemon_anvil::main,
        "bounce" => daemon_bounce::main,
        "cleanup" => daemon_cleanup::main,
        "discard" => daemon_discard::main,
        "error" => daemon_error::main,
        "flush" => daemon_flush::main,
        "pickup" => daemon_pickup::main,
        "postlogd" => daemon_postlogd::main,
        "proxymap" => daemon_proxymap::main,
        "qmgr" => daemon_qmgr::main,
        "showq" => daemon_showq::main,
        "smtp" | "lmtp" => daemon_smtp::main,
        "smtpd" => daemon_smtpd::main,
        "trivial-rewrite" => daemon_trivial_rewrite::main,
        "verify" => daemon_verify::main,
        "postalias" => command_postalias::main,
        "postcat" => command_postcat::main,
        "postconf" => command_postconf::main,
        "postfix" => command_postfix::main,
        "postkick" => command_postkick::main,
        "postlock" => command_postlock::main,
        "postmap" => command_postmap::main,
        "postsuper" => command_postsuper::main,
        "sendmail" | "mailq" | "newaliases" => command_sendmail::main,
        _ => return None,
    })
}
