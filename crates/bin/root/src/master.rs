//! The supervisor: master.cf services, their sockets and processes.

fn main() -> std::process::ExitCode {
    daemon_master::main()
}
