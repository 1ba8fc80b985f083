//! The relay between real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail anywhere"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::time::timeout;
use udp_relay::{Faults, Relay, RelayOptions, Stats};

const SOON: Duration = Duration::from_secs(20);

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = timeout(SOON, socket.recv_from(&mut buffer))
        .await
        .expect("nothing came")
        .unwrap();
    (buffer[..length].to_vec(), from)
}

/// Waits until the relay's counters say what they should.
async fn until(relay: &Relay, reached: impl Fn(&Stats) -> bool) -> Stats {
    timeout(SOON, async {
        loop {
            let stats = relay.stats();
            if reached(&stats) {
                return stats;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("it never came to that: {:?}", relay.stats()))
}

async fn relay_to(target: &UdpSocket, faults: Faults) -> Relay {
    Relay::start(RelayOptions {
        faults,
        ..RelayOptions::to(target.local_addr().unwrap())
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn each_client_has_its_own_way_there_and_back() {
    let target = socket().await;
    let relay = relay_to(&target, Faults::default()).await;
    let (one, two) = (socket().await, socket().await);
    one.send_to(b"one", relay.local_addr()).await.unwrap();
    let (got_one, from_one) = receive(&target).await;
    two.send_to(b"two!", relay.local_addr()).await.unwrap();
    let (got_two, from_two) = receive(&target).await;
    assert_eq!((got_one, got_two), (b"one".to_vec(), b"two!".to_vec()));
    assert_ne!(from_one, from_two);
    target.send_to(b"to two", from_two).await.unwrap();
    target.send_to(b"to one", from_one).await.unwrap();
    let back = (b"to one".to_vec(), relay.local_addr());
    assert_eq!(receive(&one).await, back);
    assert_eq!(receive(&two).await.0, b"to two");
    let stats = until(&relay, |stats| stats.down.forwarded_datagrams == 2).await;
    assert_eq!(
        (stats.up.received_datagrams, stats.up.received_bytes),
        (2, 7)
    );
    assert_eq!(
        (stats.down.forwarded_datagrams, stats.down.forwarded_bytes),
        (2, 12)
    );
    assert_eq!(stats.clients.len(), 2);
}

#[tokio::test]
async fn a_stopped_relay_drops_both_ways_and_goes_on_when_told() {
    let target = socket().await;
    let relay = relay_to(&target, Faults::default()).await;
    let client = socket().await;
    client.send_to(b"a", relay.local_addr()).await.unwrap();
    let (_, upstream) = receive(&target).await;
    relay.stop();
    client.send_to(b"b", relay.local_addr()).await.unwrap();
    target.send_to(b"c", upstream).await.unwrap();
    let stats = until(&relay, |stats| {
        stats.up.stopped_datagrams == 1 && stats.down.stopped_datagrams == 1
    })
    .await;
    assert!(stats.stopped);
    relay.go();
    client.send_to(b"d", relay.local_addr()).await.unwrap();
    // The same socket as before, and what was dropped stays dropped.
    assert_eq!(receive(&target).await, (b"d".to_vec(), upstream));
}

#[tokio::test]
async fn stopping_one_client_leaves_the_other_alone() {
    let target = socket().await;
    let relay = relay_to(&target, Faults::default()).await;
    let (one, two) = (socket().await, socket().await);
    relay.stop_client(one.local_addr().unwrap());
    one.send_to(b"one", relay.local_addr()).await.unwrap();
    until(&relay, |stats| stats.up.stopped_datagrams == 1).await;
    two.send_to(b"two", relay.local_addr()).await.unwrap();
    assert_eq!(receive(&target).await.0, b"two");
    relay.go_client(one.local_addr().unwrap());
    one.send_to(b"again", relay.local_addr()).await.unwrap();
    assert_eq!(receive(&target).await.0, b"again");
}

#[tokio::test]
async fn a_stop_drops_what_waits_too() {
    let target = socket().await;
    let faults = Faults {
        delay_ms: 200,
        ..Faults::default()
    };
    let relay = relay_to(&target, faults).await;
    let client = socket().await;
    client.send_to(b"late", relay.local_addr()).await.unwrap();
    until(&relay, |stats| stats.up.received_datagrams == 1).await;
    relay.stop();
    let stats = until(&relay, |stats| stats.up.stopped_datagrams == 1).await;
    assert_eq!(stats.up.forwarded_datagrams, 0);
}

/// Sends numbered datagrams, few enough to wait in the target's socket, and returns the numbers in the order of their arrival.
async fn through(faults: Faults, count: u16) -> (Vec<u16>, Stats) {
    let target = socket().await;
    let relay = relay_to(&target, faults).await;
    let client = socket().await;
    for number in 0..count {
        client
            .send_to(&number.to_be_bytes(), relay.local_addr())
            .await
            .unwrap();
        // Bursts would be lost in the kernel, which no seed decides.
        until(&relay, |stats| {
            stats.up.received_datagrams == u64::from(number) + 1
        })
        .await;
    }
    let due = |stats: &Stats| {
        stats.up.received_datagrams - stats.up.lost_datagrams + stats.up.duplicated_datagrams
    };
    let stats = until(&relay, |stats| stats.up.forwarded_datagrams == due(stats)).await;
    let mut arrived = Vec::new();
    for _ in 0..stats.up.forwarded_datagrams {
        let (bytes, _) = receive(&target).await;
        arrived.push(u16::from_be_bytes([bytes[0], bytes[1]]));
    }
    (arrived, stats)
}

#[tokio::test]
async fn the_same_seed_loses_and_doubles_the_same_datagrams() {
    let faults = Faults {
        seed: 11,
        loss_permille: 200,
        duplicate_permille: 100,
        ..Faults::default()
    };
    let (first, stats) = through(faults, 200).await;
    let (second, _) = through(faults, 200).await;
    assert_eq!(first, second);
    assert!((20..60).contains(&stats.up.lost_datagrams), "{stats:?}");
    assert!(
        (8..40).contains(&stats.up.duplicated_datagrams),
        "{stats:?}"
    );
    let other = Faults { seed: 12, ..faults };
    assert_ne!(through(other, 200).await.0, first);
}

#[tokio::test]
async fn reordering_changes_the_order_and_loses_nothing_and_delay_keeps_it() {
    let delayed = Faults {
        delay_ms: 5,
        ..Faults::default()
    };
    let (in_order, _) = through(delayed, 200).await;
    assert_eq!(in_order, (0..200).collect::<Vec<_>>());
    let reordering = Faults {
        seed: 3,
        reorder_permille: 100,
        ..Faults::default()
    };
    let (mut shuffled, _) = through(reordering, 200).await;
    assert_ne!(shuffled, in_order);
    shuffled.sort_unstable();
    assert_eq!(shuffled, in_order);
}

#[tokio::test]
async fn too_many_clients_are_refused_until_idle_ones_are_forgotten() {
    let target = socket().await;
    let relay = Relay::start(RelayOptions {
        clients_max: 1,
        idle_timeout_ms: 300,
        ..RelayOptions::to(target.local_addr().unwrap())
    })
    .await
    .unwrap();
    let (one, two) = (socket().await, socket().await);
    one.send_to(b"one", relay.local_addr()).await.unwrap();
    receive(&target).await;
    two.send_to(b"two", relay.local_addr()).await.unwrap();
    until(&relay, |stats| stats.refused_datagrams == 1).await;
    until(&relay, |stats| stats.clients.is_empty()).await;
    two.send_to(b"again", relay.local_addr()).await.unwrap();
    assert_eq!(receive(&target).await.0, b"again");
}

#[tokio::test]
async fn a_target_that_was_down_gets_what_comes_after_it_is_back() {
    let target = socket().await;
    let address = target.local_addr().unwrap();
    let relay = relay_to(&target, Faults::default()).await;
    drop(target);
    let client = socket().await;
    for _ in 0..3 {
        client.send_to(b"gone", relay.local_addr()).await.unwrap();
    }
    until(&relay, |stats| stats.up.received_datagrams == 3).await;
    let target = UdpSocket::bind(address).await.unwrap();
    // The kernel may report the earlier refusals on the first send after them.
    timeout(SOON, async {
        let mut buffer = [0; 16];
        loop {
            client.send_to(b"back", relay.local_addr()).await.unwrap();
            let wait = Duration::from_millis(50);
            if timeout(wait, target.recv_from(&mut buffer)).await.is_ok() {
                return;
            }
        }
    })
    .await
    .unwrap();
}

/// A process that does not outlive its test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_program_says_where_it_is_and_obeys_lines() {
    let target = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    target.set_read_timeout(Some(SOON)).unwrap();
    let mut child = Ended(
        Command::new(env!("CARGO_BIN_EXE_udp-relay"))
            .args(["--control", "127.0.0.1:0", "--to"])
            .arg(target.local_addr().unwrap().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();
    let relay = addresses["listen"].as_str().unwrap();
    let control = TcpStream::connect(addresses["control"].as_str().unwrap()).unwrap();
    control.set_read_timeout(Some(SOON)).unwrap();
    let mut answers = BufReader::new(control.try_clone().unwrap());
    let mut say = |words: &str| {
        (&control)
            .write_all(format!("{words}\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    };

    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"hello", relay).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(target.recv_from(&mut buffer).unwrap().0, 5);
    assert_eq!(say("stop"), "ok");
    // It counts a datagram only after it has sent it.
    let deadline = Instant::now() + SOON;
    let stats = loop {
        let stats: serde_json::Value = serde_json::from_str(&say("stats")).unwrap();
        if stats["up"]["forwarded_bytes"] == 5 {
            break stats;
        }
        assert!(Instant::now() < deadline, "{stats}");
    };
    assert_eq!(stats["stopped"], true);
    let address = client.local_addr().unwrap();
    assert_eq!(stats["clients"][0]["client"], address.to_string());
    assert_eq!(say(&format!("stop {address}")), "ok");
    assert_eq!(say(&format!("go {address}")), "ok");
    assert_eq!(say("go"), "ok");
    assert!(say("stop nobody").starts_with("error: \"nobody\""));
    assert!(say("dance").starts_with("error: say stop"));
    client.send_to(b"again", relay).unwrap();
    assert_eq!(target.recv_from(&mut buffer).unwrap().0, 5);
    assert!(say(&"x".repeat(300)).starts_with("error: a line"));
}
