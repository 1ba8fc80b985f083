//! Who takes the customers' money: a mobile-money operator and a card operator, as programs.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::children::Child;
use crate::http::{Caller, list, number, text};
use crate::station::Place;

const READY_DEADLINE: Duration = Duration::from_secs(30);

/// Money that moved at an operator, or over its account in the hub's ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// How often it was taken.
    pub captures: usize,
    /// How often it was given back.
    pub refunds: usize,
    /// What is left of it, in minor units.
    pub net_minor: i64,
}

/// Both operators.
#[derive(Debug)]
pub struct Operators {
    momo: Operator,
    card: Operator,
}

#[derive(Debug)]
struct Operator {
    child: Child,
    caller: Caller,
}

impl Operator {
    fn start(name: &'static str, place: Place<'_>, words: &[&str]) -> Result<Self> {
        let mut command = Command::new(place.bin_dir.join(name));
        let log = place.logs.join(format!("{name}.log"));
        let mut child = Child::start(name, command.args(words), &log)?;
        let ready = child.line(READY_DEADLINE, |line| {
            serde_json::from_str::<Value>(line).ok()
        });
        let ready = ready.map_err(|error| child.blame(error))?;
        Ok(Self {
            caller: Caller::new(&text(&ready, "url")?, None),
            child,
        })
    }

    fn moved(&self, minor: fn(&str) -> Result<i64>) -> Result<Moved> {
        let ledger = self.caller.fetch("/_control/ledger")?;
        let mut net_minor = 0;
        for line in list(&ledger, "lines")? {
            let amount = minor(&text(line, "amount")?)?;
            let back = text(line, "kind")? == "refund";
            net_minor += if back { -amount } else { amount };
        }
        Ok(Moved {
            captures: usize::try_from(number(&ledger, "captures")?)?,
            refunds: usize::try_from(number(&ledger, "refunds")?)?,
            net_minor,
        })
    }
}

impl Operators {
    /// Starts both; the card operator tells the hub at `hub_url` what happens.
    pub fn start(place: Place<'_>, hub_url: &str) -> Result<Self> {
        let events = format!("{hub_url}/payments/webhooks/card");
        Ok(Self {
            momo: Operator::start("sim-momo", place, &[])?,
            card: Operator::start("sim-card", place, &["--webhook-url", &events])?,
        })
    }

    /// The hub's settings for both, with the operators' credentials for tests.
    pub fn settings(&self, hub_url: &str) -> String {
        let keys = "subscription_key = \"sim-subscription\"\n\
            api_user = \"00000000-0000-4000-8000-000000000001\"\napi_key = \"sim-api-key\"\n";
        format!(
            "[momo]\nurl = \"{}\"\ncallback_url = \"{hub_url}\"\n\n[momo.collection]\n{keys}\n\
             [momo.disbursement]\n{keys}\n[card]\nurl = \"{}\"\nsecret_key = \"sk_test_sim\"\n\
             webhook_secrets = [\"whsec_sim_card\"]\n",
            self.momo.caller.base(),
            self.card.caller.base(),
        )
    }

    /// The next payment by mobile money is made, and the hub is not told.
    pub fn lose_next_callback(&self) -> Result<()> {
        let script = json!({ "planned": [{ "fault": "lost_callback" }] });
        self.momo.caller.send("/_control/faults", &script)?;
        Ok(())
    }

    /// Whether a callback that was to be lost is lost.
    pub fn callback_is_lost(&self) -> Result<bool> {
        let script = self.momo.caller.fetch("/_control/faults")?;
        Ok(list(&script, "planned")?.is_empty())
    }

    /// What moved at the mobile-money operator, by its own count.
    pub fn mobile_money(&self) -> Result<Moved> {
        self.momo.moved(of_major)
    }

    /// What moved at the card operator, by its own count.
    pub fn cards(&self) -> Result<Moved> {
        self.card.moved(of_minor)
    }

    /// Where they are.
    pub fn urls(&self) -> [&str; 2] {
        [self.momo.caller.base(), self.card.caller.base()]
    }

    /// Fails if one of them ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.momo.child.check()?;
        self.card.child.check()
    }

    /// Stops both; false if one had to be forced.
    pub fn stop(&mut self) -> bool {
        let momo = self.momo.child.stop();
        self.card.child.stop() && momo
    }
}

/// What MTN writes, `250.00` or `250`, in minor units.
fn of_major(written: &str) -> Result<i64> {
    let (whole, part) = written.split_once('.').unwrap_or((written, "0"));
    let digits = format!("{whole}{part:0<2}");
    digits
        .parse()
        .with_context(|| format!("{written:?} is no amount"))
}

/// What Stripe writes, in minor units.
fn of_minor(written: &str) -> Result<i64> {
    written
        .parse()
        .with_context(|| format!("{written:?} is no amount"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_both_operators_compare() {
        for (written, wanted) in [("250.00", 25_000), ("250", 25_000), ("0.5", 50)] {
            assert_eq!(of_major(written).unwrap(), wanted, "{written}");
        }
        assert_eq!(of_minor("25000").unwrap(), 25_000);
        assert!(of_major("some").is_err() && of_minor("1.0").is_err());
    }
}
