//! Seeded randomness, and the people it makes up.

/// A small generator (SplitMix64): the same seed, the same run.
#[derive(Debug, Clone)]
pub struct Dice(u64);

const FIRST_NAMES: [&str; 24] = [
    "Chanda",
    "Mutale",
    "Bwalya",
    "Mwansa",
    "Natasha",
    "Thandiwe",
    "Kelvin",
    "Precious",
    "Joseph",
    "Namwinga",
    "Lubasi",
    "Inonge",
    "Musonda",
    "Gift",
    "Esther",
    "Mulenga",
    "Chipo",
    "Brian",
    "Taonga",
    "Wezi",
    "Luyando",
    "Agness",
    "Situmbeko",
    "Kondwani",
];
const LAST_NAMES: [&str; 24] = [
    "Mwila", "Banda", "Phiri", "Tembo", "Zulu", "Mulenga", "Chilufya", "Sakala", "Kapambwe",
    "Hamoonga", "Lungu", "Mweemba", "Nyirenda", "Kabwe", "Simwanza", "Muleya", "Daka", "Chisenga",
    "Mumba", "Njovu", "Sichone", "Kaunda", "Mubita", "Musukwa",
];

impl Dice {
    /// Starts from a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// 16 random bytes, for a command or request id.
    pub fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.number().to_be_bytes());
        id[8..].copy_from_slice(&self.number().to_be_bytes());
        id
    }

    /// 32 random bytes, for a key of the bench's own.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&self.id());
        seed[16..].copy_from_slice(&self.id());
        seed
    }

    /// Somebody's name.
    pub fn name(&mut self) -> String {
        let first = FIRST_NAMES[self.below(FIRST_NAMES.len())];
        let last = LAST_NAMES[self.below(LAST_NAMES.len())];
        format!("{first} {last}")
    }

    /// Somebody's telephone number.
    pub fn phone(&mut self) -> String {
        let network = ["95", "96", "97", "76", "77"][self.below(5)];
        format!("+260{network}{:07}", self.below(10_000_000))
    }

    /// How many travel together: 70 % alone, 20 % two, 10 % three.
    pub fn party(&mut self) -> usize {
        match self.below(10) {
            0..7 => 1,
            7..9 => 2,
            _ => 3,
        }
    }
}
