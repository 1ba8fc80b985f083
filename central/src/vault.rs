//! Personal data at rest: sealed field by field, found again by a keyed hash.
//!
//! A sealed value is one byte of key number, 12 bytes of nonce, and AES-256-GCM's ciphertext and
//! tag (NIST SP 800-38D). Tenant, table, row and column are its associated data, so that a value
//! copied to another place does not open. Each tenant's keys come from the vault's master by
//! HKDF-SHA256 (RFC 5869).

use core::fmt;
use std::path::Path;

use domain::ids::CompanyId;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::Sha256;

use crate::keys::{self, KeyError};

const MASTER_FILE: &str = "vault-master.key";
const SEAL_LABEL: &[u8] = b"mwimule vault seal v1";
const BLIND_LABEL: &[u8] = b"mwimule vault blind v1";

/// Where a value stands; it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Whose.
    pub company: CompanyId,
    /// Table.
    pub table: &'a str,
    /// The row's key.
    pub row: &'a [u8],
    /// Column.
    pub column: &'a str,
}

/// Why a value could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The operating system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoEntropy,
    /// It was sealed elsewhere, under another key, or is damaged.
    #[error("a sealed value does not open: restore the keys and the database from one backup")]
    Unopenable,
}

/// Seals and opens fields. Debug output shows no key.
#[derive(Clone)]
pub struct Vault {
    /// By number; the last one seals.
    masters: Vec<(u8, [u8; 32])>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({} keys)", self.masters.len())
    }
}

impl Vault {
    /// From a secret that the caller keeps.
    pub fn from_bytes(master: [u8; 32]) -> Self {
        Self {
            masters: vec![(1, master)],
        }
    }

    /// Reads the master of a folder, or makes it.
    pub fn load_or_create(folder: &Path) -> Result<Self, KeyError> {
        Ok(Self::from_bytes(keys::load_or_create(folder, MASTER_FILE)?))
    }

    /// Seals a value for one place.
    pub fn seal(&self, place: Place<'_>, value: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (number, master) = self.masters.last().ok_or(VaultError::Unopenable)?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| VaultError::NoEntropy)?;
        let mut sealed = value.to_vec();
        key(master, place.company)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(about(place)),
                &mut sealed,
            )
            .map_err(|_| VaultError::Unopenable)?;
        let mut whole = Vec::with_capacity(1 + NONCE_LEN + sealed.len());
        whole.push(*number);
        whole.extend_from_slice(&nonce);
        whole.append(&mut sealed);
        Ok(whole)
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (number, rest) = sealed.split_first().ok_or(VaultError::Unopenable)?;
        let (nonce, rest) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(VaultError::Unopenable)?;
        let known = self.masters.iter().find(|(n, _)| n == number);
        let (_, master) = known.ok_or(VaultError::Unopenable)?;
        let mut value = rest.to_vec();
        let opened = key(master, place.company)?
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(about(place)),
                &mut value,
            )
            .map_err(|_| VaultError::Unopenable)?
            .len();
        value.truncate(opened);
        Ok(value)
    }

    /// The keyed hash that a value is found by. `what` separates phone numbers from names; the
    /// caller brings the value to one form first.
    pub fn blind(
        &self,
        company: CompanyId,
        what: &str,
        value: &str,
    ) -> Result<Vec<u8>, VaultError> {
        // Always under the first key: a look-up has to find what an older key has sealed.
        let (_, master) = self.masters.first().ok_or(VaultError::Unopenable)?;
        let derived = derive(master, BLIND_LABEL, company)?;
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&derived).map_err(|_| VaultError::Unopenable)?;
        mac.update(&(what.len() as u64).to_be_bytes());
        mac.update(what.as_bytes());
        mac.update(value.as_bytes());
        Ok(mac.finalize().into_bytes()[..16].to_vec())
    }
}

fn derive(master: &[u8; 32], label: &[u8], company: CompanyId) -> Result<[u8; 32], VaultError> {
    let mut derived = [0; 32];
    Hkdf::<Sha256>::new(None, master)
        .expand_multi_info(&[label, company.as_bytes()], &mut derived)
        .map_err(|_| VaultError::Unopenable)?;
    Ok(derived)
}

fn key(master: &[u8; 32], company: CompanyId) -> Result<LessSafeKey, VaultError> {
    let derived = derive(master, SEAL_LABEL, company)?;
    let unbound = UnboundKey::new(&AES_256_GCM, &derived).map_err(|_| VaultError::Unopenable)?;
    Ok(LessSafeKey::new(unbound))
}

/// Each part behind its length, so that no two places look alike.
fn about(place: Place<'_>) -> Vec<u8> {
    let mut about = place.company.as_bytes().to_vec();
    for part in [place.table.as_bytes(), place.row, place.column.as_bytes()] {
        about.extend_from_slice(&(part.len() as u64).to_be_bytes());
        about.extend_from_slice(part);
    }
    about
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn place<'a>(company: u128, row: &'a [u8], column: &'a str) -> Place<'a> {
        Place {
            company: CompanyId(Uuid::from_u128(company)),
            table: "booking",
            row,
            column,
        }
    }

    #[test]
    fn a_sealed_value_opens_in_its_own_place_only() {
        let vault = Vault::from_bytes([7; 32]);
        let here = place(1, b"row", "contact");
        let sealed = vault.seal(here, b"Mutale").unwrap();
        assert_eq!(vault.open(here, &sealed).as_deref(), Ok(&b"Mutale"[..]));
        for elsewhere in [
            place(2, b"row", "contact"),
            place(1, b"ro", "wcontact"),
            place(1, b"row", "contac"),
        ] {
            assert_eq!(vault.open(elsewhere, &sealed), Err(VaultError::Unopenable));
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(vault.open(here, &changed), Err(VaultError::Unopenable));
            assert_eq!(vault.open(here, &sealed[..at]), Err(VaultError::Unopenable));
        }
        assert_ne!(vault.seal(here, b"Mutale").unwrap(), sealed);
    }

    #[test]
    fn a_blind_index_is_one_companys_and_one_kinds() {
        let vault = Vault::from_bytes([7; 32]);
        let company = |n| CompanyId(Uuid::from_u128(n));
        let blind = vault.blind(company(1), "phone", "+260970000001").unwrap();
        assert_eq!(
            vault.blind(company(1), "phone", "+260970000001").unwrap(),
            blind
        );
        assert_ne!(
            vault.blind(company(2), "phone", "+260970000001").unwrap(),
            blind
        );
        assert_ne!(
            vault.blind(company(1), "name", "+260970000001").unwrap(),
            blind
        );
    }
}
