//! Keys and certificates as PEM files: written whole or not at all, for their owner only.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use rcgen::{KeyPair, PublicKeyData as _};
use rustls::pki_types::CertificateDer;

use super::{PkiError, parse};

/// No key or certificate of ours comes near this, in bytes.
const PEM_BYTES_MAX: u64 = 64 * 1024;

const CERTIFICATE_TAG: &str = "CERTIFICATE";

pub(super) fn make_folder(folder: &Path) -> Result<(), PkiError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| file(folder, error))
}

pub(super) fn write_key(folder: &Path, name: &str, key: &KeyPair) -> Result<(), PkiError> {
    write(folder, name, &key.serialize_pem())
}

pub(super) fn write_certificate(
    folder: &Path,
    name: &str,
    certificate: &CertificateDer<'_>,
) -> Result<(), PkiError> {
    let text = pem::encode(&pem::Pem::new(CERTIFICATE_TAG, certificate.as_ref()));
    write(folder, name, &text)
}

pub(super) fn read_key(folder: &Path, name: &str) -> Result<KeyPair, PkiError> {
    let text = read(folder, name)?;
    KeyPair::from_pem(&text).map_err(|error| damaged(folder, name, &error.to_string()))
}

pub(super) fn read_certificate(
    folder: &Path,
    name: &str,
) -> Result<CertificateDer<'static>, PkiError> {
    let block = pem::parse(read(folder, name)?)
        .map_err(|error| damaged(folder, name, &error.to_string()))?;
    if block.tag() != CERTIFICATE_TAG {
        return Err(damaged(folder, name, "it does not hold a certificate"));
    }
    let certificate = CertificateDer::from(block.into_contents());
    parse(&certificate).map_err(|error| damaged(folder, name, &error.to_string()))?;
    Ok(certificate)
}

/// Whether the certificate was issued over this key.
pub(super) fn is_pair(key: &KeyPair, certificate: &CertificateDer<'_>) -> bool {
    parse(certificate).is_ok_and(|c| c.public_key().raw == key.subject_public_key_info())
}

pub(super) fn check_pair(
    folder: &Path,
    name: &str,
    key: &KeyPair,
    certificate: &CertificateDer<'_>,
) -> Result<(), PkiError> {
    if is_pair(key, certificate) {
        Ok(())
    } else {
        Err(damaged(
            folder,
            name,
            "it does not belong to the certificate beside it",
        ))
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), PkiError> {
    let path = folder.join(name);
    let draft = folder.join(format!("{name}.draft"));
    let written = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out = options.open(&draft)?;
        // An older draft keeps its mode when it is opened again.
        #[cfg(unix)]
        out.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&draft, &path)?;
        #[cfg(unix)]
        fs::File::open(folder)?.sync_all()?;
        Ok(())
    };
    written().map_err(|error| file(&path, error))
}

fn read(folder: &Path, name: &str) -> Result<String, PkiError> {
    let path = folder.join(name);
    let length = fs::metadata(&path)
        .map_err(|error| file(&path, error))?
        .len();
    if length > PEM_BYTES_MAX {
        return Err(damaged(folder, name, "far too long"));
    }
    fs::read_to_string(&path).map_err(|error| file(&path, error))
}

fn file(path: &Path, source: io::Error) -> PkiError {
    PkiError::File {
        path: path.display().to_string(),
        source,
    }
}

fn damaged(folder: &Path, name: &str, what: &str) -> PkiError {
    PkiError::Damaged {
        path: folder.join(name).display().to_string(),
        what: what.to_owned(),
    }
}
