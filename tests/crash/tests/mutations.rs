//! Damaged queue files: the reader gives an error or an end, never a panic and never an endless loop.

use std::fs::File;
use std::io::Write;

use crash::Directory;
use host_spool::{Follow, QueueFile, Real};
use mail_record::{Kind, MessageSize, put, put_attribute};
use proptest::prelude::*;

/// Records read before a reader is taken to be in a loop.
const RECORD_LIMIT: usize = 2_000_000;

fn sample() -> Vec<u8> {
    let mut file = Vec::new();
    let size = MessageSize { data_size: 30, data_offset: 200, recipients: 2, ..MessageSize::default() };
    put(&mut file, Kind::Size, size.to_payload().as_bytes());
    put(&mut file, Kind::Time, b"1795320871 778750");
    put_attribute(&mut file, "create_time", "1795320871");
    put(&mut file, Kind::Sender, b"s@c.test");
    for recipient in ["a@far.example", "b@far.example"] {
        put(&mut file, Kind::OriginalRecipient, recipient.as_bytes());
        put(&mut file, Kind::Recipient, recipient.as_bytes());
    }
    put(&mut file, Kind::Pointer, format!("{:15}", 0).as_bytes());
    put(&mut file, Kind::Message, b"");
    put(&mut file, Kind::Line, b"Subject: hi");
    put(&mut file, Kind::Pointer, format!("{:15}", 97).as_bytes());
    put(&mut file, Kind::Padding, b"00");
    put(&mut file, Kind::Line, b"");
    put(&mut file, Kind::Line, b"body");
    put(&mut file, Kind::Extracted, b"");
    put(&mut file, Kind::End, b"");
    file
}

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Cut(usize),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0usize..400, any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (0usize..400).prop_map(Change::Cut),
        (0usize..400, 1usize..50).prop_map(|(at, count)| Change::Remove(at, count)),
        (0usize..400, prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let clamp = |at: usize| at.min(bytes.len());
    match change {
        Change::Set(at, byte) => {
            if let Some(place) = bytes.get_mut(*at) {
                *place = *byte;
            }
        }
        Change::Cut(at) => bytes.truncate(*at),
        Change::Remove(at, count) => {
            let (start, end) = (clamp(*at), clamp(at + count));
            bytes.drain(start..end);
        }
        Change::Insert(at, new) => {
            let at = clamp(*at);
            bytes.splice(at..at, new.iter().copied());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn damage_is_survived(changes in prop::collection::vec(change(), 0..6), offset in 0u64..500) {
        thread_local!(static PLACE: Directory = Directory::new());
        let mut bytes = sample();
        for change in &changes {
            apply(&mut bytes, change);
        }
        let path = PLACE.with(|place| place.path().join("file"));
        File::create(&path).unwrap().write_all(&bytes).unwrap();
        for follow in [Follow::Silently, Follow::Showing, Follow::Never] {
            let mut file = QueueFile::new(Real, File::open(&path).unwrap());
            file.set_follow(follow);
            let mut count = 0;
            while let Ok(Some(_)) = file.next_any() {
                count += 1;
                prop_assert!(count < RECORD_LIMIT, "endless: {follow:?}");
            }
            let mut lines = file.content_lines(offset);
            let mut count = 0;
            while let Ok(Some(_)) = lines.next_line() {
                count += 1;
                prop_assert!(count < RECORD_LIMIT, "endless content");
            }
        }
    }
}
