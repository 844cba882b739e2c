//! The virtual mailbox delivery agent.

fn main() -> std::process::ExitCode {
    daemon_virtual::main()
}
