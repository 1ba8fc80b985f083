//! `doctor`: what this machine has, what it lacks, and what to type about it.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{packages, postgres, process};

/// The oldest Postgres whose features the migrations use.
const POSTGRES_MIN: u32 = 15;

/// A debug and a release build with their dependencies, in KiB.
const DISK_MIN_KIB: u64 = 12 * 1024 * 1024;

enum Finding {
    Ok(String),
    /// Works without; what would be gained, and what to type.
    Optional(String, String),
    /// Does not work without; what to type.
    Missing(String, String),
}

/// Prints one line per thing looked at; true when nothing needed is missing.
pub fn run(workspace: &Workspace) -> bool {
    let checks: [(&str, Finding); 16] = [
        ("rust", rust(workspace)),
        (
            "c compiler",
            tool(
                "cc",
                "build-essential",
                "SQLite, zstd and ring are compiled from C",
            ),
        ),
        ("nextest", nextest()),
        (
            "git",
            tool("git", "git", "tidy lists the project's files with it"),
        ),
        ("postgres", postgres_version()),
        ("postgres user", postgres_user()),
        (
            "pip3",
            optional(
                "pip3",
                "python3-pip",
                "the tests check tickets, tokens and the API with another language's libraries",
            ),
        ),
        (
            "redis",
            optional(
                "redis-server",
                "redis-server",
                "the tests and `cargo xtask stress` run the hub's shared cache on it",
            ),
        ),
        (
            "rabbitmq",
            optional(
                "rabbitmqctl",
                "rabbitmq-server",
                "the tests and `cargo xtask stress` run the hub's message broker on it",
            ),
        ),
        (
            "gpsfake",
            optional(
                "gpsfake",
                "gpsd-clients",
                "the tests play a drive to a private gpsd",
            ),
        ),
        (
            "zbarimg",
            optional("zbarimg", "zbar-tools", "reads printed QR codes back"),
        ),
        (
            "nginx",
            optional(
                "nginx",
                "nginx",
                "the tests and `cargo xtask stress hubs` put the gateway before real hubs",
            ),
        ),
        (
            "nginx stream",
            optional(
                "ngx_stream_module.so",
                "libnginx-mod-stream",
                "the gateway passes QUIC on with it",
            ),
        ),
        (
            "promtool",
            optional("promtool", "prometheus", "checks metrics and alerts"),
        ),
        ("disk", disk(workspace)),
        ("udp loopback", udp()),
    ];
    let mut complete = true;
    for (name, finding) in checks {
        match finding {
            Finding::Ok(what) => println!("ok       {name:<14} {what}"),
            Finding::Optional(what, fix) => println!("optional {name:<14} {what}; type: {fix}"),
            Finding::Missing(what, fix) => {
                complete = false;
                println!("MISSING  {name:<14} {what}; type: {fix}");
            }
        }
    }
    println!("no fixed ports are used: every program asks the system for a free one");
    complete
}

fn rust(workspace: &Workspace) -> Finding {
    let fix = "rustup toolchain install 1.95.0 --component clippy --component rustfmt";
    for subcommand in ["clippy", "fmt"] {
        if process::output(workspace.cargo().args([subcommand, "--version"])).is_err() {
            return Finding::Missing(format!("cargo {subcommand} does not run"), fix.to_owned());
        }
    }
    match process::output(
        Command::new("rustc")
            .current_dir(&workspace.root)
            .arg("--version"),
    ) {
        Ok(version) => Finding::Ok(version.trim().to_owned()),
        Err(error) => Finding::Missing(error.to_string(), fix.to_owned()),
    }
}

fn nextest() -> Finding {
    match packages::find("cargo-nextest") {
        Some(path) => Finding::Ok(path.display().to_string()),
        None => Finding::Optional(
            "tests run with plain cargo test, one program after the other".to_owned(),
            "cargo install cargo-nextest --locked".to_owned(),
        ),
    }
}

fn tool(program: &str, package: &str, why: &str) -> Finding {
    match packages::find(program) {
        Some(path) => Finding::Ok(path.display().to_string()),
        None => Finding::Missing(why.to_owned(), format!("apt-get install {package}")),
    }
}

fn optional(program: &str, package: &str, why: &str) -> Finding {
    match tool(program, package, why) {
        Finding::Missing(what, fix) => Finding::Optional(what, fix),
        found @ (Finding::Ok(_) | Finding::Optional(..)) => found,
    }
}

fn postgres_version() -> Finding {
    let fix = "cargo xtask test (installs it), or apt-get install postgresql".to_owned();
    let found: Result<(String, Option<u32>)> = (|| {
        for program in ["initdb", "psql"] {
            packages::find(program).with_context(|| format!("{program} is not installed"))?;
        }
        let server = packages::find("postgres").context("the server is not installed")?;
        let version = process::output(Command::new(&server).arg("--version"))?;
        let major = major_version(&version);
        Ok((format!("{} at {}", version.trim(), server.display()), major))
    })();
    match found {
        Ok((what, Some(major))) if major >= POSTGRES_MIN => Finding::Ok(what),
        Ok((what, _)) => {
            Finding::Missing(format!("{what}: {POSTGRES_MIN} or later is needed"), fix)
        }
        Err(error) => Finding::Missing(format!("{error:#}"), fix),
    }
}

/// 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_version(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn postgres_user() -> Finding {
    match postgres::unprivileged_user() {
        Ok(Some(user)) => Finding::Ok(format!("we are root; Postgres will run as {}", user.name)),
        Ok(None) => Finding::Ok("Postgres will run as you".to_owned()),
        Err(error) => Finding::Missing(error.to_string(), "useradd --system postgres".to_owned()),
    }
}

fn disk(workspace: &Workspace) -> Finding {
    let free = process::output(Command::new("df").args(["-Pk"]).arg(&workspace.root))
        .ok()
        .and_then(|text| free_kib(&text));
    let gib = |kib: u64| kib / 1024 / 1024;
    match free {
        Some(kib) if kib >= DISK_MIN_KIB => Finding::Ok(format!("{} GiB free", gib(kib))),
        Some(kib) => Finding::Missing(
            format!(
                "{} GiB free, {} are needed for all builds",
                gib(kib),
                gib(DISK_MIN_KIB)
            ),
            "cargo clean".to_owned(),
        ),
        None => Finding::Optional("df did not answer".to_owned(), "df -h .".to_owned()),
    }
}

/// The fourth column of the last line of `df -Pk`.
fn free_kib(text: &str) -> Option<u64> {
    text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

fn udp() -> Finding {
    let tried = (|| -> std::io::Result<bool> {
        let a = UdpSocket::bind("127.0.0.1:0")?;
        let b = UdpSocket::bind("127.0.0.1:0")?;
        b.set_read_timeout(Some(Duration::from_secs(2)))?;
        a.send_to(b"mwimule", b.local_addr()?)?;
        let mut buffer = [0; 16];
        let length = b.recv(&mut buffer)?;
        Ok(&buffer[..length] == b"mwimule")
    })();
    match tried {
        Ok(true) => Finding::Ok("a datagram came back".to_owned()),
        Ok(false) => Finding::Missing(
            "a datagram came back changed".to_owned(),
            "ip addr show lo".to_owned(),
        ),
        Err(error) => Finding::Missing(
            format!("no datagram passes ({error}), so no node reaches a hub here"),
            "ip link set lo up".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 17beta1"), Some(17));
        assert_eq!(major_version("mysqld 8"), None);
    }

    #[test]
    fn free_space_is_read_from_df() {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                    /dev/vda 263174212 13000000 82000000 14% /\n";
        assert_eq!(free_kib(text), Some(82_000_000));
        assert_eq!(free_kib("df: no such file"), None);
    }
}
