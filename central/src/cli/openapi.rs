//! `openapi`

use anyhow::Result;

use crate::http;

pub(super) fn print() -> Result<()> {
    println!("{}", serde_json::to_string_pretty(&http::openapi())?);
    Ok(())
}
