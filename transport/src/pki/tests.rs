use super::*;

fn node() -> NodeId {
    NodeId::from_bytes([7; 16])
}

#[test]
fn an_identity_reads_back_from_its_folder_with_owner_only_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("pki");
    let made = HubIdentity::load_or_generate(&folder).unwrap();
    let loaded = HubIdentity::load_or_generate(&folder).unwrap();
    assert_eq!(
        made.ca_fingerprint().unwrap(),
        loaded.ca_fingerprint().unwrap()
    );
    assert_eq!(made.hub_certificate(), loaded.hub_certificate());
    #[cfg(unix)]
    for entry in std::fs::read_dir(&folder).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_folder_with_a_missing_key_is_an_error_and_never_a_new_ca() {
    let folder = tempfile::tempdir().unwrap();
    HubIdentity::load_or_generate(folder.path()).unwrap();
    std::fs::remove_file(folder.path().join("ca.key.pem")).unwrap();
    let error = HubIdentity::load_or_generate(folder.path()).unwrap_err();
    assert!(error.to_string().contains("ca.key.pem"), "{error}");
}

#[test]
fn files_of_two_hubs_mixed_up_are_called_damaged() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    HubIdentity::load_or_generate(one.path()).unwrap();
    HubIdentity::load_or_generate(two.path()).unwrap();
    for name in ["hub.key.pem", "hub.cert.pem"] {
        std::fs::copy(two.path().join(name), one.path().join(name)).unwrap();
    }
    let error = HubIdentity::load(one.path()).unwrap_err();
    assert!(
        error.to_string().contains("not issued by the CA"),
        "{error}"
    );
}

#[test]
fn a_node_certificate_names_its_node_and_nothing_the_request_asked_for() {
    let hub = HubIdentity::generate().unwrap();
    let key = NodeTlsKey::generate().unwrap();
    let mut greedy = CertificateParams::default();
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.subject_alt_names = vec![
        SanType::DnsName(HUB_SERVER_NAME.try_into().unwrap()),
        SanType::URI(
            format!("{NODE_URI_PREFIX}{}", NodeId::from_bytes([9; 16]))
                .try_into()
                .unwrap(),
        ),
    ];
    let csr = greedy.serialize_request(&key.0).unwrap();
    let der = hub.issue_node_certificate(csr.der(), node()).unwrap();
    assert_eq!(node_id_of(&der).unwrap(), node());
    let certificate = parse(&der).unwrap();
    assert!(!certificate.is_ca());
    assert_eq!(
        certificate
            .subject_alternative_name()
            .unwrap()
            .unwrap()
            .value
            .general_names
            .len(),
        1
    );
    // Issued by the same CA, it still cannot pass for the hub.
    let ca = CertificateDer::from(hub.ca_certificate().to_vec());
    assert!(verify::check_hub_chain(&ca, &der.into()).is_err());
}

#[test]
fn a_request_with_a_broken_signature_gets_no_certificate() {
    let hub = HubIdentity::generate().unwrap();
    let mut csr = NodeTlsKey::generate().unwrap().signing_request().unwrap();
    *csr.last_mut().unwrap() ^= 1;
    let error = hub.issue_node_certificate(&csr, node()).unwrap_err();
    assert!(matches!(error, PkiError::Request(_)), "{error}");
    let long = vec![0; CSR_BYTES_MAX + 1];
    assert!(hub.issue_node_certificate(&long, node()).is_err());
}

#[test]
fn credentials_read_back_and_refuse_another_devices_certificate() {
    let hub = HubIdentity::generate().unwrap();
    let key = NodeTlsKey::generate().unwrap();
    let der = hub
        .issue_node_certificate(&key.signing_request().unwrap(), node())
        .unwrap();
    let other = NodeTlsKey::generate().unwrap();
    assert!(NodeCredentials::new(other, &der, hub.ca_certificate()).is_err());

    let folder = tempfile::tempdir().unwrap();
    let key = NodeTlsKey::from_pkcs8(&key.to_pkcs8()).unwrap();
    let made = NodeCredentials::new(key, &der, hub.ca_certificate()).unwrap();
    made.save(folder.path()).unwrap();
    let loaded = NodeCredentials::load(folder.path()).unwrap();
    assert_eq!(loaded.node(), node());
    assert_eq!(loaded.certificate(), der);
}

#[test]
fn a_certificate_without_a_node_names_none() {
    let hub = HubIdentity::generate().unwrap();
    assert!(node_id_of(hub.ca_certificate()).is_err());
    assert!(node_id_of(&hub.hub_certificate()).is_err());
    assert!(node_id_of(b"not a certificate").is_err());
}
