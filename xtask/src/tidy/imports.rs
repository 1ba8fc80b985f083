//! Who may import whom, read from the manifests.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

/// A package and the packages of this workspace that it may depend on, in any section.
const ALLOWED: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("sync-protocol", &["domain"]),
    ("sync-transport", &["domain", "sync-protocol"]),
    (
        "central",
        // The simulators, and the servers that tests start, in its tests only.
        &[
            "domain",
            "sync-protocol",
            "sync-transport",
            "sim-kit",
            "sim-momo",
            "sim-card",
            "sim-sms",
            "system-tests",
        ],
    ),
    ("sim-kit", &[]),
    ("sim-momo", &["sim-kit"]),
    ("sim-card", &["sim-kit"]),
    ("sim-sms", &["sim-kit"]),
    ("edge-node", &["domain", "sync-protocol", "sync-transport"]),
    (
        "driver-agent",
        &["domain", "sync-protocol", "sync-transport", "edge-node"],
    ),
    (
        "pos-desktop",
        &["domain", "sync-protocol", "sync-transport", "edge-node"],
    ),
];

/// Packages without IO, clock and randomness, down to their last dependency.
const PURE: &[&str] = &["domain", "sync-protocol"];

/// What a pure package would need to touch the world.
const IMPURE: &[&str] = &[
    "async-std",
    "axum",
    "chrono",
    "fastrand",
    "getrandom",
    "hyper",
    "lapin",
    "libsqlite3-sys",
    "mio",
    "nix",
    "quinn",
    "quinn-proto",
    "rand",
    "redis",
    "reqwest",
    "rusqlite",
    "rustls",
    "socket2",
    "sqlx",
    "sqlx-core",
    "tokio",
    "ureq",
];

/// A pure package may check signatures with it. It makes keys too, and throws dice for those; the
/// pure packages' clippy.toml bans that.
const CHECKS_SIGNATURES: &str = "graviola";

/// Broken directions and impure dependencies.
pub fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut findings = check_directions(&workspace.metadata)?;
    for package in PURE {
        let tree = process::output(workspace.cargo().args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prune",
            CHECKS_SIGNATURES,
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]))?;
        findings.extend(check_purity(package, &tree));
    }
    Ok(findings)
}

fn check_directions(metadata: &Value) -> Result<Vec<String>> {
    let root = metadata["workspace_root"]
        .as_str()
        .context("no workspace_root in cargo's metadata")?;
    let packages = metadata["packages"]
        .as_array()
        .context("no packages in cargo's metadata")?;
    let ours: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"]
            .as_str()
            .context("a package without a name")?;
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let place = manifest.strip_prefix(root).unwrap_or(manifest);
        let place = place.trim_start_matches('/');
        if place.starts_with("tests/") || name == "xtask" {
            continue;
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(package, _)| *package == name) else {
            findings.push(format!(
                "{place}: package {name} has no place in the import directions: give it one in \
                 ARCHITECTURE.md and in xtask/src/tidy/imports.rs"
            ));
            continue;
        };
        let imports: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|dependency| dependency["name"].as_str())
            .collect();
        for import in imports {
            if ours.contains(import) && !allowed.contains(&import) {
                findings.push(format!(
                    "{place}: {name} must not import {import}: it may import {}",
                    if allowed.is_empty() {
                        "nothing of ours".to_owned()
                    } else {
                        allowed.join(", ")
                    }
                ));
            }
        }
    }
    Ok(findings)
}

/// `tree` is the output of `cargo tree`, one `name vVERSION ...` per line.
fn check_purity(package: &str, tree: &str) -> Vec<String> {
    let names: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    names
        .into_iter()
        .filter(|name| IMPURE.contains(name))
        .map(|name| {
            format!(
                "{package} depends on {name}: it takes time, randomness and files as arguments \
                 (`cargo tree -p {package} -i {name}` shows the way)"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(packages: &[(&str, &str, &[&str])]) -> Value {
        let packages: Vec<Value> = packages
            .iter()
            .map(|(name, folder, imports)| {
                let dependencies: Vec<Value> = imports
                    .iter()
                    .map(|import| json!({ "name": import }))
                    .collect();
                json!({
                    "name": name,
                    "manifest_path": format!("/r/{folder}/Cargo.toml"),
                    "dependencies": dependencies,
                })
            })
            .collect();
        json!({ "workspace_root": "/r", "packages": packages })
    }

    #[test]
    fn the_directions_of_the_design_pass() {
        let found = check_directions(&metadata(&[
            ("domain", "domain", &["minicbor"]),
            ("sync-protocol", "sync-protocol", &["domain"]),
            (
                "edge-node",
                "edge-node",
                &["domain", "sync-protocol", "tokio"],
            ),
            ("driver-agent", "driver-agent", &["edge-node"]),
            ("central", "central", &["domain"]),
            ("sim", "tests/sim", &["central", "edge-node"]),
            ("xtask", "xtask", &["central"]),
        ]));
        assert_eq!(found.unwrap(), Vec::<String>::new());
    }

    #[test]
    fn hub_and_edge_never_import_each_other() {
        let found = check_directions(&metadata(&[
            ("domain", "domain", &["edge-node"]),
            ("edge-node", "edge-node", &["central"]),
            ("central", "central", &["edge-node"]),
        ]))
        .unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].contains("domain must not import edge-node: it may import nothing of ours")
        );
    }

    #[test]
    fn nobody_imports_a_test_package_and_every_package_has_a_place() {
        let found = check_directions(&metadata(&[
            ("central", "central", &["udp-relay"]),
            ("udp-relay", "tests/relay", &[]),
            ("helper", "helper", &[]),
        ]))
        .unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("central must not import udp-relay"));
        assert!(found[1].contains("helper has no place"));
    }

    #[test]
    fn a_pure_package_that_reaches_a_clock_or_a_socket_is_found() {
        let found = check_purity(
            "domain",
            "domain v0.1.0 (/r/domain)\nuuid v1.29.3\ngetrandom v0.3.4\nuuid v1.29.3 (*)\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("domain depends on getrandom"));
        assert!(check_purity("domain", "domain v0.1.0 (/r/domain)\nuuid v1.29.3\n").is_empty());
    }
}
