//! What is built is read back, in both byte orders of reading, and broken files are errors.

use super::build::Records;
use super::{Broken, Database, Identity, btree, hash};

fn records(count: usize, value: impl Fn(usize) -> Vec<u8>) -> Records {
    (0..count).map(|n| (format!("key-{n}\0").into_bytes(), value(n))).collect()
}

fn all(database: &Database) -> Records {
    let mut found = Records::new();
    database
        .for_each(&mut |key, value| {
            found.insert(key, value);
            true
        })
        .unwrap();
    found
}

#[test]
fn every_record_is_found_again() {
    let long = |n: usize| vec![b'v'; n * 37];
    let mut giant_keys: Records = (1..40).map(|n| (vec![b'k'; n * 301], vec![1, 2])).collect();
    giant_keys.extend(records(500, |_| b"x".to_vec()));
    for set in [
        records(0, |_| vec![]),
        records(1, |_| vec![]),
        records(3000, |n| n.to_string().into_bytes()),
        records(300, long),
        giant_keys,
    ] {
        for file in [hash(&set, Identity::default()), btree(&set, Identity::default())] {
            let database = Database::from_bytes(file).unwrap();
            assert_eq!(all(&database), set);
            for (key, value) in &set {
                assert_eq!(database.find(key).unwrap().as_ref(), Some(value));
            }
            assert_eq!(database.find(b"absent").unwrap(), None);
        }
    }
}

#[test]
fn no_file_however_broken_makes_a_panic() {
    let good = hash(&records(200, |n| vec![b'v'; n * 20]), Identity::default());
    let mut state = 1u32;
    for _ in 0..2000 {
        let mut file = good.clone();
        for _ in 0..8 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (state >> 4) as usize % file.len().min(20_000);
            file[at] = (state >> 24) as u8;
        }
        if let Ok(database) = Database::from_bytes(file) {
            let _ = database.find(b"key-7\0");
            let _ = database.for_each(&mut |_, _| true);
        }
    }
    assert!(matches!(Database::from_bytes(vec![0; 4096]), Err(Broken::Format(_))));
    assert!(Database::from_bytes(vec![]).is_err());
}
