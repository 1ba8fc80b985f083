//! The real hub in this process: its sync server over a migrated database with a timetable.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use central::clock;
use central::company::{self, NewCompany};
use central::db::Db;
use central::gtfs;
use central::keys::HubKeys;
use central::nodes::NodeKind;
use central::nodes::enrolment::create_code;
use central::sync::server::{self, Hub};
use domain::ids::CompanyId;
use domain::money::Currency;
use domain::time::Zone;
use sync_transport::{HubEndpoint, HubIdentity, TransportSettings};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The network that the demo runs, too.
const TIMETABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/zambia-gtfs");
/// Days of departures; the first is tomorrow.
const DAYS: u16 = 21;
/// Where the station stands.
pub const STATION: &str = "LUN";

/// A hub that serves.
pub struct BenchHub {
    hub: Arc<Hub>,
    company: CompanyId,
    /// Where it listens.
    pub address: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl BenchHub {
    /// Migrates the database, brings the timetable in, and serves on loopback.
    pub async fn start(url: &str, folder: &Path) -> Result<Self> {
        Db::migrate(url).await?;
        let db = Db::connect(url).await?;
        let keys = HubKeys::load_or_create(&folder.join("keys"))?;
        let identity = HubIdentity::load_or_generate(&folder.join("pki"))?;
        let zone: Zone = "Africa/Lusaka".parse()?;
        let now = clock::now();
        let about = NewCompany {
            name: "Bench Coaches".to_owned(),
            zone: zone.clone(),
            currency: Currency::ZMW,
        };
        let company = company::create(&db, &keys, &about, now).await?;
        let today = now.local_date(&zone).context("today")?;
        let options = gtfs::Options {
            days: DAYS,
            ..gtfs::Options::starting(today.plus_days(1).context("tomorrow")?)
        };
        let (plan, _) = gtfs::import(Path::new(TIMETABLE), &options)?;
        company::apply(&db, company, &plan).await?;
        let loopback = "127.0.0.1:0".parse()?;
        let endpoint = HubEndpoint::bind(loopback, &identity, &TransportSettings::hub())?;
        let address = endpoint.local_addr().to_string();
        let hub = Hub::new(db, keys, identity);
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server::serve(Arc::clone(&hub), endpoint, async move {
            let _ = stopped.await;
        }));
        Ok(Self {
            hub,
            company,
            address,
            stop,
            serving,
        })
    }

    /// A one-use code for the station.
    pub async fn enrolment_code(&self) -> Result<String> {
        let Hub { db, identity, .. } = &*self.hub;
        let kind = NodeKind::Station(STATION.parse()?);
        let (_, code) =
            create_code(db, identity, &self.address, self.company, "Counter", &kind).await?;
        Ok(code.to_string())
    }

    /// Says good-bye and lets go of the database.
    pub async fn stop(self) -> Result<()> {
        let _ = self.stop.send(());
        self.serving.await?;
        self.hub.db.close().await;
        Ok(())
    }
}
