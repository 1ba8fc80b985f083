//! Every process of one hub holds the same keys: the database knows what they are known by, and
//! a process that holds others does not start.

use sha2::{Digest as _, Sha256};
use sync_transport::HubIdentity;

use super::HubKeys;
use crate::db::{Db, DbError};
use crate::vault::Vault;

/// What the keys of a process are known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyNames {
    signing: [u8; 32],
    trip_master: [u8; 32],
    authority: [u8; 32],
    vault_first: [u8; 32],
    vault_newest: u8,
}

/// Why a process may not work on a database.
#[derive(Debug, thiserror::Error)]
pub enum OtherKeys {
    /// Its keys are of another hub.
    #[error(
        "{what} in this process's keys folder is not the one that this database's hub works \
         with: give every process the same keys/ and pki/ (--secrets-dir), from the first one or \
         from the backup"
    )]
    Another {
        /// Which key.
        what: &'static str,
    },
    /// It lacks a later master key.
    #[error(
        "another process seals by vault master {newest}, which this one does not have: copy \
         vault-master.{newest}.key into its keys folder"
    )]
    Older {
        /// The newest one that is in use.
        newest: u8,
    },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl KeyNames {
    /// Of what a process holds.
    pub fn of(keys: &HubKeys, identity: &HubIdentity, vault: &Vault) -> Self {
        Self {
            signing: keys.verifying_key().to_bytes(),
            trip_master: keys.trip_master_name(),
            authority: Sha256::digest(identity.ca_certificate()).into(),
            vault_first: vault.name(),
            vault_newest: vault.newest(),
        }
    }

    /// Whether a process with these keys may work beside one that has `known`.
    fn beside(&self, known: &Self) -> Result<(), OtherKeys> {
        let pairs = [
            ("the signing key", self.signing, known.signing),
            ("the trips' master key", self.trip_master, known.trip_master),
            ("the certificate authority", self.authority, known.authority),
            (
                "the vault's first master",
                self.vault_first,
                known.vault_first,
            ),
        ];
        for (what, ours, theirs) in pairs {
            if ours != theirs {
                return Err(OtherKeys::Another { what });
            }
        }
        if self.vault_newest < known.vault_newest {
            return Err(OtherKeys::Older {
                newest: known.vault_newest,
            });
        }
        Ok(())
    }
}

/// Makes sure that this process holds the hub's keys; the first one says what they are.
pub async fn agree(db: &Db, ours: &KeyNames) -> Result<(), OtherKeys> {
    sqlx::query!(
        "INSERT INTO hub_keys (signing_key, trip_master, authority, vault_first, vault_newest)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        &ours.signing[..],
        &ours.trip_master[..],
        &ours.authority[..],
        &ours.vault_first[..],
        i16::from(ours.vault_newest)
    )
    .execute(db.pool())
    .await
    .map_err(DbError::from)?;
    let row = sqlx::query!(
        "SELECT signing_key, trip_master, authority, vault_first, vault_newest FROM hub_keys"
    )
    .fetch_one(db.pool())
    .await
    .map_err(DbError::from)?;
    let name = |bytes: Vec<u8>| {
        let name: Result<[u8; 32], _> = bytes.try_into();
        name.map_err(|_| DbError::damaged("the names of the hub's keys"))
    };
    let known = KeyNames {
        signing: name(row.signing_key)?,
        trip_master: name(row.trip_master)?,
        authority: name(row.authority)?,
        vault_first: name(row.vault_first)?,
        vault_newest: u8::try_from(row.vault_newest).unwrap_or(u8::MAX),
    };
    ours.beside(&known)?;
    if ours.vault_newest > known.vault_newest {
        sqlx::query!(
            "UPDATE hub_keys SET vault_newest = greatest(vault_newest, $1)",
            i16::from(ours.vault_newest)
        )
        .execute(db.pool())
        .await
        .map_err(DbError::from)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDb;

    #[tokio::test]
    async fn a_process_with_other_keys_does_not_work_on_the_database() {
        let test = TestDb::new().await.unwrap();
        let keys = HubKeys::from_bytes(&[1; 32], [2; 32]);
        let identity = HubIdentity::generate().unwrap();
        let vault = Vault::from_bytes([3; 32]);
        let first = KeyNames::of(&keys, &identity, &vault);
        agree(&test.db, &first).await.unwrap();
        agree(&test.db, &first).await.unwrap();
        let others = [
            (HubKeys::from_bytes(&[9; 32], [2; 32]), "the signing key"),
            (HubKeys::from_bytes(&[1; 32], [9; 32]), "the trips' master"),
        ];
        for (keys, what) in others {
            let other = KeyNames::of(&keys, &identity, &vault);
            let error = agree(&test.db, &other).await.unwrap_err().to_string();
            assert!(
                error.contains(what) && error.contains("--secrets-dir"),
                "{error}"
            );
        }
        // A process with a further master may come, and from then on nobody without it.
        let further = KeyNames::of(&keys, &identity, &vault.clone().with_master([4; 32]));
        agree(&test.db, &further).await.unwrap();
        let error = agree(&test.db, &first).await.unwrap_err().to_string();
        assert!(error.contains("vault-master.2.key"), "{error}");
    }
}
