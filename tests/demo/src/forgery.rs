//! Two forgers: one with a key of his own, one who copied a station's key.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use domain::ids::{SeatNo, TicketId};
use domain::ticket::{SignedTicket, parse_qr, sign_ticket, signing_kid};
use ed25519_dalek::SigningKey;

use crate::dice::Dice;

fn read(model: &str) -> Result<SignedTicket> {
    parse_qr(model).context("a ticket that a station sold cannot be read")
}

/// A copy of `model` with another number, signed with a key that nobody handed out but that
/// claims to be the station's.
pub fn with_own_key(dice: &mut Dice, model: &str) -> Result<String> {
    let model = read(model)?;
    let mut claim = model.claim;
    claim.id = TicketId(dice.uuid());
    let key = SigningKey::from_bytes(&dice.bytes32());
    Ok(sign_ticket(&claim, model.kid, &key).to_qr())
}

/// A ticket like `model` for another seat, signed with the station's true ticket key, as somebody
/// makes it who copied the key off the station's disk.
pub fn with_stolen_key(dice: &mut Dice, model: &str, key_file: &Path, seat: u16) -> Result<String> {
    let model = read(model)?;
    let bytes = std::fs::read(key_file)
        .with_context(|| format!("the thief found no key in {}", key_file.display()))?;
    let Ok(seed) = <[u8; 32]>::try_from(bytes) else {
        bail!("the thief cannot read the key in {}", key_file.display());
    };
    let key = SigningKey::from_bytes(&seed);
    if signing_kid(&key.verifying_key()) != model.kid {
        bail!(
            "{} is not the key that the station signs with",
            key_file.display()
        );
    }
    let mut claim = model.claim;
    claim.id = TicketId(dice.uuid());
    claim.seat = SeatNo(seat);
    Ok(sign_ticket(&claim, model.kid, &key).to_qr())
}

#[cfg(test)]
mod tests {
    use domain::ids::{
        Issuer, LayoutVersion, LeaseEpoch, LeaseNo, NodeId, SaleOrdinal, StopSeq, TripId,
    };
    use domain::passenger::PassengerClass;
    use domain::ticket::{KeyRecord, TicketClaim, TicketError, TicketLease, verify};
    use domain::time::Instant;

    use super::*;

    fn genuine(key: &SigningKey) -> String {
        let claim = TicketClaim {
            id: TicketId::from_bytes([1; 16]),
            trip: TripId(7),
            seat: SeatNo(4),
            from: StopSeq(0),
            to: StopSeq(2),
            class: PassengerClass::Adult,
            ordinal: SaleOrdinal(1),
            issued_at: Instant(1_800_000_000_000),
            lease: Some(TicketLease {
                no: LeaseNo(1),
                epoch: LeaseEpoch(1),
            }),
            layout_version: LayoutVersion(1),
            test: false,
        };
        sign_ticket(&claim, signing_kid(&key.verifying_key()), key).to_qr()
    }

    #[test]
    fn only_the_stolen_key_makes_a_signature_that_holds() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ticket.key");
        let key = SigningKey::from_bytes(&[3; 32]);
        std::fs::write(&file, key.to_bytes()).unwrap();
        let record = KeyRecord::signing(
            Issuer::Node(NodeId::from_bytes([9; 16])),
            key.verifying_key(),
        );
        let mut dice = Dice::new(1);
        let model = genuine(&key);

        let forged = read(&with_own_key(&mut dice, &model).unwrap()).unwrap();
        assert_eq!(
            verify(&forged, &record),
            Err(TicketError::SignatureMismatch)
        );
        let stolen = read(&with_stolen_key(&mut dice, &model, &file, 40).unwrap()).unwrap();
        assert_eq!(verify(&stolen, &record), Ok(()));
        assert_eq!(stolen.claim.seat, SeatNo(40));
    }
}
