//! System packages: which programs must be there, and how they get there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// A program that is not built from this workspace.
#[derive(Debug)]
pub struct Package {
    /// A program whose presence shows that the package is installed.
    pub probe: &'static str,
    /// Debian's and Ubuntu's name of the package.
    pub apt: &'static str,
    /// What it is used for, for people.
    pub why: &'static str,
}

/// What the demo, the tests and the bench cannot do without.
pub const NEEDED: &[Package] = &[Package {
    probe: "initdb",
    apt: "postgresql",
    why: "the hub's database: each run starts a private cluster of its own",
}];

const REDIS: Package = Package {
    probe: "redis-server",
    apt: "redis-server",
    why: "the hub's cache when it is several processes: each run starts a private one of its own",
};

const RABBITMQ: Package = Package {
    probe: "rabbitmqctl",
    apt: "rabbitmq-server",
    why: "the hub's message broker when it is several processes: tests start private ones",
};

const GPSD: Package = Package {
    probe: "gpsd",
    apt: "gpsd",
    why: "the onboard node's receiver speaks through it",
};

const GPSFAKE: Package = Package {
    probe: "gpsfake",
    apt: "gpsd-clients",
    why: "plays a recorded drive to a private gpsd in the tests",
};

/// What the demo needs beside that: its hub is two processes.
pub const NEEDED_BY_DEMO: &[Package] = &[REDIS];

/// What the heavy cases need beside that.
pub const NEEDED_BY_STRESS: &[Package] = &[REDIS, RABBITMQ, NGINX, NGINX_STREAM];

const NGINX: Package = Package {
    probe: "nginx",
    apt: "nginx",
    why: "the gateway before several hubs: each run starts a private one of its own",
};

const NGINX_STREAM: Package = Package {
    probe: "ngx_stream_module.so",
    apt: "libnginx-mod-stream",
    why: "the part of nginx that passes QUIC on",
};

/// What the tests need beside that.
pub const NEEDED_BY_TESTS: &[Package] = &[
    REDIS,
    NGINX,
    NGINX_STREAM,
    Package {
        probe: "promtool",
        apt: "prometheus",
        why: "its promtool checks what the hub tells of itself, and the alerts",
    },
    Package {
        probe: "curl",
        apt: "curl",
        why: "asks the health checks' questions",
    },
    RABBITMQ,
    GPSD,
    GPSFAKE,
    Package {
        probe: "systemd-analyze",
        apt: "systemd",
        why: "checks the units",
    },
    Package {
        probe: "pip3",
        apt: "python3-pip",
        why: "fetches the libraries of another language that check our tickets, tokens and API",
    },
    Package {
        probe: "zbarimg",
        apt: "zbar-tools",
        why: "reads the QR codes of printed tickets back",
    },
    Package {
        probe: "pdftoppm",
        apt: "poppler-utils",
        why: "turns printed tickets into pictures, so that their QR codes can be read back",
    },
];

/// Where Debian keeps servers and their parts that are not in everybody's search path.
const DEBIAN: [&str; 2] = ["/usr/sbin", "/usr/lib/nginx/modules"];

/// Finds a program in PATH or, since Debian keeps the servers elsewhere, in the newest
/// `/usr/lib/postgresql/*/bin` and the like.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(postgres_folders(Path::new("/usr/lib/postgresql")))
        .chain(DEBIAN.map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// `<base>/15/bin`, `<base>/14/bin`, ...: newest first.
fn postgres_folders(base: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(base) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// Installs what is missing of [`NEEDED`] and `also` with apt, saying so first; stops with the
/// command to type when that is not possible.
pub fn ensure(also: &[Package]) -> Result<()> {
    let needed = NEEDED.iter().chain(also);
    let missing: Vec<&Package> = needed.filter(|p| find(p.probe).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for package in &missing {
        println!("missing: {} ({})", package.apt, package.why);
    }
    let names: Vec<&str> = missing.iter().map(|p| p.apt).collect();
    let by_hand = format!(
        "apt-get install -y --no-install-recommends {}",
        names.join(" ")
    );
    if find("apt-get").is_none() {
        bail!(
            "this system has no apt-get; install with its own package manager: {}",
            names.join(" ")
        );
    }
    let mut command = if nix::unistd::geteuid().is_root() {
        Command::new("sh")
    } else if sudo_works() {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "sh"]);
        sudo
    } else {
        bail!("type this, then try again:\n    sudo {by_hand}");
    };
    println!("installing with apt: {}", names.join(" "));
    println!("no server that a package brings is started");
    command.args(["-c", &install_script(&names)]);
    process::run_ok(&mut command)?;
    for package in missing {
        if find(package.probe).is_none() {
            bail!(
                "{} is installed, but its program {} is in no known place; add its folder to PATH",
                package.apt,
                package.probe
            );
        }
    }
    Ok(())
}

fn sudo_works() -> bool {
    find("sudo").is_some() && process::output(Command::new("sudo").args(["-n", "true"])).is_ok()
}

/// Debian's servers start themselves on their well-known ports, which nobody here asked for, so
/// that is switched off while we install, and put back; Postgres would create a cluster too.
fn install_script(names: &[&str]) -> String {
    let install = "apt-get install -y -q --no-install-recommends";
    let mut script = String::from(
        "set -e\n\
         export DEBIAN_FRONTEND=noninteractive\n\
         conf=/etc/postgresql-common/createcluster.conf\n\
         policy=/usr/sbin/policy-rc.d\n\
         restore() {\n\
         if [ -e \"$conf.before\" ]; then mv -f \"$conf.before\" \"$conf\"; fi\n\
         if [ -n \"$ours\" ]; then rm -f \"$policy\"; fi\n\
         }\n\
         trap restore EXIT\n\
         if [ ! -e \"$policy\" ]; then\n\
         ours=1; printf '#!/bin/sh\\nexit 101\\n' > \"$policy\"; chmod +x \"$policy\"\n\
         fi\n\
         apt-get update -q\n",
    );
    if names.contains(&"postgresql") {
        script.push_str(install);
        script.push_str(
            " postgresql-common\n\
             cp -p \"$conf\" \"$conf.before\"\n\
             echo 'create_main_cluster = false' >> \"$conf\"\n",
        );
    }
    script.push_str(install);
    script.push(' ');
    script.push_str(&names.join(" "));
    script.push('\n');
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_postgres_is_found_first() {
        let base = tempfile::tempdir().unwrap();
        for version in ["9", "15", "14", "notes"] {
            std::fs::create_dir_all(base.path().join(version).join("bin")).unwrap();
        }
        let found = postgres_folders(base.path());
        let expected: Vec<PathBuf> = ["15", "14", "9"]
            .iter()
            .map(|v| base.path().join(v).join("bin"))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn only_a_postgres_install_touches_the_cluster_default() {
        assert!(install_script(&["postgresql"]).contains("create_main_cluster = false"));
        assert!(!install_script(&["zbar-tools"]).contains("create_main_cluster"));
    }
}
