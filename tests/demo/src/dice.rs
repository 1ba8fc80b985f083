//! Everything that differs from seed to seed comes from here.

/// A splitmix64 sequence: the same seed gives the same story.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Dice that roll the same for the same seed.
    pub fn new(seed: u64) -> Self {
        Self {
            // So that seeds 1 and 2 do not begin with neighbouring states.
            state: seed.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ 0x6d77_696d_756c_6521,
        }
    }

    fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high - low + 1)
    }

    /// True `percent` times in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.between(1, 100) <= percent
    }

    /// One of several; panics on an empty list, as indexing does.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.between(0, of.len() as u64 - 1) as usize]
    }

    /// Dice for a scene whose number of rolls depends on timing, so that the rest of the story does
    /// not.
    pub fn fork(&mut self) -> Self {
        Self::new(self.roll())
    }

    /// A UUID for a command; it need not be secret, only unique within the run.
    pub fn uuid(&mut self) -> uuid::Uuid {
        uuid::Builder::from_random_bytes(
            (u128::from(self.roll()) << 64 | u128::from(self.roll())).to_be_bytes(),
        )
        .into_uuid()
    }

    /// 32 bytes, for a key that is worth nothing.
    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.roll().to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_one_story_and_another_seed_another() {
        let rolls = |seed| {
            let mut dice = Dice::new(seed);
            (0..20).map(|_| dice.between(0, 999)).collect::<Vec<_>>()
        };
        assert_eq!(rolls(1), rolls(1));
        assert_ne!(rolls(1), rolls(2));
    }

    #[test]
    fn every_side_comes_up_and_no_other() {
        let mut dice = Dice::new(3);
        let mut seen = [0; 4];
        for _ in 0..200 {
            seen[dice.between(2, 5) as usize - 2] += 1;
        }
        assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
    }
}
