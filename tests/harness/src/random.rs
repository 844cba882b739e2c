//! Reproducible chance: pseudo random numbers from a seed, and damage to bytes.

/// Pseudo random numbers from a fixed seed, not zero (xorshift).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`; 0 when that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.number() % (limit.max(1) as u64)).unwrap_or(0)
    }

    /// Any bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number().to_le_bytes()[3]).collect()
    }

    /// `bytes` with one to five changes: single bytes, cuts, repetitions, insertions, other numbers.
    pub fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(5) {
            self.change(&mut out);
        }
        out
    }

    fn change(&mut self, out: &mut Vec<u8>) {
        const ODD: [u8; 10] = [0, b'\n', b'\r', b'0', b'9', b'-', b'=', 0x7f, 0x80, 0xff];
        let at = self.below(out.len());
        let end = (at + 1 + self.below(40)).min(out.len());
        match self.below(8) {
            0 => out.truncate(at),
            1 if at < end => drop(out.drain(at..end)),
            2 if at < end => {
                let part = out[at..end].to_vec();
                let to = self.below(out.len());
                out.splice(to..to, part);
            }
            3 => {
                let count = 1 + self.below(30);
                let new = self.bytes(count);
                out.splice(at..at, new);
            }
            4 => self.renumber(out),
            5 if at < out.len() => out[at] = ODD[self.below(ODD.len())],
            _ if at < out.len() => out[at] = self.number().to_le_bytes()[2],
            _ => out.push(0),
        }
    }

    /// Puts another number in the place of one that stands in digits.
    fn renumber(&mut self, out: &mut Vec<u8>) {
        const NUMBERS: [&str; 7] =
            ["0", "-1", "4294967296", "9223372036854775807", "99999999999999999999", "2147483648", "x"];
        let from = self.below(out.len());
        let Some(start) = (from..out.len()).find(|&at| out[at].is_ascii_digit()) else { return };
        let end = (start..out.len()).find(|&at| !out[at].is_ascii_digit()).unwrap_or(out.len());
        out.splice(start..end, NUMBERS[self.below(NUMBERS.len())].bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_the_same_for_the_same_seed_and_never_fails() {
        for length in [0, 1, 2, 50] {
            let bytes: Vec<u8> = (0..length).collect();
            for seed in 1..500 {
                assert_eq!(Random(seed).damage(&bytes), Random(seed).damage(&bytes));
            }
        }
    }
}
