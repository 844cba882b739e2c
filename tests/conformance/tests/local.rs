//! Local delivery.

use harness::{golden, isolated, normal_dsn};

#[test]
fn a_message_reaches_the_mbox_of_its_user() {
    isolated(|world| {
        let mta = world.mta("mail").start();
        let user = world.user();
        let id = mta.send("sender@example.org", &[&format!("{user}@example.com")], "Subject: hi\n\nFrom here\n>From there\n");
        mta.wait_removed(&id);
        let got = mta.wait_mbox(&user, 1);
        golden(&mta, "local/mbox", &normal_dsn(&got[0]).replace(&user, "alice"), &[]);
    });
}
