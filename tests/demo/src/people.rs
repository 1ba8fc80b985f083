//! Who comes to the counters, and where they want to go.

use crate::dice::Dice;

const FIRST_NAMES: [&str; 20] = [
    "Mutale", "Chipo", "Bupe", "Thandiwe", "Kondwani", "Natasha", "Luyando", "Misozi", "Chanda",
    "Mapalo", "Twaambo", "Kabwe", "Inonge", "Sepiso", "Mwaka", "Chileshe", "Lushomo", "Namakau",
    "Taonga", "Wezi",
];
const LAST_NAMES: [&str; 16] = [
    "Banda",
    "Phiri",
    "Mulenga",
    "Tembo",
    "Zulu",
    "Mwansa",
    "Lungu",
    "Sakala",
    "Bwalya",
    "Mumba",
    "Hamusonde",
    "Sitali",
    "Kapasa",
    "Moonga",
    "Nyirenda",
    "Chisenga",
];

/// One passenger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passenger {
    /// Their name.
    pub name: String,
    /// `adult`, `child`, `infant` or `prm`.
    pub class: &'static str,
}

/// People who travel together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// At least one.
    pub passengers: Vec<Passenger>,
    /// A phone number to reach them.
    pub phone: String,
    /// A mailbox to reach them.
    pub email: String,
}

impl Party {
    /// People from the dice: `adults` grown-ups and `children` with one family name.
    pub fn new(dice: &mut Dice, adults: usize, children: usize) -> Self {
        let family = *dice.pick(&LAST_NAMES);
        let classes =
            std::iter::repeat_n("adult", adults).chain(std::iter::repeat_n("child", children));
        let passengers: Vec<Passenger> = classes
            .map(|class| Passenger {
                name: format!("{} {family}", dice.pick(&FIRST_NAMES)),
                class,
            })
            .collect();
        let digits = dice.between(1_000_000, 9_999_999);
        // To the simulated operators the endings 901 to 908 are orders to fail.
        let digits = match digits % 1_000 {
            900..1_000 => digits - 100,
            _ => digits,
        };
        let reader = passengers
            .first()
            .map_or(family, |p: &Passenger| p.name.as_str());
        let mailbox = reader.to_lowercase().replace(' ', ".");
        Self {
            phone: format!("+26097{digits:07}"),
            email: format!("{mailbox}{digits:07}@mail.example"),
            passengers,
        }
    }

    /// Whoever happens to come: one to four, at most `most`.
    pub fn any(dice: &mut Dice, most: usize) -> Self {
        let (adults, children) =
            *dice.pick(&[(1, 0), (1, 0), (2, 0), (1, 1), (2, 1), (2, 2), (3, 0)]);
        let adults = usize::min(adults, most.max(1));
        let mut party = Self::new(
            dice,
            adults,
            usize::min(children, most.saturating_sub(adults)),
        );
        if party.passengers.len() == 1 && dice.chance(15) {
            party.passengers[0].class = "prm";
        }
        party
    }

    /// The number as people at home write it: `0971234567`.
    pub fn home_phone(&self) -> String {
        self.phone.replacen("+260", "0", 1)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.passengers.len()
    }

    /// `Chipo Banda`, or `the Banda family (2 adults, 1 child)`.
    pub fn title(&self) -> String {
        let first = &self.passengers[0];
        if self.len() == 1 {
            return first.name.clone();
        }
        let family = first.name.split(' ').next_back().unwrap_or_default();
        let children = self
            .passengers
            .iter()
            .filter(|p| p.class == "child")
            .count();
        let adults = self.len() - children;
        match children {
            0 => format!("{adults} people named {family}"),
            1 => format!("the {family} family ({adults} + a child)"),
            n => format!("the {family} family ({adults} + {n} children)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_is_never_larger_than_the_seats_left() {
        let mut dice = Dice::new(9);
        for most in 1..5 {
            for _ in 0..50 {
                let party = Party::any(&mut dice, most);
                assert!((1..=most).contains(&party.len()), "{party:?}");
                assert!(party.passengers.iter().any(|p| p.class != "child"));
            }
        }
    }
}
