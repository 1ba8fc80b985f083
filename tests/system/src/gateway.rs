//! The gateway of `deploy/`: a real nginx with the committed configuration, on private ports and
//! with a certificate of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::hub::{own_tcp_address, own_udp_address};
use crate::{Caller, Place, Ran, until};

const READY_DEADLINE: Duration = Duration::from_secs(30);
const TEMPLATE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../deploy/nginx/nginx.conf.template"
);

/// A running gateway; dropping it ends it.
#[derive(Debug)]
pub struct Gateway {
    server: Child,
    config: PathBuf,
    certificate: String,
    /// Where people come in the open, `host:port`.
    pub http: String,
    /// Where they come by HTTPS, `host:port`.
    pub https: String,
    /// Where stations and buses come, UDP `host:port`.
    pub sync: String,
}

/// Where one hub is, TCP and UDP, as `host:port`.
pub type Behind<'a> = (&'a str, &'a str);

fn nginx(config: &PathBuf) -> Command {
    // Not everybody has the folders of the system's programs in the search path.
    let debian = PathBuf::from("/usr/sbin/nginx");
    let mut command = Command::new(if debian.is_file() {
        debian
    } else {
        "nginx".into()
    });
    command.arg("-c").arg(config);
    command
}

impl Gateway {
    /// Starts one before two hubs, which need not run yet.
    pub fn start(place: &Place, first: Behind<'_>, second: Behind<'_>) -> Result<Self> {
        Self::start_again(place, "gateway", first, second)
    }

    /// The same in another folder of the test.
    pub fn start_again(
        place: &Place,
        name: &str,
        first: Behind<'_>,
        second: Behind<'_>,
    ) -> Result<Self> {
        let folder = place.path(name);
        std::fs::create_dir(&folder)?;
        let at = |name: &str| folder.join(name).display().to_string();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names)?;
        std::fs::write(at("cert.pem"), made.cert.pem())?;
        std::fs::write(at("key.pem"), made.signing_key.serialize_pem())?;
        let (http, https) = (own_tcp_address()?, own_tcp_address()?);
        let sync = own_udp_address()?;
        let suffix = https.rsplit_once(':').map_or("", |(_, port)| port);
        let said = [
            ("RUN_DIR", folder.display().to_string()),
            (
                "ERROR_LOG",
                place.log("gateway-errors").display().to_string(),
            ),
            ("ACCESS_LOG", place.log("gateway").display().to_string()),
            ("SYNC_LOG", place.log("gateway-sync").display().to_string()),
            ("REQUESTS_PER_S", "10000".to_owned()),
            ("BURST", "10000".to_owned()),
            ("HTTP_LISTEN", http.clone()),
            ("HTTPS_LISTEN", https.clone()),
            ("HTTPS_SUFFIX", format!(":{suffix}")),
            ("CERTIFICATE", at("cert.pem")),
            ("CERTIFICATE_KEY", at("key.pem")),
            ("HUB_1", first.0.to_owned()),
            ("HUB_2", second.0.to_owned()),
            ("SYNC_1", first.1.to_owned()),
            ("SYNC_2", second.1.to_owned()),
            ("SYNC_LISTEN", sync.clone()),
        ];
        let mut text = std::fs::read_to_string(TEMPLATE)?;
        for (name, value) in said {
            let word = format!("${{{name}}}");
            ensure!(text.contains(&word), "the template has no {word}");
            text = text.replace(&word, &value);
        }
        ensure!(!text.contains("${"), "a word of the template was not said");
        let config = folder.join("nginx.conf");
        std::fs::write(&config, text)?;
        Ran::good(nginx(&config).arg("-t")).context("nginx does not accept the gateway")?;
        let server = nginx(&config)
            .args(["-g", "daemon off;"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("could not start nginx: is the package nginx installed?")?;
        let gateway = Self {
            server,
            config,
            certificate: made.cert.pem(),
            http,
            https,
            sync,
        };
        until("the gateway to listen", READY_DEADLINE, || {
            let answer = std::net::TcpStream::connect(&gateway.https);
            Ok(answer.map(drop).map_err(|e| e.to_string()))
        })?;
        Ok(gateway)
    }

    /// The hubs' API as everybody sees it, or as whoever has a token.
    pub fn caller(&self, token: Option<&str>) -> Result<Caller> {
        Caller::secure(&format!("https://{}", self.https), token, &self.certificate)
    }

    /// Reads its configuration again, as after a hub has moved.
    pub fn reload(&self) -> Result<()> {
        Ran::good(nginx(&self.config).args(["-s", "reload"]))?;
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // SIGTERM ends master and workers at once.
        let _ = kill(Pid::from_raw(self.server.id() as i32), Signal::SIGTERM);
        let _ = self.server.wait();
    }
}
