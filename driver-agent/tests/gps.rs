//! A receiver through a real gpsd, which is fed a recorded drive by gpsfake, and the same drive
//! out of a file.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail loudly")]

use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use driver_agent::gps::{Reading, gpsd, nmea};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(30);
/// Where the drive begins, in minutes south of 15°.
const SOUTH_MIN: f64 = 25.0;

/// Half a minute of a bus that drives south.
fn drive() -> String {
    let mut log = String::new();
    for secs in 0..30 {
        let south = SOUTH_MIN + f64::from(secs) * 0.012;
        let where_ = format!("15{south:07.4},S,02816.9986,E");
        for body in [
            format!("GPGGA,0100{secs:02}.00,{where_},1,08,1.0,1200.0,M,,M,,"),
            format!("GPRMC,0100{secs:02}.00,A,{where_},043.2,180.0,281126,,,A"),
        ] {
            let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
            write!(log, "${body}*{sum:02X}\r\n").unwrap();
        }
    }
    log
}

/// gpsfake and its gpsd; both end with it.
struct Gpsd(Child);

impl Drop for Gpsd {
    fn drop(&mut self) {
        // It ends its gpsd when it is told to end, not when it is killed.
        let told = Command::new("kill").arg(self.0.id().to_string()).status();
        if told.is_err() {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

fn is_south_of_lusaka(reading: &Reading) {
    let (lat, lon) = (reading.place.lat(), reading.place.lon());
    let south = 15.0 + SOUTH_MIN / 60.0;
    assert!(
        (-south - 0.007..=-south + 0.001).contains(&lat),
        "{reading:?}"
    );
    assert!((lon - 28.283_31).abs() < 1e-4, "{reading:?}");
    assert_eq!(reading.bearing_deg, Some(180), "{reading:?}");
    let speed = reading.speed_cm_s.unwrap();
    assert!((2_200..=2_250).contains(&speed), "{reading:?}");
    assert!(reading.at.is_some());
}

async fn next(readings: &mut mpsc::Receiver<Reading>) -> Reading {
    let next = tokio::time::timeout(PATIENCE, readings.recv()).await;
    next.unwrap().unwrap()
}

#[tokio::test]
async fn a_real_gpsd_says_where_the_bus_is() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("drive.log");
    std::fs::write(&log, drive()).unwrap();
    // Free when it was asked for; gpsd has no other way to be told.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let fake = Command::new("gpsfake")
        .args(["-q", "-n", "-c", "0.02", "-P", &port.to_string()])
        .arg(&log)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("gpsfake starts: install the packages gpsd and gpsd-clients");
    let _gpsd = Gpsd(fake);
    let (send, mut readings) = mpsc::channel(64);
    // It is called again until it is up.
    let reader = tokio::spawn(gpsd::read(format!("127.0.0.1:{port}"), send));
    let first = next(&mut readings).await;
    is_south_of_lusaka(&first);
    let mut last = first;
    for _ in 0..3 {
        last = next(&mut readings).await;
        is_south_of_lusaka(&last);
    }
    assert_ne!(last.place, first.place, "it moves");
    reader.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_to_its_end_and_on_as_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nmea");
    let drive = drive();
    let half = drive.len() / 2;
    std::fs::write(&file, &drive[..half]).unwrap();
    let (send, mut readings) = mpsc::channel(64);
    let reader = tokio::spawn(nmea::read(file.clone(), send));
    for _ in 0..15 {
        is_south_of_lusaka(&next(&mut readings).await);
    }
    // The sentence that was cut is read whole.
    std::fs::write(&file, &drive).unwrap();
    for _ in 15..30 {
        is_south_of_lusaka(&next(&mut readings).await);
    }
    drop(readings);
    reader.await.unwrap();
}
