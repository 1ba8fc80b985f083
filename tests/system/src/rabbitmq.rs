//! A RabbitMQ that a test may kill.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::{Dice, until};

/// It needs a quarter of a minute on a quiet machine.
const READY_DEADLINE: Duration = Duration::from_mins(3);
/// Below the ports that systems give away by themselves, so that a killed server finds its own
/// free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A private RabbitMQ on ports of its own, with its own name server; dropping it ends both.
#[derive(Debug)]
pub struct Rabbit {
    folder: PathBuf,
    log: PathBuf,
    server: Option<Child>,
    epmd: Option<Child>,
    port: u16,
    dist_port: u16,
    epmd_port: u16,
}

fn free_port(dice: &mut Dice) -> Result<u16> {
    for _ in 0..1_000 {
        let port = PORTS.start + dice.below(u64::from(PORTS.end - PORTS.start)) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no TCP port is free");
}

/// The folder of RabbitMQ's own programs: the wrapper in PATH insists on its own user.
fn programs() -> Result<PathBuf> {
    let lib = Path::new("/usr/lib/rabbitmq/lib");
    let found = std::fs::read_dir(lib)
        .with_context(|| format!("{} is not there: install rabbitmq-server", lib.display()))?;
    let mut servers: Vec<PathBuf> = found
        .flatten()
        .map(|entry| entry.path().join("sbin"))
        .filter(|sbin| sbin.join("rabbitmq-server").is_file())
        .collect();
    servers.sort();
    servers
        .pop()
        .context("no rabbitmq-server in /usr/lib/rabbitmq/lib")
}

impl Rabbit {
    /// Starts one in a folder.
    pub fn start(folder: &Path) -> Result<Self> {
        let mut dice = Dice::unseeded();
        std::fs::create_dir_all(folder)?;
        let mut rabbit = Self {
            folder: folder.to_owned(),
            log: folder.with_extension("log"),
            server: None,
            epmd: None,
            port: free_port(&mut dice)?,
            dist_port: free_port(&mut dice)?,
            epmd_port: free_port(&mut dice)?,
        };
        std::fs::write(folder.join("plugins"), "[].\n")?;
        // What little it logs goes to the file of its output.
        std::fs::write(
            folder.join("rabbitmq.conf"),
            "log.console = true\nlog.console.level = error\nlog.file = false\n",
        )?;
        rabbit.epmd = Some(
            Command::new("epmd")
                .arg("-port")
                .arg(rabbit.epmd_port.to_string())
                .args(["-address", "127.0.0.1"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("could not start epmd: is the package rabbitmq-server installed?")?,
        );
        rabbit.begin()?;
        rabbit.wait()?;
        Ok(rabbit)
    }

    /// What a hub calls it by.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// SIGKILL, and starts it again with what it had on disk; does not wait until it answers.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.begin()
    }

    /// Starts it where it was, unless it runs.
    pub fn begin(&mut self) -> Result<()> {
        if self.server.is_some() {
            return Ok(());
        }
        let at = |name: &str| self.folder.join(name);
        let log = File::options().create(true).append(true).open(&self.log)?;
        let server = Command::new(programs()?.join("rabbitmq-server"))
            .env("HOME", &self.folder)
            .env(
                "RABBITMQ_NODENAME",
                format!("mwimule{}@localhost", self.port),
            )
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins"))
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                // It shares the machine with everything else that is tested.
                "-setcookie mwimule +sbwt none +sbwtdcpu none +sbwtdio none",
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("could not start rabbitmq-server")?;
        self.server = Some(server);
        Ok(())
    }

    /// Waits until it speaks AMQP.
    pub fn wait(&self) -> Result<()> {
        until("RabbitMQ to answer", READY_DEADLINE, || {
            Ok(self.answers().map_err(|e| e.to_string()))
        })
    }

    /// Waits until a quorum queue outlives a SIGKILL. What is in it does from the confirmation on,
    /// but the name under which that is found again is written down up to half a second after the
    /// queue was declared (`auto_save` of `ra_directory`).
    pub fn wait_for_queue(&self, queue: &str) -> Result<()> {
        let node = format!("mwimule{}@localhost", self.port);
        let names = self.folder.join("mnesia").join(&node).join("quorum");
        let names = names.join(&node).join("names.dets");
        let wanted = format!("%2F_{queue}");
        let what = format!("RabbitMQ to have written down {queue}");
        until(&what, READY_DEADLINE, || {
            let written = std::fs::read(&names)?;
            let found = written
                .windows(wanted.len())
                .any(|part| part == wanted.as_bytes());
            Ok(found.then_some(()).ok_or("not yet".to_owned()))
        })
    }

    fn answers(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        // Connection.Start: a method frame on channel 0.
        let mut frame = [0; 7];
        stream.read_exact(&mut frame)?;
        if frame[0] == 1 {
            Ok(())
        } else {
            Err(std::io::Error::other("it speaks something else"))
        }
    }

    /// SIGKILL, to it and whatever it started.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            // Its shell may have ended before it.
            let _ = killpg(Pid::from_raw(server.id() as i32), Signal::SIGKILL);
            server.wait()?;
            until("RabbitMQ's port to be free", READY_DEADLINE, || {
                let free = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port));
                Ok(free.map(drop).map_err(|e| e.to_string()))
            })?;
        }
        Ok(())
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        // Nothing more can be done about one that cannot be killed.
        let _ = self.kill();
        if let Some(mut epmd) = self.epmd.take() {
            let _ = epmd.kill();
            let _ = epmd.wait();
        }
    }
}
