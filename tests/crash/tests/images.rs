//! No acknowledged message is lost, and no half message is delivered, whatever instant the machine stops at.
//! The states are those of `docs/queue-states.md`.
#![allow(clippy::unwrap_used)] // a test that cannot set itself up fails
#![allow(clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use crash::{Directory, Image, Model, Recorder, images};
use host_spool::{DeliveryLog, Draft, Layout, LogEntry, LogSettings, Queue, QueueFile, Real, Spool};
use mail_record::{Kind, MessageSize, QueueId};
use mail_status::{Action, Detail, Dsn, Notify};

/// A spool on a recording disk.
struct World {
    directory: Directory,
    disk: Recorder,
    spool: Spool<Recorder>,
}

impl World {
    fn new() -> Self {
        let directory = Directory::new();
        let disk = Recorder::default();
        let spool = Spool::on(disk.clone(), Layout::standard(directory.path()), LogSettings::default());
        Self { directory, disk, spool }
    }

    /// Writes a message as cleanup does; it is named by its subject. Not committed yet.
    fn write(&self, queue: Queue, subject: &str, recipients: &[&str], filler: usize) -> Draft<Recorder> {
        let mut draft = self.spool.draft(queue, queue.extra_mode()).unwrap();
        draft.put(Kind::Size, MessageSize::default().to_payload().as_bytes()).unwrap();
        draft.put(Kind::Time, b"1795320871 778750").unwrap();
        draft.put(Kind::Sender, b"s@c.test").unwrap();
        for recipient in recipients {
            draft.put(Kind::OriginalRecipient, recipient.as_bytes()).unwrap();
            draft.put(Kind::Recipient, recipient.as_bytes()).unwrap();
        }
        draft.put(Kind::Message, b"").unwrap();
        let start = draft.position();
        draft.put(Kind::Line, format!("Subject: {subject}").as_bytes()).unwrap();
        for _ in 0..filler {
            draft.put(Kind::Line, &[b'x'; 900]).unwrap();
        }
        let end = draft.position();
        draft.put(Kind::Extracted, b"").unwrap();
        draft.put(Kind::End, b"").unwrap();
        let size = MessageSize {
            data_size: i64::try_from(end - start).unwrap(),
            data_offset: i64::try_from(start).unwrap(),
            recipients: i64::try_from(recipients.len()).unwrap(),
            content_length: i64::try_from(end - start).unwrap(),
            ..MessageSize::default()
        };
        draft.overwrite_record(0, Kind::Size, size.to_payload().as_bytes()).unwrap();
        draft
    }

    fn submit(&self, queue: Queue, subject: &str, recipients: &[&str], filler: usize) -> QueueId {
        let draft = self.write(queue, subject, recipients, filler);
        let id = draft.id().clone();
        draft.commit().unwrap();
        self.disk.promise(subject);
        id
    }

    fn due_later(&self, id: &QueueId) {
        self.spool.set_times(Queue::Active, id, SystemTime::now()).unwrap();
        self.spool.rename(id, Queue::Active, Queue::Deferred).unwrap();
    }

    /// Gives each possible image to `check`, with the complete messages in it, by subject.
    fn check(&self, check: impl Fn(&Image, &BTreeMap<String, Vec<Found>>)) {
        let operations = self.disk.operations();
        let scratch = Directory::new();
        for model in [Model::Journal, Model::PerFile] {
            let images = images(&operations, model);
            assert!(images.len() > operations.len(), "too few images: {}", images.len());
            for image in images {
                let found = messages(&image, self.directory.path(), scratch.path());
                check(&image, &found);
            }
        }
    }
}

/// A complete message in an image.
#[derive(Clone, Debug)]
struct Found {
    queue: String,
    open: Vec<String>,
    done: Vec<String>,
}

/// What a restart would find: complete files of the queues that are scanned. A file that shows ready but is not
/// complete must be recognised as such by the reader (the queue manager then puts it into `corrupt`).
fn messages(image: &Image, base: &Path, scratch: &Path) -> BTreeMap<String, Vec<Found>> {
    let mut found: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    for file in &image.files {
        let relative = file.path.strip_prefix(base).unwrap();
        let queue = relative.iter().next().unwrap().to_str().unwrap().to_owned();
        let name = relative.file_name().unwrap().to_str().unwrap();
        let scanned = ["maildrop", "incoming", "active", "deferred", "hold"].contains(&queue.as_str());
        if !scanned || file.mode & 0o700 != 0o700 || QueueId::parse(name).is_err() {
            continue;
        }
        let path = scratch.join("file");
        File::create(&path).unwrap().write_all(&file.data).unwrap();
        if let Some((subject, open, done)) = read(&path) {
            found.entry(subject).or_default().push(Found { queue, open, done });
        }
    }
    found
}

/// As the queue manager reads: in order, the C record's offsets to the byte, nothing after the end record.
fn read(path: &Path) -> Option<(String, Vec<String>, Vec<String>)> {
    let mut file = QueueFile::new(Real, File::open(path).unwrap());
    let (mut open, mut done, mut subject) = (Vec::new(), Vec::new(), String::new());
    let mut size = None;
    while let Some((_, record)) = file.next_record().ok()? {
        match record.kind {
            Kind::Size => size = Some(MessageSize::parse(&record.data).filter(|s| s.data_size > 0)?),
            Kind::Recipient => open.push(record.text()),
            Kind::Done => done.push(record.text()),
            Kind::Line if subject.is_empty() => {
                subject = record.text().strip_prefix("Subject: ")?.to_owned();
                let size = size?;
                file.seek(u64::try_from(size.data_offset + size.data_size).ok()?);
            }
            Kind::End => return Some((subject, open, done)),
            _ => {}
        }
    }
    None
}

fn names(found: &BTreeMap<String, Vec<Found>>, subject: &str) -> Vec<Found> {
    found.get(subject).cloned().unwrap_or_default()
}

#[test]
fn a_committed_message_is_there_and_an_unfinished_one_is_never_half() {
    for (filler, queue) in [(1, Queue::Incoming), (200, Queue::Incoming), (1, Queue::Maildrop)] {
        let world = World::new();
        world.submit(queue, "one", &["a@x", "b@x"], filler);
        world.check(|image, found| {
            let one = names(found, "one");
            if image.promises.contains(&"one".to_owned()) {
                assert_eq!(one.len(), 1, "{image:?}");
            }
            for message in one {
                assert_eq!((message.open.len(), message.queue.as_str()), (2, queue.name()));
            }
        });
    }
}

#[test]
fn a_held_message_never_shows_ready_in_incoming() {
    let world = World::new();
    let mut draft = world.write(Queue::Incoming, "held", &["a@x"], 1);
    draft.move_to_hold().unwrap();
    draft.commit().unwrap();
    world.disk.promise("held");
    world.check(|image, found| {
        let held = names(found, "held");
        assert!(held.iter().all(|message| message.queue == "hold"), "{image:?}");
        assert!(image.promises.is_empty() || held.len() == 1);
    });
}

#[test]
fn an_abandoned_message_is_never_delivered() {
    let world = World::new();
    drop(world.write(Queue::Incoming, "refused", &["a@x"], 200));
    world.check(|image, found| assert!(found.is_empty(), "{image:?}"));
}

#[test]
fn a_moving_message_is_in_exactly_one_queue() {
    let world = World::new();
    let id = world.submit(Queue::Incoming, "one", &["a@x"], 1);
    world.spool.rename(&id, Queue::Incoming, Queue::Active).unwrap();
    world.due_later(&id);
    world.spool.flush_message(&id, true).unwrap();
    world.spool.rename(&id, Queue::Incoming, Queue::Active).unwrap();
    world.due_later(&id);
    world.spool.rename(&id, Queue::Deferred, Queue::Hold).unwrap();
    world.spool.rename(&id, Queue::Hold, Queue::Deferred).unwrap();
    world.check(|image, found| {
        assert!(image.promises.is_empty() || names(found, "one").len() == 1, "{image:?}");
    });
}

#[test]
fn a_recipient_is_marked_only_after_its_delivery_and_a_file_goes_only_when_all_are() {
    let world = World::new();
    let id = world.submit(Queue::Incoming, "one", &["a@x", "b@x"], 1);
    world.spool.rename(&id, Queue::Incoming, Queue::Active).unwrap();
    let mut file = world.spool.open_file(Queue::Active, &id).unwrap();
    let mut offsets = Vec::new();
    while let Some((offset, record)) = file.next_record().unwrap() {
        if record.kind == Kind::Recipient {
            offsets.push((offset, record.text()));
        }
    }
    for (offset, recipient) in &offsets {
        world.disk.promise(format!("delivered {recipient}"));
        file.mark_done(*offset).unwrap();
    }
    world.spool.remove(Queue::Active, &id).unwrap();
    world.check(|image, found| {
        let delivered = |name: &str| image.promises.contains(&format!("delivered {name}"));
        let one = names(found, "one");
        for message in &one {
            assert!(message.done.iter().all(|name| delivered(name)), "{image:?}");
            assert_eq!(message.open.len() + message.done.len(), 2);
        }
        if image.promises.contains(&"one".to_owned()) && one.is_empty() {
            assert!(delivered("a@x") && delivered("b@x"), "lost: {image:?}");
        }
    });
}

#[test]
fn a_requeued_message_is_in_the_old_or_in_the_new_file() {
    let world = World::new();
    let id = world.submit(Queue::Incoming, "one", &["a@x"], 1);
    world.spool.rename(&id, Queue::Incoming, Queue::Maildrop).unwrap();
    let new = world.submit(Queue::Incoming, "one", &["a@x"], 1);
    world.spool.remove(Queue::Maildrop, &id).unwrap();
    world.spool.rename(&new, Queue::Incoming, Queue::Active).unwrap();
    world.check(|image, found| {
        assert!(image.promises.is_empty() || !names(found, "one").is_empty(), "{image:?}");
    });
}

#[test]
fn a_failed_message_goes_only_when_its_notice_is_there() {
    let world = World::new();
    let id = world.submit(Queue::Incoming, "one", &["a@x"], 1);
    world.spool.rename(&id, Queue::Incoming, Queue::Active).unwrap();
    let entry = LogEntry {
        recipient: "a@x".into(),
        original_recipient: String::new(),
        offset: 1,
        dsn_orig_rcpt: String::new(),
        notify: Notify(0),
        action: Action::Failed,
        detail: Detail::new(Dsn::new(5, 1, 1), "no such user"),
    };
    world.spool.append_log(DeliveryLog::Bounce, &id, &entry).unwrap();
    world.submit(Queue::Incoming, "notice", &["s@c.test"], 1);
    world.spool.remove_log(DeliveryLog::Bounce, &id).unwrap();
    world.spool.remove(Queue::Active, &id).unwrap();
    world.check(|image, found| {
        if image.promises.contains(&"one".to_owned()) {
            assert!(!names(found, "one").is_empty() || !names(found, "notice").is_empty(), "{image:?}");
        }
    });
}
