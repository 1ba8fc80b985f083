//! Rules about the text of one file.

use super::SourceFile;

/// A file longer than this is two files.
const LINES_MAX: usize = 800;

const CODE: &[&str] = &["rs", "ts", "tsx"];
const PROSE_AND_CODE: &[&str] = &["rs", "ts", "tsx", "sql", "toml", "md", "sh", "cddl", "json"];

/// A polling helper may sleep between two looks, when it says so on the line or the line above.
const SLEEP_EXCUSE: &str = "tidy-allow-sleep:";

/// Broken rules of all files.
pub fn check(files: &[SourceFile]) -> Vec<String> {
    files.iter().flat_map(check_file).collect()
}

fn check_file(file: &SourceFile) -> Vec<String> {
    let mut findings = Vec::new();
    let path = &file.path;
    if file.has_extension(CODE) {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            findings.push(format!(
                "{path}: {lines} lines, {LINES_MAX} are allowed: split it by subject"
            ));
        }
    }
    if path.ends_with("/mod.rs") {
        findings.push(format!(
            "{path}: name it after its folder: `foo.rs` beside `foo/`"
        ));
    }
    if path.ends_with("Cargo.toml")
        && file.text.contains("[package]")
        && !file.text.contains("[lints]\nworkspace = true")
    {
        findings.push(format!(
            "{path}: without `[lints] workspace = true` no lint guards this crate"
        ));
    }
    let mut in_tests = is_test_file(path);
    let mut previous = "";
    for (index, line) in file.text.lines().enumerate() {
        let mut report = |what: &str| findings.push(format!("{path}:{}: {what}", index + 1));
        if file.has_extension(PROSE_AND_CODE) {
            if let Some(place) = machine_path(line) {
                report(&format!("`{place}` exists on one machine only"));
            }
            if let Some(word) = unfinished_word(line) {
                report(&format!(
                    "`{word}`: finish it, or write down what is missing where users read"
                ));
            }
        }
        if file.has_extension(&["rs"]) {
            if previous.trim() == "#[cfg(test)]" && line.trim_start().starts_with("mod ") {
                in_tests = true;
            }
            for what in rust_line(line) {
                report(what);
            }
            let excused = line.contains(SLEEP_EXCUSE) || previous.contains(SLEEP_EXCUSE);
            if in_tests && !excused && code_of(line).contains(SLEEP_CALL) {
                report("a test waits for a condition with a deadline, never for time");
            }
        }
        previous = line;
    }
    findings
}

// Written in two halves, so that this file passes its own rules.
const SLEEP_CALL: &str = concat!("sleep", "(");
const UNFINISHED_MACROS: &[&str] = &[concat!("to", "do!"), concat!("unimple", "mented!")];
const SKIPPED_TEST: &str = concat!("#[ig", "nore");
const SILENCED_LINT: &[&str] = &[concat!("#[al", "low("), concat!("#![al", "low(")];
const UNFINISHED_WORDS: &[&str] = &[
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("TO", "DO"),
];
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("C:\\Us", "ers"),
    concat!("../sha", "red/"),
];
const UNSAFE: &str = concat!("uns", "afe");

fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests") || path.ends_with("tests.rs")
}

/// The line up to a comment. Strings that hold `//` are cut too, which can only hide an address.
fn code_of(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

fn rust_line(line: &str) -> Vec<&'static str> {
    let code = code_of(line);
    let mut findings = Vec::new();
    if UNFINISHED_MACROS.iter().any(|name| code.contains(name)) {
        findings.push("unfinished code does not compile into a release by accident: write it");
    }
    if code.contains(SKIPPED_TEST) {
        findings.push("a test that never runs proves nothing: mend it or delete it");
    }
    if SILENCED_LINT.iter().any(|start| code.contains(start)) {
        findings.push(
            "use `#[expect(lint, reason = \"...\")]`, which tells when it is no longer needed",
        );
    }
    if is_unsafe(code) {
        findings.push("no code of ours steps outside the compiler's guarantees");
    }
    findings
}

fn is_unsafe(code: &str) -> bool {
    code.match_indices(UNSAFE).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + UNSAFE.len()..].trim_start();
        let starts_a_word = before.is_none_or(|c| c.is_whitespace() || "({[=".contains(c));
        let opens_something = ["{", "fn ", "impl", "extern", "trait", "("]
            .iter()
            .any(|next| after.starts_with(next));
        starts_a_word && opens_something
    })
}

fn machine_path(line: &str) -> Option<&'static str> {
    MACHINE_PATHS.iter().copied().find(|place| {
        line.match_indices(place).any(|(at, _)| {
            // `tests/home/` and `https://host/home/` are not places on a disk.
            line[..at]
                .chars()
                .next_back()
                .is_none_or(|c| !(c.is_alphanumeric() || "._-/}".contains(c)))
        })
    })
}

/// Marks of unfinished work count in comments only: one of them is also a currency code, "none".
fn unfinished_word(line: &str) -> Option<&'static str> {
    let comment = ["//", "#", "--", "/*", "<!--"]
        .iter()
        .filter_map(|mark| line.find(mark))
        .min()?;
    line[comment..]
        .split(|c: char| !c.is_alphanumeric())
        .find_map(|word| UNFINISHED_WORDS.iter().copied().find(|w| *w == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&[SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }])
    }

    #[track_caller]
    fn clean(path: &str, text: &str) {
        assert_eq!(findings(path, text), Vec::<String>::new());
    }

    #[track_caller]
    fn broken(path: &str, text: &str, at: &str) {
        let found = findings(path, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(at), "{found:?}");
    }

    #[test]
    fn a_file_of_801_lines_is_too_long_and_one_of_800_is_not() {
        clean("a/src/lib.rs", &"\n".repeat(800));
        broken("a/src/lib.rs", &"\n".repeat(801), "a/src/lib.rs: 801 lines");
        clean("data/stops.csv", &"\n".repeat(5000));
    }

    #[test]
    fn module_files_carry_the_name_of_their_folder() {
        broken("a/src/b/mod.rs", "", "a/src/b/mod.rs:");
        clean("a/src/b.rs", "");
    }

    #[test]
    fn unfinished_macros_and_skipped_tests_are_found_in_code_only() {
        for name in UNFINISHED_MACROS {
            broken(
                "a/src/lib.rs",
                &format!("fn f() {{\n    {name}()\n}}"),
                "a/src/lib.rs:2:",
            );
            clean("a/src/lib.rs", &format!("// never {name}()"));
        }
        broken(
            "a/src/lib.rs",
            &format!("{SKIPPED_TEST}]"),
            "a/src/lib.rs:1:",
        );
    }

    #[test]
    fn marks_of_unfinished_work_count_in_comments_only() {
        for word in UNFINISHED_WORDS {
            broken("a/x.sql", &format!("-- {word}: index"), "a/x.sql:1:");
            clean("a/x.rs", &format!("const NO_CURRENCY: &str = \"{word}\";"));
            clean("a/x.rs", &format!("// {word}S are three letters more"));
        }
    }

    #[test]
    fn lints_are_expected_with_a_reason_never_silenced() {
        broken(
            "a/x.rs",
            &format!("{}dead_code)]", SILENCED_LINT[0]),
            "a/x.rs:1:",
        );
        clean("a/x.rs", "#[expect(dead_code, reason = \"shown\")]");
    }

    #[test]
    fn tests_do_not_sleep_unless_they_say_why() {
        let line = format!("    std::thread::{SLEEP_CALL}POLL);");
        broken(
            "tests/system/src/kill.rs",
            &line,
            "tests/system/src/kill.rs:1:",
        );
        broken("central/tests/api.rs", &line, "central/tests/api.rs:1:");
        clean("central/src/run.rs", &line);
        let unit = format!("#[cfg(test)]\nmod tests {{\n{line}\n}}");
        broken("central/src/run.rs", &unit, "central/src/run.rs:3:");
        clean(
            "tests/system/src/wait.rs",
            &format!("    // {SLEEP_EXCUSE} between two looks, deadline above\n{line}"),
        );
    }

    #[test]
    fn places_of_one_machine_are_found_and_addresses_are_not() {
        for place in MACHINE_PATHS {
            broken("docs/a.md", &format!("see {place}x"), "docs/a.md:1:");
            clean("docs/a.md", &format!("see frame{place}x"));
        }
    }

    #[test]
    fn stepping_outside_the_compilers_guarantees_is_found() {
        broken(
            "a/x.rs",
            &format!("    let x = {UNSAFE} {{ y() }};"),
            "a/x.rs:1:",
        );
        broken(
            "a/x.rs",
            &format!("{UNSAFE} impl Send for X {{}}"),
            "a/x.rs:1:",
        );
        clean("a/x.rs", &format!("#![forbid({UNSAFE}_code)]"));
        clean("a/x.rs", &format!("// {UNSAFE} {{ }} is not for us"));
    }

    #[test]
    fn every_crate_takes_the_workspace_lints() {
        clean(
            "a/Cargo.toml",
            "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n",
        );
        broken("a/Cargo.toml", "[package]\nname = \"a\"\n", "a/Cargo.toml:");
        clean("Cargo.toml", "[workspace]\n");
    }
}
