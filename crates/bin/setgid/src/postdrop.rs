//! postdrop(1): creates a maildrop file (set-gid).

fn main() -> std::process::ExitCode {
    command_postdrop::main()
}
