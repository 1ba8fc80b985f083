//! What the hub is told at start: a TOML file, then the environment, then flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A configuration file is smaller.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The whole file; a key that it does not know is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where data lives.
    pub data: DataConfig,
    /// Which Postgres.
    pub database: DatabaseConfig,
    /// The HTTP API.
    pub http: HttpConfig,
    /// Where nodes connect.
    pub quic: QuicConfig,
}

/// `[data]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// The folder with keys and, by default, the database.
    pub folder: Option<PathBuf>,
}

/// `[database]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// A Postgres that somebody else runs; a private one is started when this is absent.
    pub url: Option<String>,
}

/// `[http]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address and port; port 0 lets the system choose.
    pub listen: Option<SocketAddr>,
}

/// `[quic]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuicConfig {
    /// UDP address and port; port 0 lets the system choose.
    pub listen: Option<SocketAddr>,
    /// How nodes reach the hub from outside, `host:port`; goes into enrolment codes.
    pub public_addr: Option<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something that nobody understands.
    #[error("{}: {what}", path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// What and where.
        what: String,
    },
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let wrong = |what: String| ConfigError::Wrong {
            path: path.to_owned(),
            what,
        };
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
            return Err(wrong(format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        toml::from_str(&text).map_err(|error| wrong(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_nobody_knows_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.toml");
        std::fs::write(&path, "[http]\nlisten = \"127.0.0.1:0\"\nport = 80\n").unwrap();
        let error = Config::read(&path).unwrap_err().to_string();
        assert!(error.contains("port"), "{error}");
        std::fs::write(&path, "[quic]\npublic_addr = \"hub.example:7443\"\n").unwrap();
        let config = Config::read(&path).unwrap();
        assert_eq!(config.quic.public_addr.as_deref(), Some("hub.example:7443"));
    }
}
