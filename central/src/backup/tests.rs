//! Backups on a real database: whole or not there, and refused where something is wrong.

use std::path::{Path, PathBuf};

use domain::ids::HubIncarnation;
use domain::restore::LAST;

use super::files::unfinished;
use super::{BackupError, Manifest, Target, make, take};
use crate::keys::HubKeys;
use crate::postgres::TestCluster;
use crate::restore::{begin_after, restore_point};
use crate::testing::{TestCompany, TestDb};

struct Scene {
    folder: tempfile::TempDir,
    test: TestDb,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pki")).unwrap();
        std::fs::write(folder.path().join("pki/ca.der"), b"a certificate").unwrap();
        HubKeys::load_or_create(&folder.path().join("keys")).unwrap();
        let test = TestDb::new().await.unwrap();
        let company = TestCompany::new(&test.db, 1).await.unwrap();
        company.trip("1", 4, 10).await.unwrap();
        Self { folder, test }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn make(&self, to: &Path) -> Result<super::Made, BackupError> {
        let (keys, pki) = (self.path("keys"), self.path("pki"));
        make(&self.test.url, (&keys, &pki), to, &|_| ()).await
    }

    async fn take(&self, from: &Path, into: &str, url: &str) -> Result<super::Taken, BackupError> {
        let target = Target {
            folder: self.path(into),
            database_url: Some(url.to_owned()),
            after: None,
        };
        take(from, &target, &|_| ()).await
    }
}

#[tokio::test]
async fn a_backup_comes_back_with_its_rows_keys_and_certificates() {
    let scene = Scene::new().await;
    let to = scene.path("backup");
    // What an attempt that was cut short has left is no hindrance.
    std::fs::create_dir_all(unfinished(&to).join("database")).unwrap();
    std::fs::write(unfinished(&to).join("database/toc.dat"), b"half").unwrap();
    let made = scene.make(&to).await.unwrap();
    assert!(!unfinished(&to).exists());
    assert_eq!(Manifest::read(&to).unwrap(), made.manifest);
    let again = scene.make(&to).await.unwrap_err();
    assert!(matches!(again, BackupError::Occupied(_)), "{again}");
    let fresh = TestCluster::database().await.unwrap();
    let taken = scene.take(&to, "restored", &fresh.url).await.unwrap();
    assert_eq!((taken.begun.frozen, taken.begun.devices), (1, 0));
    for file in ["keys/hub-signing.key", "pki/ca.der"] {
        let (was, is) = (scene.path(file), scene.path("restored").join(file));
        if was.exists() {
            assert_eq!(
                std::fs::read(was).unwrap(),
                std::fs::read(is).unwrap(),
                "{file}"
            );
        }
    }
    let occupied = scene.take(&to, "restored", &fresh.url).await.unwrap_err();
    assert!(matches!(occupied, BackupError::Occupied(_)), "{occupied}");
    let full = scene.take(&to, "elsewhere", &fresh.url).await.unwrap_err();
    assert!(matches!(full, BackupError::DatabaseNotEmpty), "{full}");
    assert!(!scene.path("elsewhere").exists());
}

#[tokio::test]
async fn a_backup_that_was_changed_is_refused_and_names_the_file() {
    let scene = Scene::new().await;
    let to = scene.path("backup");
    scene.make(&to).await.unwrap();
    let fresh = TestCluster::database().await.unwrap();
    let file = to.join("pki/ca.der");
    std::fs::write(&file, b"A certificate").unwrap();
    let changed = scene
        .take(&to, "r", &fresh.url)
        .await
        .unwrap_err()
        .to_string();
    assert!(changed.contains("pki/ca.der has changed"), "{changed}");
    std::fs::remove_file(&file).unwrap();
    let missing = scene
        .take(&to, "r", &fresh.url)
        .await
        .unwrap_err()
        .to_string();
    assert!(missing.contains("pki/ca.der is missing"), "{missing}");
    std::fs::write(&file, b"a certificate").unwrap();
    std::fs::write(to.join("more"), b"").unwrap();
    let more = scene
        .take(&to, "r", &fresh.url)
        .await
        .unwrap_err()
        .to_string();
    assert!(more.contains("more does not belong"), "{more}");
    assert!(!scene.path("r").exists(), "nothing was begun");
}

#[tokio::test]
async fn a_database_whose_restore_was_cut_short_is_known() {
    let scene = Scene::new().await;
    let to = scene.path("backup");
    scene.make(&to).await.unwrap();
    let fresh = TestCluster::database().await.unwrap();
    // The archive loses a table's data after the manifest was read: pg_restore stops half-way.
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(to.join("manifest.json")).unwrap()).unwrap();
    let files = manifest["files"].as_array_mut().unwrap();
    let at = files
        .iter()
        .position(|f| f["path"].as_str().unwrap().ends_with(".dat.gz"))
        .unwrap();
    let lost = files.remove(at);
    std::fs::remove_file(to.join(lost["path"].as_str().unwrap())).unwrap();
    std::fs::write(to.join("manifest.json"), manifest.to_string()).unwrap();
    let failed = scene.take(&to, "r", &fresh.url).await.unwrap_err();
    assert!(matches!(failed, BackupError::Program { .. }), "{failed}");
    assert!(crate::db::Db::is_half_restored(&fresh.url).await.unwrap());
    assert!(!scene.path("r").exists());
}

#[tokio::test]
async fn a_hub_restored_under_a_number_that_devices_refuse_begins_beyond_theirs() {
    let scene = Scene::new().await;
    let to = scene.path("backup");
    scene.make(&to).await.unwrap();
    let fresh = TestCluster::database().await.unwrap();
    // A device says that it has worked with an installation of years to come.
    let met = HubIncarnation(9_000_000);
    let target = Target {
        folder: scene.path("restored"),
        database_url: Some(fresh.url.clone()),
        after: Some(met),
    };
    let taken = take(&to, &target, &|_| ()).await.unwrap();
    assert_eq!(taken.begun.hub, HubIncarnation(9_000_001));
    let keys = HubKeys::load_or_create(&scene.path("restored").join("keys")).unwrap();
    let point = restore_point(&fresh.url).await.unwrap().unwrap();
    let now = crate::clock::now();
    // The same again for one that was restored already; a lower number leads no way back.
    for (known, begins) in [(9_000_005, 9_000_006), (7, 9_000_007)] {
        let known = (point, HubIncarnation(known));
        let begun = begin_after(&fresh.url, &keys, known, now).await.unwrap();
        assert_eq!(begun.hub, HubIncarnation(begins));
        assert_eq!(begun.frozen, 1);
    }
    let last = (point, LAST);
    let none_left = begin_after(&fresh.url, &keys, last, now).await.unwrap_err();
    assert!(none_left.to_string().contains("last"), "{none_left}");
}
