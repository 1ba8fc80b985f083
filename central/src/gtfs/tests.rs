//! The pipeline on the project's fixtures and on small feeds written by each test.

mod faults;
mod faulty;
mod identity;
mod shapes;
mod zambia;

use std::fs;
use std::path::{Path, PathBuf};

use super::{GtfsError, Options, Plan, Report, import};

/// A folder of the project's fixtures.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures")
        .join(name)
}

fn options() -> Options {
    Options::starting("2026-11-23".parse().unwrap())
}

/// A small good feed in memory, of which a test changes what it is about.
struct Files(Vec<(&'static str, Vec<u8>)>);

impl Files {
    fn good() -> Self {
        let text = |t: &str| t.as_bytes().to_vec();
        Self(vec![
            (
                "agency.txt",
                text("agency_id,agency_name,agency_timezone\nX,Ex,Africa/Lusaka\n"),
            ),
            (
                "stops.txt",
                text(
                    "stop_id,stop_name,stop_lat,stop_lon\nA,Alpha,1,1\nB,Bravo,2,2\nC,Charlie,3,3\n",
                ),
            ),
            (
                "routes.txt",
                text("route_id,route_short_name,route_type\nR,R,3\n"),
            ),
            (
                "trips.txt",
                text("trip_id,route_id,service_id\nt,R,daily\n"),
            ),
            ("stop_times.txt", text(STOP_TIMES)),
            ("calendar.txt", text(CALENDAR)),
        ])
    }

    fn with(mut self, name: &'static str, content: impl Into<Vec<u8>>) -> Self {
        self.0.retain(|(n, _)| *n != name);
        self.0.push((name, content.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(n, _)| *n != name);
        self
    }

    fn write(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in &self.0 {
            fs::write(dir.path().join(name), content).unwrap();
        }
        dir
    }

    fn import(&self) -> Result<(Plan, Report), GtfsError> {
        import(self.write().path(), &options())
    }

    fn refusal(&self) -> String {
        self.import().unwrap_err().to_string()
    }
}

const STOP_TIMES: &str = "trip_id,arrival_time,departure_time,stop_id,stop_sequence
t,06:00:00,06:00:00,A,1
t,07:00:00,07:05:00,B,2
t,08:00:00,08:00:00,C,3
";

const CALENDAR: &str =
    "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date
daily,1,1,1,1,1,1,1,20260101,20351231
";
