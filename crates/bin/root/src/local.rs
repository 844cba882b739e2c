//! The local delivery agent: aliases, .forward, commands, mailboxes.

fn main() -> std::process::ExitCode {
    daemon_local::main()
}
