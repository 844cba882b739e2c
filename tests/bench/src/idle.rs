//! Memory of sessions that are open and say nothing.

use harness::Target;
use nix::sys::resource::{Resource, setrlimit};

use crate::load::in_world;
use crate::measure;

/// KiB for each of `count` sessions after EHLO, over what one session takes.
pub fn kib_per_session(target: &Target, count: usize) -> f64 {
    let _ = setrlimit(Resource::RLIMIT_NOFILE, 20_000, 20_000);
    in_world(target, move |world, target| {
        let mta = world
            .mta("mta")
            .target(target.clone())
            .main(&format!(
                "default_process_limit = {}\nsmtpd_client_connection_count_limit = 0\nsmtpd_timeout = 300\nmax_use = 1000000",
                count + 10
            ))
            .start();
        let mut sessions = vec![mta.ehlo()];
        let first = measure::memory_kib(&mta.pids("smtpd"));
        sessions.extend((0..count).map(|_| mta.ehlo()));
        let all = measure::memory_kib(&mta.pids("smtpd"));
        drop(sessions);
        mta.stop();
        (all - first) / count as f64
    })
}
