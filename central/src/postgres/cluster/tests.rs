use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder that everybody may enter, unlike a `tempfile` one.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let n = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("mwimule-cluster-{}-{n}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn cluster(&self) -> PathBuf {
        self.0.join("postgres")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn start(folder: &Path) -> Result<EmbeddedPostgres, PostgresError> {
    EmbeddedPostgres::start(folder, Purpose::Serve).await
}

async fn ask(postgres: &EmbeddedPostgres, sql: &'static str) -> String {
    let mut connection = PgConnection::connect(&postgres.url()).await.unwrap();
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_stop_and_a_start() {
    let scratch = Scratch::new();
    let first = start(&scratch.cluster()).await.unwrap();
    assert_eq!(ask(&first, "SHOW fsync").await, "on");
    assert_eq!(ask(&first, "SHOW listen_addresses").await, "");
    let mut connection = PgConnection::connect(&first.url()).await.unwrap();
    sqlx::query("CREATE TABLE kept AS SELECT 'yes' AS word")
        .execute(&mut connection)
        .await
        .unwrap();
    let pid = first.postmaster_pid().unwrap();
    first.stop().unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    let second = start(&scratch.cluster()).await.unwrap();
    assert_eq!(ask(&second, "SELECT word FROM kept").await, "yes");
}

#[tokio::test]
async fn a_second_hub_on_the_same_folder_is_told_who_is_there() {
    let scratch = Scratch::new();
    let _first = start(&scratch.cluster()).await.unwrap();
    let error = start(&scratch.cluster()).await.unwrap_err().to_string();
    assert!(error.contains("in use by a running hub"), "{error}");
    assert!(error.contains("--data-dir"), "{error}");
    assert!(super::super::holder(&scratch.cluster()).is_some());
}

#[tokio::test]
async fn a_server_that_was_killed_is_recovered_at_the_next_start() {
    let scratch = Scratch::new();
    let first = start(&scratch.cluster()).await.unwrap();
    let mut connection = PgConnection::connect(&first.url()).await.unwrap();
    sqlx::query("CREATE TABLE kept AS SELECT 'yes' AS word")
        .execute(&mut connection)
        .await
        .unwrap();
    kill(
        Pid::from_raw(first.postmaster_pid().unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    first.stop().unwrap();
    assert!(scratch.cluster().join("cluster/postmaster.pid").exists());
    let second = start(&scratch.cluster()).await.unwrap();
    assert_eq!(ask(&second, "SELECT word FROM kept").await, "yes");
}

#[tokio::test]
async fn a_server_that_was_killed_is_started_again_beside_its_hub() {
    let scratch = Scratch::new();
    let mut postgres = start(&scratch.cluster()).await.unwrap();
    assert!(!postgres.restart_if_ended().unwrap());
    let first = postgres.postmaster_pid().unwrap();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    let deadline = Instant::now() + STOP_TIMEOUT;
    while !postgres.restart_if_ended().unwrap() {
        assert!(Instant::now() < deadline, "the end went unnoticed");
        // tidy-allow-sleep: between two looks, deadline above
        tokio::time::sleep(POLL).await;
    }
    assert_ne!(postgres.postmaster_pid(), Some(first));
    assert_eq!(ask(&postgres, "SELECT 'here'").await, "here");
}

#[tokio::test]
async fn a_note_of_a_process_that_is_something_else_by_now_is_no_hindrance() {
    let scratch = Scratch::new();
    start(&scratch.cluster()).await.unwrap().stop().unwrap();
    let note = format!("{}\n", std::process::id());
    std::fs::write(scratch.cluster().join("cluster/postmaster.pid"), note).unwrap();
    start(&scratch.cluster()).await.unwrap();
}

#[tokio::test]
async fn the_cluster_ends_with_its_hub_even_when_nobody_stops_it() {
    let scratch = Scratch::new();
    let mut first = start(&scratch.cluster()).await.unwrap();
    let pid = first.postmaster_pid().unwrap();
    // What the system does to a hub that got SIGKILL: its end of the pipe is closed.
    drop(first.pipe.take());
    let deadline = Instant::now() + STOP_TIMEOUT;
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(Instant::now() < deadline, "Postgres outlived its hub");
        // tidy-allow-sleep: between two looks, deadline above
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn a_long_path_gets_a_short_socket() {
    let scratch = Scratch::new();
    let long = scratch.0.join("a".repeat(90)).join("b c");
    let postgres = start(&long).await.unwrap();
    assert_eq!(ask(&postgres, "SELECT 'here'").await, "here");
    let socket_folder = postgres.socket_folder.clone();
    let mode = std::fs::metadata(&socket_folder)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    drop(postgres);
    std::fs::remove_dir_all(socket_folder).unwrap();
}

#[tokio::test]
async fn a_folder_behind_a_closed_one_is_reached_or_the_reason_given() {
    let scratch = Scratch::new();
    let closed = scratch.0.join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    match start(&closed.join("postgres")).await {
        Ok(postgres) => assert_eq!(ask(&postgres, "SELECT 'here'").await, "here"),
        Err(error) => assert!(error.to_string().contains("chmod o+x"), "{error}"),
    }
}

#[test]
fn memory_is_an_eighth_of_the_machine_s_within_bounds() {
    assert_eq!(
        memory_kb("MemTotal:       24606944 kB\nMemFree: 1 kB\n"),
        24_606_944
    );
    assert_eq!(memory_kb("nothing of it"), 0);
    let of = |gib: u64| shared_buffers_mb(gib * 1024 * 1024);
    assert_eq!([of(0), of(4), of(64)], [96, 512, 1024]);
}
