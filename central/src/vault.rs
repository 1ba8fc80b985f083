//! Personal data at rest: sealed field by field, found again by a keyed hash.
//!
//! A sealed value is one byte of key number, 12 bytes of nonce, and AES-256-GCM's ciphertext and
//! tag (NIST SP 800-38D). Tenant, table, row and column are its associated data, so that a value
//! copied to another place does not open. Each tenant's keys come from the vault's master by
//! HKDF-SHA256 (RFC 5869).

mod db;
pub mod reseal;

use core::fmt;
use std::path::Path;

use domain::ids::CompanyId;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::Sha256;

use crate::keys::{self, KeyError};

/// The first master's file; the later ones have their number before the ending.
const MASTER_FILE: &str = "vault-master.key";
const MASTER_NUMBER_MAX: u8 = 255;
const SEAL_LABEL: &[u8] = b"mwimule vault seal v1";
const BLIND_LABEL: &[u8] = b"mwimule vault blind v1";
const JOSE_LABEL: &[u8] = b"mwimule vault jose v1";

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

    /// Reads the masters of a folder, or makes the first one.
    pub fn load_or_create(folder: &Path) -> Result<Self, KeyError> {
        let mut masters = vec![(1, keys::load_or_create(folder, MASTER_FILE)?)];
        for number in 2..=MASTER_NUMBER_MAX {
            let name = master_file(number);
            if folder.join(&name).exists() {
                masters.push((number, keys::load_or_create(folder, &name)?));
            }
        }
        Ok(Self { masters })
    }

    /// Makes a further master in a folder; gives its number. None when all numbers are taken.
    pub fn add_master(folder: &Path) -> Result<Option<u8>, KeyError> {
        let newest = Self::load_or_create(folder)?.newest();
        let Some(number) = newest.checked_add(1) else {
            return Ok(None);
        };
        keys::load_or_create(folder, &master_file(number))?;
        Ok(Some(number))
    }

    /// A name of the first master that does not give it away.
    pub(crate) fn name(&self) -> [u8; 32] {
        let first = self.masters.first().map(|(_, master)| *master);
        keys::one_way_name(&first.unwrap_or_default())
    }

    /// The number of the master that seals.
    pub fn newest(&self) -> u8 {
        self.masters.last().map_or(0, |(number, _)| *number)
    }

    /// With a further master, which seals from now on.
    #[cfg(test)]
    pub(crate) fn with_master(mut self, master: [u8; 32]) -> Self {
        self.masters.push((self.newest() + 1, master));
        self
    }

    /// A secret per master for encrypted requests, the newest last.
    pub(crate) fn jose_secrets(&self) -> Vec<[u8; 32]> {
        let derived = self.masters.iter().map(|(_, master)| {
            let mut secret = [0; 32];
            Hkdf::<Sha256>::new(None, master)
                .expand(JOSE_LABEL, &mut secret)
                .map(|()| secret)
        });
        derived.filter_map(Result::ok).collect()
    }

    /// The same value, sealed anew by the newest master.
    pub fn reseal(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.seal(place, &self.open(place, sealed)?)
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

fn master_file(number: u8) -> String {
    format!("vault-master.{number}.key")
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
    #[test]
    fn the_newest_master_seals_and_every_older_one_still_opens() {
        let folder = tempfile::tempdir().unwrap();
        let first = Vault::load_or_create(folder.path()).unwrap();
        let here = place(1, b"row", "contact");
        let old = first.seal(here, b"Mutale").unwrap();
        let blind = first.blind(here.company, "phone", "+26097").unwrap();
        assert_eq!(Vault::add_master(folder.path()).unwrap(), Some(2));
        let both = Vault::load_or_create(folder.path()).unwrap();
        assert_eq!(both.newest(), 2);
        assert_eq!(both.open(here, &old).as_deref(), Ok(&b"Mutale"[..]));
        let new = both.reseal(here, &old).unwrap();
        assert_eq!((old[0], new[0]), (1, 2));
        assert_eq!(both.open(here, &new).as_deref(), Ok(&b"Mutale"[..]));
        // One that lacks the key does not open it, nor does another place.
        assert_eq!(first.open(here, &new), Err(VaultError::Unopenable));
        let elsewhere = place(2, b"row", "contact");
        assert_eq!(both.reseal(elsewhere, &old), Err(VaultError::Unopenable));
        // What is found by its blind index stays found.
        assert_eq!(both.blind(here.company, "phone", "+26097").unwrap(), blind);
        // The number is not authenticated by itself, but a wrong one names a wrong key.
        let mut renumbered = new.clone();
        renumbered[0] = 1;
        assert_eq!(both.open(here, &renumbered), Err(VaultError::Unopenable));
    }
}
