//! `vault rotate`

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde_json::json;

use super::Settings;
use super::session::{keys_folder, make_folder};
use crate::vault::Vault;

#[derive(Debug, Subcommand)]
pub(super) enum VaultCommand {
    /// Make a further master key, which seals once the hub is started again
    ///
    /// Stop every process of the hub, copy the new file to the keys folder of each, start them:
    /// they seal by the new key and, bit by bit, seal anew what older keys have sealed. Keep the
    /// older files: backups need them.
    Rotate,
}

pub(super) fn run(settings: &Settings, command: &VaultCommand) -> Result<()> {
    match command {
        VaultCommand::Rotate => rotate(settings),
    }
}

fn rotate(settings: &Settings) -> Result<()> {
    make_folder(&settings.data_dir)?;
    let folder = keys_folder(settings);
    let number = Vault::add_master(&folder)?.context("all 255 master keys have been made")?;
    let file = folder.join(format!("vault-master.{number}.key"));
    if settings.json {
        println!("{}", json!({ "master": number, "file": file }));
    } else {
        println!("Made {}. Restart the hub to seal by it.", file.display());
    }
    Ok(())
}
