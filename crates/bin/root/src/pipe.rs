//! Delivery to an external command.

fn main() -> std::process::ExitCode {
    daemon_pipe::main()
}
