//! Garbage at every socket, in every queue and in the maildrop: it is logged and put aside, no daemon dies, and mail flows on.

use harness::{
    Builder, Mta, Random, Recorder, Request, Sink, Target, World, isolated, stream_services, until,
};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

fn plain(world: &World) -> Builder {
    world.mta("mail").main("local_recipient_maps =\nlocal_transport = discard\ndefault_transport = discard\nservice_throttle_time = 1s\nipc_timeout = 5s\nsmtpd_timeout = 5s")
}

/// Mail still flows, over SMTP and through sendmail, to a local user.
fn still_works(mta: &Mta, user: &str) {
    let id = mta.send("a@example.org", &[&format!("{user}@example.com")], "Subject: x\n\nbody\n");
    mta.wait_removed(&id);
    let run = mta.run_with("sendmail", &[user], "x\n");
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    until("the maildrop to empty", || mta.queue("maildrop").is_empty().then_some(()));
    assert_eq!(mta.run("mailq", &[]).code, 0);
}

#[test]
fn garbage_at_every_socket_does_no_harm() {
    isolated(|world| {
        let mta = plain(world).start();
        still_works(&mta, "b");
        let mut random = Random(0x1234_5678_9ABC_DEF1);
        for dir in ["public", "private"] {
            for entry in std::fs::read_dir(mta.spool().join(dir)).unwrap().flatten() {
                let path = entry.path();
                let name = entry.file_name().into_string().unwrap();
                if name == "postlog" {
                    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
                    let _ = socket.send_to(&random.bytes(200), &path);
                    continue;
                }
                for size in [1, 40, 3000, 70_000] {
                    let Ok(mut stream) = std::os::unix::net::UnixStream::connect(&path) else { continue };
                    stream.set_write_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
                    let _ = stream.write_all(&random.bytes(size));
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                }
            }
        }
        for _ in 0..5 {
            let mut client = mta.smtp();
            client.raw(random.bytes(5000));
        }
        still_works(&mta, "b");
        assert_eq!(mta.lines(&["killed by signal"]), Vec::<String>::new());
        assert!(mta.lines(&["panic: "]).is_empty(), "{:?}", mta.lines(&["panic: "]));
    });
}

#[test]
fn garbage_in_the_queue_goes_to_corrupt() {
    isolated(|world| {
        let mta = plain(world).start();
        let mut random = Random(0xABCD_EF01_2345_6789);
        let owner = std::fs::metadata(mta.spool().join("incoming")).unwrap();
        for n in 0..8 {
            let path = mta.spool().join("incoming").join(format!("ABCDE{n:05}"));
            let mut bytes = random.bytes(20 + n * 100);
            if n % 2 == 1 {
                bytes.splice(0..0, *b"C\x5f            285             784               2              12             285               0");
            }
            put(&path, &bytes, &owner, 0o700);
        }
        mta.run("postqueue", &["-f"]);
        until("eight corrupt files", || (mta.queue("corrupt").len() == 8).then_some(()));
        assert!(mta.wait_count(&["warning: "], 8).len() >= 8);
        for n in 0..4 {
            let path = mta.spool().join("maildrop").join(format!("ABCDF{n:05}"));
            put(&path, &random.bytes(50 + n * 200), &owner, 0o744);
        }
        mta.run("postkick", &["public", "pickup", "W"]);
        until("the maildrop to empty", || mta.queue("maildrop").is_empty().then_some(()));
        still_works(&mta, "b");
        assert!(mta.lines(&["killed by signal"]).is_empty());
        mta.wait_empty();
        assert_eq!(mta.run("mailq", &[]).out, "Mail queue is empty\n");
    });
}

pub(crate) fn put(path: &std::path::Path, bytes: &[u8], owner: &std::fs::Metadata, mode: u32) {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    // Complete before it is seen: daemons take it at once.
    let hidden = path.with_file_name(format!(".{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    std::fs::write(&hidden, bytes).unwrap();
    std::os::unix::fs::chown(&hidden, Some(owner.uid()), Some(owner.gid())).unwrap();
    std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::rename(&hidden, path).unwrap();
}

/// An instance that has every kind of delivery, and whose rewriting goes through a socket.
fn every_service(world: &World, smtp: &Sink, lmtp: &Sink, main: &str) -> Mta {
    let user = world.user();
    let vmail = world.dir().join("vmail");
    std::fs::create_dir(&vmail).unwrap();
    if world.root() {
        std::os::unix::fs::chown(&vmail, Some(world.uid(&user)), Some(world.uid(&user))).unwrap();
    }
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(&vmail).unwrap();
    world
        .mta("mail")
        .main(&format!("relayhost = {}\nsmtp_host_lookup = native\ndisable_dns_lookups = yes\nsmtp_connect_timeout = 1s\nsmtp_helo_timeout = 2s\nlmtp_connect_timeout = 1s\nlmtp_lhlo_timeout = 2s\nipc_timeout = 5s\nsmtpd_timeout = 5s\nservice_throttle_time = 1s\npostino_rewrite_service = socket\ncommand_time_limit = 5s", smtp.nexthop()))
        .main(&format!("transport_maps = inline:{{{{lmtp.example=lmtp:inet:{}}},{{pipe.example=piped:}},{{discard.example=discard:}},{{error.example=error:5.7.1 not here}},{{later.example=retry:4.2.2 wait}}}}", lmtp.nexthop()))
        .main(&format!("virtual_mailbox_domains = v.example\nvirtual_mailbox_maps = inline:{{{{box@v.example=box/}}}}\nvirtual_mailbox_base = {}\nvirtual_uid_maps = static:{}\nvirtual_gid_maps = static:{}\nvirtual_minimum_uid = 1", vmail.display(), owner.uid(), owner.gid()))
        .main(main)
        .main("relay_domains = later.example\nfast_flush_domains = later.example\nsmtpd_client_event_limit_exceptions =\nsmtpd_client_message_rate_limit = 10000\nqueue_run_delay = 1000s\nlocal_recipient_maps = proxy:unix:passwd.byname $alias_maps\naddress_verify_map =\nsmtpd_recipient_restrictions = check_recipient_access inline:{probe@remote.example=reject_unverified_recipient}\nproxy_read_maps = $local_recipient_maps")
        .master(&format!("piped unix - n n - - pipe user={user} argv=/bin/cat"))
        .start()
}

/// Makes every service do its work; what its clients said.
fn real_requests(mta: &Mta, user: &str) -> Vec<Request> {
    let recorder = Recorder::start(mta);
    let local = format!("{user}@example.com");
    let content = "Subject: x\n\nbody\n.\nend\n";
    let all = [
        &local,
        "x@remote.example",
        "y@remote.example",
        "x@lmtp.example",
        "x@pipe.example",
        "x@discard.example",
        "box@v.example",
        "probe@remote.example",
    ];
    mta.send(&local, &all, content);
    for args in [&["-f", &local, "x@error.example", "x@later.example"][..], &["-bv", "-f", &local, &local]] {
        assert_eq!(mta.run_with("sendmail", args, content).code, 0);
    }
    let done = || mta.queue("deferred").len() == 1 && mta.queued() == 1;
    until("everything to be dealt with", || done().then_some(()));
    for args in [&["-p"][..], &["-s", "later.example"], &["-f"]] {
        assert_eq!(mta.run("postqueue", args).code, 0);
    }
    until("everything to be dealt with again", || done().then_some(()));
    recorder.stop()
}

/// No daemon has panicked, and none has ended otherwise than by its own decision.
fn none_died(mta: &Mta) {
    for part in ["panic: ", "killed by signal", "exit status", "throttling"] {
        assert_eq!(mta.lines(&[part]), Vec::<String>::new());
    }
}

/// A file that a damaged request finds under the queue ID that it names.
fn provide_queue_file(mta: &Mta, model: &[u8], request: &[u8]) {
    const NAME: &[u8] = b"queue_id\0";
    let Some(at) = request.windows(NAME.len()).position(|part| part == NAME) else { return };
    let id: Vec<u8> =
        request[at + NAME.len()..].iter().copied().take_while(u8::is_ascii_alphanumeric).collect();
    let Ok(id) = String::from_utf8(id) else { return };
    if !id.is_empty() && id.len() < 30 {
        let owner = std::fs::metadata(mta.spool().join("active")).unwrap();
        put(&mta.spool().join("active").join(id), model, &owner, 0o700);
    }
}

fn send_request(path: &Path, bytes: &[u8]) {
    let Ok(mut stream) = UnixStream::connect(path) else { return };
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.take(1_000_000).read_to_end(&mut answer);
}

/// How many damaged requests each service gets, and how many damaged files each queue: `HARNESS_DAMAGE`, else 80.
fn damaged() -> usize {
    std::env::var("HARNESS_DAMAGE").ok().and_then(|count| count.parse().ok()).unwrap_or(80)
}

#[test]
fn damaged_requests_at_every_socket_do_no_harm() {
    if Target::current() != Target::Ours {
        harness::skip("asks for more than the reference promises");
        return;
    }
    isolated(|world| {
        let (smtp, lmtp) = (Sink::smtp().start(), Sink::lmtp().start());
        let mta = every_service(world, &smtp, &lmtp, "");
        let requests = real_requests(&mta, &world.user());
        let model = real_files(&mta, "deferred").swap_remove(0);
        std::thread::scope(|scope| {
            for (n, service) in stream_services(&mta).into_iter().enumerate() {
                let own: Vec<&Request> = requests.iter().filter(|one| one.service == service).collect();
                let silent = ["private/scache", "private/relay", "private/proxywrite", "public/showq"];
                assert!(!own.is_empty() || silent.contains(&service.as_str()), "no request for {service}");
                // Without a network namespace, a damaged address could be one of the real network.
                let ventures = ["private/smtp", "private/lmtp"].contains(&service.as_str());
                if own.is_empty() || ventures && !world.root() {
                    continue;
                }
                let (mta, model) = (&mta, &model);
                scope.spawn(move || {
                    let mut random = Random(0x5851_F42D_4C95_7F2D + n as u64);
                    for _ in 0..damaged() {
                        let request = own[random.below(own.len())];
                        let bytes = random.damage(&request.bytes);
                        provide_queue_file(mta, model, &bytes);
                        send_request(&mta.spool().join(&service), &bytes);
                    }
                });
            }
        });
        none_died(&mta);
        still_works(&mta, &world.user());
    });
}

#[test]
fn damaged_smtp_sessions_do_no_harm() {
    isolated(|world| {
        let mta = plain(world).main("smtpd_client_connection_count_limit = 0").start();
        let session = b"EHLO client.example.org\r\nMAIL FROM:<a@example.org> SIZE=100 RET=HDRS ENVID=x+2By BODY=8BITMIME\r\nRCPT TO:<b@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+40example.com\r\nRCPT TO:<\"c d\"@example.com>\r\nDATA\r\nReceived: x\r\nSubject: =?utf-8?q?x?=\r\n folded\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nbody\r\n..\r\n--x--\r\n.\r\nRSET\r\nVRFY b\r\nETRN example.com\r\nNOOP x\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:<b@example.com>\r\nBDAT 8\r\n123456\r\nBDAT 4 LAST\r\n12\r\nQUIT\r\n";
        let address = mta.address();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    let mut random = Random(0x2545_F491_4F6C_DD1D + thread);
                    for _ in 0..damaged() {
                        let mut stream = std::net::TcpStream::connect(address).unwrap();
                        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                        let mut answer = [0; 4];
                        stream.read_exact(&mut answer).unwrap();
                        assert_eq!(&answer, b"220 ");
                        let _ = stream.write_all(&random.damage(session));
                        let _ = stream.shutdown(std::net::Shutdown::Write);
                        let mut answer = Vec::new();
                        let _ = stream.take(1_000_000).read_to_end(&mut answer);
                    }
                });
            }
        });
        none_died(&mta);
        still_works(&mta, "b");
    });
}

/// Real files of messages: those in the deferred queue, or in the maildrop.
fn real_files(mta: &Mta, queue: &str) -> Vec<Vec<u8>> {
    mta.queue(queue).iter().map(|id| std::fs::read(mta.queue_file(id).unwrap()).unwrap()).collect()
}

/// Puts damaged files where each queue has its own; their paths.
fn put_damaged(mta: &Mta, queue: &str, mode: u32, models: &[Vec<u8>], seed: u64) -> Vec<PathBuf> {
    let owner = std::fs::metadata(mta.spool().join("incoming")).unwrap();
    let mut random = Random(seed);
    (0..damaged())
        .map(|n| {
            let path = mta.spool().join(queue).join(format!("{:05X}{n:05X}", seed & 0xFFFFF));
            put(&path, &random.damage(&models[n % models.len()]), &owner, mode);
            path
        })
        .collect()
}

#[test]
fn damaged_queue_files_do_no_harm() {
    if Target::current() != Target::Ours {
        harness::skip("asks for more than the reference promises");
        return;
    }
    isolated(|world| {
        let (smtp, lmtp) = (Sink::smtp().start(), Sink::lmtp().start());
        let user = world.user();
        let mta =
            every_service(world, &smtp, &lmtp, "defer_transports = smtp local virtual piped retry error");
        let local = format!("{user}@example.com");
        let mut client = mta.ehlo();
        client.cmd("MAIL FROM:<a@example.org> RET=HDRS ENVID=x+2By BODY=8BITMIME");
        for to in [&local, "x@remote.example", "box@v.example", "x@pipe.example"] {
            client.cmd(&format!("RCPT TO:<{to}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+40example.com"));
        }
        client.cmd("DATA");
        let content = "Subject: x\nContent-Type: text/plain; charset=utf-8\n\nbody\n";
        assert!(client.content(content).starts_with("250 "));
        let long = "From: x\n\nbody\n".repeat(300);
        let run =
            mta.run_with("sendmail", &["-f", &local, "x@later.example", "x@error.example", &local], &long);
        assert_eq!(run.code, 0, "{}", run.err);
        until("deferrals", || (mta.queue("deferred").len() == 2 && mta.queued() == 2).then_some(()));
        let models = real_files(&mta, "deferred");
        mta.stop();
        assert_eq!(mta.run("postconf", &["-X", "defer_transports"]).code, 0);
        let mut paths = Vec::new();
        for (queue, seed) in [("incoming", 0xA1), ("active", 0xB2), ("deferred", 0xC3)] {
            paths.extend(put_damaged(&mta, queue, 0o700, &models, seed));
        }
        mta.start();
        until("all files to be looked at", || {
            let looked_at = |path: &PathBuf| match std::fs::metadata(path) {
                // Deferred again: due in the future.
                Ok(meta) => {
                    path.starts_with(mta.spool().join("deferred"))
                        && meta.modified().unwrap() > std::time::SystemTime::now()
                }
                Err(_) => true,
            };
            (paths.iter().all(looked_at)
                && mta.queue("incoming").is_empty()
                && mta.queue("active").is_empty())
            .then_some(())
        });
        none_died(&mta);
        let corrupt = mta.queue("corrupt");
        assert!(!corrupt.is_empty());
        for id in corrupt {
            assert!(!mta.lines(&["warning: ", &id]).is_empty(), "nothing is said about {id}");
        }
        still_works(&mta, &user);
    });
}

#[test]
fn damaged_maildrop_files_do_no_harm() {
    isolated(|world| {
        let mta = plain(world).build();
        for args in [&["-f", "a@example.org", "-N", "never", "b@example.com", "c@example.com"][..], &["-t"]] {
            let run = mta.run_with("sendmail", args, "To: b@example.com\nSubject: x\n\nbody\n");
            assert_eq!(run.code, 0, "{}", run.err);
        }
        let models = real_files(&mta, "maildrop");
        assert_eq!(models.len(), 2);
        let paths = put_damaged(&mta, "maildrop", 0o744, &models, 0xD4);
        mta.start();
        until("the maildrop to empty", || (!paths.iter().any(|path| path.exists())).then_some(()));
        none_died(&mta);
        for id in mta.queue("corrupt") {
            assert!(!mta.lines(&[&id]).is_empty(), "nothing is said about {id}");
        }
        still_works(&mta, "b");
    });
}

/// What a good SMTP server says in one session, all at once.
const GOOD_SERVER: &[u8] = b"220-mx.example\r\n220 mx.example ESMTP\r\n250-mx.example\r\n250-SIZE 100000\r\n250-8BITMIME\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n250 2.0.0 done\r\n221 2.0.0 Bye\r\n";

/// A server that says this to each client as it is, or damaged while `damaging`; how many came is counted.
fn babbler(damaging: &'static AtomicBool, count: &'static AtomicUsize) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut random = Random(0x1405_7B7E_F767_814F);
        for stream in listener.incoming().flatten() {
            let damaged = random.damage(GOOD_SERVER);
            std::thread::spawn(move || {
                let says = if damaging.load(Ordering::SeqCst) { &damaged } else { GOOD_SERVER };
                let mut stream = stream;
                let _ = stream.write_all(says);
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = stream.read_to_end(&mut Vec::new());
                count.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    address
}

#[test]
fn damaged_replies_of_a_server_do_no_harm() {
    isolated(|world| {
        static DAMAGING: AtomicBool = AtomicBool::new(true);
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let server = babbler(&DAMAGING, &COUNT);
        let mta = world
            .mta("mail")
            .main(&format!("relayhost = [127.0.0.1]:{}\nsmtp_destination_concurrency_failed_cohort_limit = 0\nsmtp_helo_timeout = 2s\nsmtp_mail_timeout = 2s\nsmtp_rcpt_timeout = 2s\nsmtp_data_init_timeout = 2s\nsmtp_data_done_timeout = 2s\nsmtp_quit_timeout = 2s\nsmtp_xforward_timeout = 2s\nsmtp_rset_timeout = 2s\nsmtpd_recipient_limit = 100000", server.port()))
            .start();
        let mut sent = 0;
        while COUNT.load(Ordering::SeqCst) < damaged() {
            let id = mta.send("", &[&format!("r{sent}@x.example")], "Subject: x\n\nbody\n");
            mta.wait(&["/smtp[", &format!("{id}: to=")]);
            sent += 1;
        }
        DAMAGING.store(false, Ordering::SeqCst);
        mta.run("postqueue", &["-f"]);
        mta.wait_empty();
        none_died(&mta);
        let id = mta.send("", &["last@x.example"], "Subject: x\n\nbody\n");
        mta.wait(&[&format!("{id}: to=<last@x.example>"), "status=sent"]);
    });
}
