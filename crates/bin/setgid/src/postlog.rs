//! postlog(1): logs for scripts (set-gid: with `maillog_file`, records go through a socket that is closed to others).

fn main() -> std::process::ExitCode {
    command_postlog::main()
}
