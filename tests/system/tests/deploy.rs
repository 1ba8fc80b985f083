//! What is committed for whoever runs a hub is what the programs that read it take.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use system_tests::hub::{own_tcp_address, own_udp_address};
use system_tests::{Gateway, Hub, Place, Postgres, Ran, Redis, python, story, until};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy");
const BROKER_DEADLINE: Duration = Duration::from_mins(3);

/// Checks the Compose file against the schema, then prints it as JSON.
const READ_COMPOSE: &str = "
import json, sys, jsonschema, yaml
document = yaml.safe_load(open(sys.argv[1]))
schema = json.load(open(sys.argv[2]))
validator = jsonschema.Draft7Validator(schema)
faults = [f'{list(e.path)}: {e.message}' for e in validator.iter_errors(document)]
document['services']['gateway']['healthcheck']['retries'] = 'many'
if validator.is_valid(document):
    faults.append('the schema takes anything')
if faults:
    sys.exit('\\n'.join(faults))
print(json.dumps(yaml.safe_load(open(sys.argv[1]))))
";

fn compose(place: &Place) -> Result<Value> {
    let schema = python::library(place, "python-jsonschema-4", "jsonschema>=4,<5")?;
    let yaml = python::library(place, "python-yaml-6", "PyYAML>=6,<7")?;
    let path = std::env::join_paths([schema, yaml])?;
    let mut python = Command::new("python3");
    python
        .env("PYTHONPATH", path)
        .args(["-B", "-c", READ_COMPOSE]);
    for file in ["docker/compose.yaml", "docker/compose-spec.schema.json"] {
        python.arg(Path::new(DEPLOY).join(file));
    }
    Ran::good(&mut python)?.json()
}

#[test]
fn promtool_takes_the_alerts_and_the_board_asks_prometheus_in_its_own_words() -> Result<()> {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "config", "prometheus.yml"]);
    Ran::good(promtool.current_dir(Path::new(DEPLOY).join("prometheus")))?;
    let board = std::fs::read(Path::new(DEPLOY).join("grafana/mwimule-hub.json"))?;
    let board: Value = serde_json::from_slice(&board)?;
    let panels = board["panels"].as_array().context("no panels")?;
    let targets = panels.iter().filter_map(|p| p["targets"].as_array());
    let asked: Vec<&str> = targets
        .flatten()
        .filter_map(|t| t["expr"].as_str())
        .collect();
    ensure!(asked.len() >= panels.len(), "a panel asks nothing");
    // As rules, so that promtool reads them.
    let rules: Vec<Value> = asked
        .iter()
        .enumerate()
        .map(|(n, expr)| serde_json::json!({"record": format!("board:{n}"), "expr": expr}))
        .collect();
    let rules = serde_json::json!({"groups": [{"name": "board", "rules": rules}]});
    let place = Place::new()?;
    let file = place.path("board.yml");
    std::fs::write(&file, rules.to_string())?;
    Ran::good(Command::new("promtool").args(["check", "rules"]).arg(&file))?;
    Ok(())
}

/// A RabbitMQ of this test's own; dropping it ends it and its name server.
struct Broker {
    folder: PathBuf,
    programs: PathBuf,
    node_port: String,
    epmd_port: String,
    children: Vec<Child>,
}

impl Broker {
    fn start(place: &Place) -> Result<Self> {
        let folder = place.path("broker");
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("plugins"), "[].\n")?;
        let lib = std::fs::read_dir("/usr/lib/rabbitmq/lib").context("no rabbitmq-server")?;
        let mut sbin = lib.flatten().map(|entry| entry.path().join("sbin"));
        let programs = sbin.find(|sbin| sbin.join("rabbitmq-server").is_file());
        let port = || -> Result<String> {
            let address = own_tcp_address()?;
            Ok(address.rsplit(':').next().unwrap_or_default().to_owned())
        };
        let mut broker = Self {
            folder,
            programs: programs.context("no rabbitmq-server")?,
            node_port: port()?,
            epmd_port: port()?,
            children: vec![],
        };
        let mut epmd = Command::new("epmd");
        epmd.args(["-port", &broker.epmd_port, "-address", "127.0.0.1"]);
        broker.run(epmd, place)?;
        let server = broker.command("rabbitmq-server");
        broker.run(server, place)?;
        Ok(broker)
    }

    fn run(&mut self, mut command: Command, place: &Place) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(place.log("broker"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("could not start {}", command.get_program().display()))?;
        self.children.push(child);
        Ok(())
    }

    /// One of RabbitMQ's programs, of this broker.
    fn command(&self, program: &str) -> Command {
        let at = |name: &str| self.folder.join(name);
        let mut command = Command::new(self.programs.join(program));
        command
            .env("HOME", &self.folder)
            .env(
                "RABBITMQ_NODENAME",
                format!("mwimule{}@localhost", self.node_port),
            )
            .env("RABBITMQ_NODE_PORT", &self.node_port)
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins"))
            .env("RABBITMQ_CONFIG_FILE", at("none"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+sbwt none")
            .env("ERL_EPMD_PORT", &self.epmd_port);
        command
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Politely, since it is a tree of processes; then its name server.
        let _ = Ran::of(self.command("rabbitmqctl").args(["-q", "stop"]));
        for mut child in self.children.drain(..).rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What `doctor` beside a hub says of the broker at this port: whether it is well, and the detail.
fn doctor_on_broker(place: &Place, port: &str) -> Result<(bool, String)> {
    let mut doctor = Command::new(place.program("mwimule-hub")?);
    doctor
        .arg("--data-dir")
        .arg(place.path("hub"))
        .arg("--json");
    let url = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
    let ran = Ran::of(doctor.arg("doctor").env("MWIMULE_BROKER_URL", url))?;
    let said = ran.stdout.lines().map(serde_json::from_str);
    let said: Vec<Value> = said.collect::<Result<_, _>>()?;
    let line = said.iter().find(|line| line["check"] == "rabbitmq");
    let line = line.with_context(|| format!("nothing of RabbitMQ: {said:?}"))?;
    let well = line["ok"] == true;
    ensure!(
        well == ran.status.success(),
        "one fault has to show in how it ends, and only that: {said:?}"
    );
    let detail = line["detail"].as_str().unwrap_or_default();
    Ok((well, detail.to_owned()))
}

/// The words of a service's health check.
fn check_of(compose: &Value, service: &str) -> Result<Vec<String>> {
    let test = &compose["services"][service]["healthcheck"]["test"];
    let words = test.as_array().context("no health check")?.iter();
    let words: Option<Vec<String>> = words.map(|w| w.as_str().map(str::to_owned)).collect();
    let words = words.context("a health check is no list of words")?;
    ensure!(words[0] == "CMD", "{service}: {words:?}");
    Ok(words[1..].to_vec())
}

/// The health check's command, with where its service is on this machine.
fn command(words: &[String], replaced: &[(&str, &str)]) -> Command {
    let said = words.iter().map(|word| {
        let start = word.clone();
        replaced.iter().fold(start, |w, (a, b)| w.replace(a, b))
    });
    let said: Vec<String> = said.collect();
    let mut command = Command::new(&said[0]);
    command.args(&said[1..]);
    command
}

/// Passes beside the service, and fails where there is none: a check that cannot fail is none.
fn passes_and_fails(mut here: Command, mut nowhere: Command) -> Result<()> {
    Ran::good(&mut here)?;
    let ran = Ran::of(&mut nowhere)?;
    ensure!(
        !ran.status.success(),
        "{nowhere:?} passes without a service"
    );
    Ok(())
}

#[test]
fn the_compose_file_keeps_to_its_schema_and_each_health_check_runs() -> Result<()> {
    story(|place| {
        let mut broker = Broker::start(place)?;
        let compose = compose(place)?;
        let mut check = Command::new(place.program("mwimule-hub")?);
        check
            .arg("--config")
            .arg(Path::new(DEPLOY).join("docker/hub.toml"));
        Ran::good(check.args(["config", "check"]))?;
        for (name, service) in compose["services"].as_object().context("no services")? {
            let check = &service["healthcheck"];
            ensure!(!check.is_null(), "{name} has no health check");
        }
        let nowhere = own_tcp_address()?;
        let nowhere = nowhere.as_str();
        let hub = Hub::found_with(place, "hub", &["--internal-http", "127.0.0.1:0"])?;
        let words = check_of(&compose, "hub-1")?;
        ensure!(
            words == check_of(&compose, "hub-2")?,
            "two hubs, two checks"
        );
        let internal = hub.internal_addr();
        passes_and_fails(
            command(&words, &[("127.0.0.1:9090", internal)]),
            command(&words, &[("127.0.0.1:9090", nowhere)]),
        )?;
        let here = hub.base().trim_start_matches("http://");
        let sync = own_udp_address()?;
        let gateway = Gateway::start(place, (here, &sync), (nowhere, &sync))?;
        let words = check_of(&compose, "gateway")?;
        passes_and_fails(
            command(&words, &[("127.0.0.1:443", &gateway.https)]),
            command(&words, &[("127.0.0.1:443", nowhere)]),
        )?;
        let postgres = Postgres::start(place)?;
        let words = check_of(&compose, "postgres")?;
        let ready = |host: &Path| {
            let mut command = command(&words, &[]);
            command.env("PGHOST", host);
            command
        };
        passes_and_fails(ready(postgres.folder()), ready(&place.path("nowhere")))?;
        let redis = Redis::start(place)?;
        let words = check_of(&compose, "redis")?;
        let socket = redis.url();
        let socket = socket.trim_start_matches("redis+unix://");
        let ping = |socket: &str| {
            let mut command = Command::new(&words[0]);
            command.args(["-s", socket]).args(&words[1..]);
            command
        };
        passes_and_fails(ping(socket), ping("/nowhere"))?;
        let words = check_of(&compose, "rabbitmq")?;
        let ask = |broker: &Broker| {
            let mut command = broker.command(&words[0]);
            command.args(&words[1..]);
            command
        };
        until("RabbitMQ to pass its check", BROKER_DEADLINE, || {
            let ran = Ran::of(&mut ask(&broker))?;
            Ok(ran.status.success().then_some(()).ok_or(ran.stderr))
        })?;
        let (well, said) = doctor_on_broker(place, &broker.node_port)?;
        ensure!(well && said == "answers", "{said}");
        Ran::good(broker.command("rabbitmqctl").args(["-q", "stop"]))?;
        if let Some(mut server) = broker.children.pop() {
            server.wait()?;
        }
        let ran = Ran::of(&mut ask(&broker))?;
        ensure!(!ran.status.success(), "a stopped broker passes");
        let (well, said) = doctor_on_broker(place, &broker.node_port)?;
        ensure!(!well && said.contains("waits in the outbox"), "{said}");
        ensure!(!said.contains("guest:guest"), "it shows a password: {said}");
        Ok(())
    })
}

/// More than this much is open to a unit by `systemd-analyze security`, in tenths of its scale of
/// ten: too much.
const EXPOSURE_MAX: &str = "25";

/// Asks systemd about a unit under a root of its own.
fn systemd(root: &Path, words: &[&str], unit: &str) -> Result<Ran> {
    let mut analyze = Command::new("systemd-analyze");
    analyze
        .args(words)
        .arg(format!("--root={}", root.display()));
    // What it calls as a pager, or asks for a manual page, is not there.
    Ran::of(
        analyze
            .args(["--no-pager", unit])
            .env("SYSTEMD_COLORS", "0"),
    )
}

#[test]
fn systemd_takes_the_units_and_they_leave_little_open() -> Result<()> {
    const VERIFY: [&str; 3] = ["verify", "--man=no", "--recursive-errors=yes"];
    let place = Place::new()?;
    let root = place.path("root");
    let (units, programs) = (root.join("etc/systemd/system"), root.join("usr/local/bin"));
    let targets = root.join("usr/lib/systemd/system");
    for folder in [&units, &programs, &targets] {
        std::fs::create_dir_all(folder)?;
    }
    for entry in std::fs::read_dir("/usr/lib/systemd/system")?.flatten() {
        if entry.path().extension().is_some_and(|end| end == "target") {
            std::fs::copy(entry.path(), targets.join(entry.file_name()))?;
        }
    }
    let mut seen = 0;
    for entry in std::fs::read_dir(Path::new(DEPLOY).join("systemd"))?.flatten() {
        let text = std::fs::read_to_string(entry.path())?;
        let name = entry.file_name().into_string().unwrap_or_default();
        std::fs::write(units.join(&name), &text)?;
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("ExecStart"));
        for words in lines.filter_map(|line| line.split_once('=')) {
            let mut words = words.1.split_whitespace();
            let program = words.next().context("a unit starts nothing")?;
            let program = Path::new(program).file_name().context("no program")?;
            // What it is told it has to know.
            let built = place.program(&program.to_string_lossy())?;
            Ran::good(Command::new(&built).args(words).arg("--help"))?;
            // A link would lead out of the root.
            let stand_in = programs.join(program);
            std::fs::write(&stand_in, "#!/bin/sh\n")?;
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&stand_in, open)?;
        }
        let unit = name.replace("@.", "@1.");
        let ran = systemd(&root, &VERIFY, &unit)?;
        ensure!(ran.status.success(), "{name}: {}{}", ran.stdout, ran.stderr);
        let threshold = format!("--threshold={EXPOSURE_MAX}");
        let security = ["security", "--offline=true", &threshold];
        let ran = systemd(&root, &security, &name)?;
        ensure!(ran.status.success(), "{name}: {}{}", ran.stdout, ran.stderr);
        // A check that cannot fail is none.
        std::fs::write(units.join(&name), text.replace("\nRestart=", "\nRestarts="))?;
        let ran = systemd(&root, &VERIFY, &unit)?;
        ensure!(!ran.status.success(), "{name}: a mistake passes");
        let open = text
            .replace("\nSystemCallFilter=", "\n#")
            .replace("\nProtectSystem=", "\n#");
        std::fs::write(
            units.join(&name),
            open.replace("\nCapabilityBoundingSet=", "\n#"),
        )?;
        let ran = systemd(&root, &security, &name)?;
        ensure!(!ran.status.success(), "{name}: an open unit passes");
        seen += 1;
    }
    ensure!(seen == 3, "{seen} units");
    Ok(())
}
