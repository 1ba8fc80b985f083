//! Randomness from a printed seed.

/// SplitMix64: the same seed throws the same numbers.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Takes the seed from `MWIMULE_SEED`, or from the clock, and prints it.
    pub fn seeded() -> Self {
        let given = std::env::var("MWIMULE_SEED").ok();
        let given = given.and_then(|text| text.parse().ok());
        let dice = given.map_or_else(Self::unseeded, |state| Self { state });
        eprintln!("MWIMULE_SEED={}", dice.state);
        dice
    }

    /// For what must not be the same in two runs, as ports.
    pub(crate) fn unseeded() -> Self {
        // Without randomness of the system there is none in this process's number either.
        let state = getrandom::u64().unwrap_or_else(|_| std::process::id().into());
        Self { state }
    }

    /// Another row of numbers, decided by this one.
    pub fn split(&mut self) -> Self {
        Self {
            state: self.throw(),
        }
    }

    /// The next number.
    pub fn throw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `0..count`.
    pub fn below(&mut self, count: u64) -> u64 {
        self.throw() % count.max(1)
    }

    /// Whether something happens that happens so often in 100 cases.
    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// One of them.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }

    /// A command id.
    pub fn uuid(&mut self) -> String {
        let bytes = (u128::from(self.throw()) << 64) | u128::from(self.throw());
        let id = uuid::Builder::from_random_bytes(bytes.to_be_bytes());
        id.into_uuid().to_string()
    }
}
