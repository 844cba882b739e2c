//! postqueue(1): lists and flushes the queue (set-gid).

fn main() -> std::process::ExitCode {
    command_postqueue::main()
}
