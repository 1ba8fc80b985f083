//! `config check`, `config dump`, `config generate`

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::parser::ValueSource;
use clap::{ArgMatches, Subcommand};
use serde_json::{Value, json};

use super::{ServeArgs, Settings};
use crate::cache::RedisCache;
use crate::config::{KEYS, Key, Secrecy};
use crate::payment::Providers;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say whether `serve` could begin with this, without beginning
    Check(ServeArgs),
    /// Show what holds, secrets hidden, and who said so
    Dump(ServeArgs),
    /// Write a commented sample of the configuration file
    Generate,
}

pub(super) fn run(
    settings: Settings,
    command: ConfigCommand,
    matches: &ArgMatches,
) -> Result<ExitCode> {
    match command {
        ConfigCommand::Check(args) => check(&settings.serving(&args))?,
        ConfigCommand::Dump(args) => dump(settings, &args, matches)?,
        ConfigCommand::Generate => print!("{}", sample()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Finds what reading the file alone does not.
pub(super) fn check(settings: &Settings) -> Result<()> {
    let config = &settings.config;
    if let Some(url) = &settings.database_url {
        url.parse::<sqlx::postgres::PgConnectOptions>()
            .context("--database-url: write postgres://user:password@host/database")?;
    }
    if let Some(url) = &config.redis.url {
        RedisCache::new(url).context("--redis-url")?;
    }
    Providers::new(config)?;
    if settings.json {
        println!("{}", json!({ "ok": true }));
    } else {
        println!("The configuration can be used.");
    }
    Ok(())
}

/// What holds, who said so.
#[derive(Debug)]
struct Line {
    path: &'static str,
    value: Value,
    from: String,
}

fn dump(settings: Settings, args: &ServeArgs, matches: &ArgMatches) -> Result<()> {
    let json_wanted = settings.json;
    let told = matches
        .subcommand()
        .and_then(|(_, config)| config.subcommand())
        .map_or(matches, |(_, dump)| dump);
    let file = matches_file(told)?;
    let effective = serde_json::to_value(&settings.serving(args).config)?;
    let lines = lines(&effective, &file, |flag| source(told, flag));
    if json_wanted {
        let all: BTreeMap<&str, Value> = lines
            .iter()
            .map(|l| (l.path, json!({ "value": l.value, "from": l.from })))
            .collect();
        println!("{}", json!(all));
        return Ok(());
    }
    for line in lines {
        println!(
            "{:<36} {:<44} {}",
            line.path,
            line.value.to_string(),
            line.from
        );
    }
    Ok(())
}

/// The file as it was written.
fn matches_file(told: &ArgMatches) -> Result<Value> {
    let Some(path) = told.get_one::<std::path::PathBuf>("config") else {
        return Ok(Value::Null);
    };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(toml::from_str::<Value>(&text)?)
}

/// Who gave a flag's value.
fn source(told: &ArgMatches, flag: &str) -> Option<String> {
    let id = flag.replace('-', "_");
    let source = told.value_source(&id)?;
    if source == ValueSource::CommandLine {
        return Some(format!("flag --{flag}"));
    }
    (source == ValueSource::EnvVariable).then(|| "environment".to_owned())
}

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.')
        .try_fold(value, |value, name| value.get(name))
        .filter(|value| !value.is_null())
}

fn lines(effective: &Value, file: &Value, source: impl Fn(&str) -> Option<String>) -> Vec<Line> {
    let line = |key: &Key| {
        let set = Some(key.flag).filter(|flag| !flag.is_empty());
        let from = set.and_then(&source);
        let from = from.or_else(|| at(file, key.path).map(|_| "file".to_owned()));
        let held = at(effective, key.path).cloned();
        // The parts of a section that is not there hold nothing.
        let default = || {
            let section = key.path.split('.').next().unwrap_or_default();
            (key.is_default && at(effective, section).is_some())
                .then(|| toml_value(key.sample))
                .flatten()
        };
        let value = held.or_else(default).unwrap_or(Value::Null);
        Line {
            path: key.path,
            value: shown(key.secrecy, value),
            from: from.unwrap_or_else(|| "default".to_owned()),
        }
    };
    KEYS.iter().map(line).collect()
}

fn toml_value(text: &str) -> Option<Value> {
    let table: Value = toml::from_str(&format!("value = {text}")).ok()?;
    table.get("value").cloned()
}

fn shown(secrecy: Secrecy, value: Value) -> Value {
    match (secrecy, &value) {
        (_, Value::Null) | (Secrecy::Open, _) => value,
        (Secrecy::Address, Value::String(url)) => json!(without_password(url)),
        (Secrecy::Address | Secrecy::Secret, _) => json!("(secret)"),
    }
}

/// An address without the password before its host and in its parameters.
fn without_password(url: &str) -> String {
    let (url, parameters) = url.split_once('?').unwrap_or((url, ""));
    let hidden = match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, rest)), Some((_, host))) => {
            let who = rest.split([':', '@']).next().unwrap_or_default();
            format!("{scheme}://{who}:(secret)@{host}")
        }
        _ => url.to_owned(),
    };
    if parameters.is_empty() {
        return hidden;
    }
    let kept: Vec<String> = parameters
        .split('&')
        .map(|p| match p.split_once('=') {
            Some((name, _)) if name.contains("password") => format!("{name}=(secret)"),
            _ => p.to_owned(),
        })
        .collect();
    format!("{hidden}?{}", kept.join("&"))
}

/// A file in which every key stands, each commented out.
fn sample() -> String {
    let mut lines = vec![
        "# The configuration of mwimule-hub. Flags win over the environment, the environment over"
            .to_owned(),
        "# this file. Values that are commented out are the defaults, or examples where it says so."
            .to_owned(),
    ];
    let mut section = "";
    for key in KEYS {
        let (of, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if of != section {
            section = of;
            // What makes a provider offered stays out until it is filled in.
            let optional = ["momo", "card", "sms", "mail"]
                .iter()
                .any(|section| of.starts_with(section));
            let mark = if optional { "# " } else { "" };
            lines.extend([String::new(), format!("{mark}[{of}]")]);
        }
        let kind = if key.is_default { "" } else { " (example)" };
        lines.push(format!("# {}{kind}", key.about));
        if !key.flag.is_empty() {
            lines.push(format!("# --{}, {}", key.flag, variable(key.flag)));
        }
        lines.push(format!("# {name} = {}", key.sample));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn variable(flag: &str) -> String {
    format!("MWIMULE_{}", flag.replace('-', "_").to_uppercase())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::config::Config;

    /// The sample with nothing commented out.
    fn filled_in() -> Config {
        let wanted = |line: &str| {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            let setting = bare.split_once(" = ").map(|(name, _)| name);
            let key =
                setting.is_some_and(|n| KEYS.iter().any(|k| k.path.rsplit('.').next() == Some(n)));
            (key || bare.starts_with('[')).then(|| bare.to_owned())
        };
        let text: Vec<String> = sample().lines().filter_map(wanted).collect();
        toml::from_str(&text.join("\n")).unwrap()
    }

    fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        let Value::Object(members) = value else {
            found.insert(path.to_owned());
            return;
        };
        for (name, member) in members {
            let dot = if path.is_empty() { "" } else { "." };
            leaves(member, &format!("{path}{dot}{name}"), found);
        }
    }

    #[test]
    fn the_sample_names_every_key_that_the_hub_reads_and_no_other() {
        let mut read = BTreeSet::new();
        leaves(&serde_json::to_value(filled_in()).unwrap(), "", &mut read);
        let listed: BTreeSet<String> = KEYS.iter().map(|k| k.path.to_owned()).collect();
        assert_eq!(listed, read);
        assert_eq!(listed.len(), KEYS.len(), "a key is listed twice");
    }

    #[test]
    fn the_sample_as_it_is_changes_nothing_and_its_defaults_are_the_defaults() {
        let as_it_is: Config = toml::from_str(&sample()).unwrap();
        assert_eq!(as_it_is, Config::default());
        let defaults = serde_json::to_value(Config::default()).unwrap();
        for key in KEYS.iter().filter(|k| k.is_default) {
            // Ports that are chosen where nothing was said, and sections that are not there.
            if let Some(value) = at(&defaults, key.path) {
                assert_eq!(Some(value.clone()), toml_value(key.sample), "{}", key.path);
            }
        }
    }

    #[test]
    fn every_flag_and_variable_that_the_sample_names_exists() {
        let cli = super::super::Cli::command();
        let serve = cli.find_subcommand("serve").unwrap();
        let args: Vec<_> = cli.get_arguments().chain(serve.get_arguments()).collect();
        for key in KEYS.iter().filter(|k| !k.flag.is_empty()) {
            let arg = args.iter().find(|a| a.get_long() == Some(key.flag));
            let arg = arg.unwrap_or_else(|| panic!("no flag --{}", key.flag));
            let named = arg.get_env().and_then(|e| e.to_str()).unwrap_or_default();
            assert_eq!(named, variable(key.flag));
        }
    }

    #[test]
    fn a_dump_hides_secrets_and_says_who_said_what() {
        let config = filled_in();
        let effective = serde_json::to_value(&config).unwrap();
        let file = json!({ "redis": { "url": "x" }, "card": { "secret_key": "sk" } });
        let by_flag = |flag: &str| (flag == "http").then(|| "flag --http".to_owned());
        let lines = lines(&effective, &file, by_flag);
        let line = |path: &str| lines.iter().find(|l| l.path == path).unwrap();
        assert_eq!(line("http.listen").from, "flag --http");
        assert_eq!(line("redis.url").from, "file");
        assert_eq!(line("quic.listen").from, "default");
        assert_eq!(line("card.secret_key").value, "(secret)");
        assert_eq!(line("card.webhook_secrets").value, "(secret)");
        let all: String = lines.iter().map(|l| l.value.to_string()).collect();
        for secret in ["password@", ":password", "sk_live", "whsec", "\"key\""] {
            assert!(!all.contains(secret), "{secret} in {all}");
        }
        let hidden = [
            ("postgres://me:pw@db/x", "postgres://me:(secret)@db/x"),
            ("redis://:p@w@cache/0", "redis://:(secret)@cache/0"),
            ("redis+unix:///run/r.sock", "redis+unix:///run/r.sock"),
            (
                "postgres:///x?host=/run&password=pw",
                "postgres:///x?host=/run&password=(secret)",
            ),
        ];
        for (url, expected) in hidden {
            assert_eq!(without_password(url), expected);
        }
    }
}
